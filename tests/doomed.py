"""Workers forked from one warm interpreter, which die or stop at a chosen point of their work.

A point is a call that changes something outside the process: a write, a rename, a sync, a lock,
a process begun or awaited. The interpreter's own profiler counts them, so nothing of the product
is replaced, and a point names the same moment again when the same seed is replayed.

As a script this file is the interpreter: it reads one plan a line, forks a worker for it, and
answers when the worker ended. What workers say goes to a file, which no kill can tear.
"""

import faulthandler
import io
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from types import FrameType

import psutil
from mergesteps import Steps
from mutants_kills import MUTANTS
from roles import ROLES, Plan

_POINTS = {
    "posix": "write pwrite rename replace unlink remove fsync fdatasync link mkdir rmdir ftruncate mkfifo waitpid",
    "fcntl": "flock",
    "_posixsubprocess": "fork_exec",
}
_COUNTED = {(module, name) for module, names in _POINTS.items() for name in names.split()}
_POLL = 0.002


@dataclass(frozen=True, slots=True)
class Ended:
    """How a worker ended: its wait status, how many points it passed (0 where it did not live to say), and when."""

    status: int
    points: int
    seconds: float

    @property
    def stopped(self) -> bool:
        """Whether it waits to be told to go on."""
        return self.status == -signal.SIGSTOP

    @property
    def killed(self) -> bool:
        """Whether it was killed before it was done."""
        return self.status == -signal.SIGKILL


class Warm:
    """An interpreter that has everything loaded; what its workers say goes to a file beside the repository."""

    def __init__(self, repo: Path, name: str) -> None:
        self.repo = repo
        self.said = repo.with_name(f"said-{name}")
        self.said.write_bytes(b"")
        self._read = 0

    @cached_property
    def _process(self) -> "subprocess.Popen[str]":
        command = [sys.executable, __file__, str(self.repo), str(self.said)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self, plan: Plan) -> None:
        """Start a worker; `end` waits for it."""
        self._tell(json.dumps(asdict(plan)))

    def end(self, word: str = "", *, within: float = 60) -> Ended:
        """Wait until the worker ended or stopped; WORD tells it before to "kill", "slaughter", "term" or go "on"."""
        if word:
            self._tell(word)
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], within)[0]:
            raise AssertionError(f"a worker is blocked for {within} s: {self._stuck()}")
        return Ended(**json.loads(self._process.stdout.readline()))

    def has_ended(self) -> bool:
        """Tell whether the worker ended or stopped, so that `end` need not wait."""
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def run(self, plan: Plan) -> Ended:
        """Run a worker to its end."""
        self.start(plan)
        return self.end()

    def heard(self) -> list[list[str]]:
        """Return what workers said since the last time."""
        with self.said.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        self._read += len(text)
        return [line.split() for line in text.decode().splitlines()]

    def steps(self) -> list[str]:
        """Return the names of the steps that the last worker took in merges, where its plan asked for a step."""
        return self.said.with_suffix(".steps").read_text().splitlines()

    def close(self) -> None:
        """End the interpreter with its worker, if there is one."""
        if "_process" not in self.__dict__:
            return
        with self._process:
            for child in psutil.Process(self._process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
            self._process.kill()

    def _stuck(self) -> list[list[str]]:
        """Have the worker print where it is, and return the commands that it runs."""
        worker, *gits = psutil.Process(self._process.pid).children(recursive=True)
        worker.send_signal(signal.SIGUSR2)
        return [git.cmdline() for git in gits]

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)


@contextmanager
def warmed(repo: Path, *names: str) -> Iterator[list[Warm]]:
    """Have some interpreters at once."""
    warm = [Warm(repo, name) for name in names]
    try:
        yield warm
    finally:
        for one in warm:
            one.close()


class _Points:
    """Counts the points of this process, and does at the planned one what is planned."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.only = plan.only.split()
        self.count = 0
        self.steps = Steps()

    def __call__(self, frame: FrameType, what: str, called: object) -> None:
        if what != "c_call":
            return
        name = getattr(called, "__name__", "")
        if (getattr(called, "__module__", ""), name) not in _COUNTED or (self.only and name not in self.only):
            return
        self.count += 1
        if self.count == self.plan.point or (self.plan.step and self.steps.named(frame, name) == self.plan.step):
            sys.setprofile(None)
            if self.plan.deed == "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            else:
                _kill(os.getpid(), family=self.plan.family)


def _kill(pid: int, *, family: bool) -> None:
    children = psutil.Process(pid).children(recursive=True) if family else []
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    os.kill(pid, signal.SIGKILL)


def _work(repo: Path, said: Path, plan: Plan) -> None:
    out = os.open(said, os.O_WRONLY | os.O_APPEND)

    def say(*words: object) -> None:
        os.write(out, (" ".join(map(str, words)) + "\n").encode())

    faulthandler.register(signal.SIGUSR2)
    if plan.mutant:
        MUTANTS[plan.mutant]()
    points = _Points(plan)
    status = 1
    sys.setprofile(points)
    try:
        ROLES[plan.role](repo, plan, say)
        status = 0
    except Exception:
        traceback.print_exc()
    finally:
        sys.setprofile(None)
        said.with_suffix(".points").write_text(str(points.count))
        said.with_suffix(".steps").write_text("\n".join(points.steps.all()))
        os._exit(status)


def _attend(pid: int, words: io.FileIO) -> int:
    """Wait until a worker ended or stopped, and pass on what the test says to it."""
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
        if ended:
            return -signal.SIGSTOP if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)
        if select.select([words], [], [], _POLL)[0]:
            match words.readline().strip():
                case b"kill" | b"slaughter" as word:
                    _kill(pid, family=word == b"slaughter")
                case b"term":
                    os.kill(pid, signal.SIGTERM)
                case b"on":
                    os.kill(pid, signal.SIGCONT)


def _serve(repo: Path, said: Path) -> None:
    passed = said.with_suffix(".points")
    words = io.FileIO(0)  # unbuffered: what is read ahead, `select` does not tell of
    while line := words.readline():
        if not line.startswith(b"{"):
            continue  # a word to a worker that had ended
        passed.unlink(missing_ok=True)
        began = time.monotonic()
        pid = os.fork()
        if not pid:
            _work(repo, said, Plan(**json.loads(line)))
        status = -signal.SIGSTOP
        while status == -signal.SIGSTOP:
            status = _attend(pid, words)
            count = int(passed.read_text()) if passed.exists() else 0
            print(json.dumps(asdict(Ended(status, count, time.monotonic() - began))), flush=True)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), Path(sys.argv[2]))
