"""Run the owner's tests on a commit, step by step, in a scratch worktree: see `slot`."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Literal

import psutil

from coord.git.repo import Git, clean
from coord.git.slot import Slot
from coord.model.errors import NotFound
from coord.model.regex import regex
from coord.model.values import frozen

# Waits until it is noted who runs, runs the command, notes its status, and ends whatever it left
# in its group, itself included. The trap lets it live through the polite signal, so that its
# process id stays ours.
_WRAPPER = (
    "read -r _ || exit; trap : TERM; "
    'if cd "$3"; then sh -c "$1" </dev/null; echo $? >"$2"; else echo 127 >"$2"; fi; kill -KILL 0'
)
_GRACE = 5.0
_TAIL = 4096
_MOST_OUTPUT = 1 << 30
_NO_COMMAND = (126, 127)
_SAME_START = 2.0
_LINE_ENDS = regex(r"\r+\n?")

Reason = Literal["passed", "failed", "timeout", "flood", "error"]
_Begin = Callable[[], subprocess.Popen[bytes]]


@frozen
class Step:
    """One command of a gate, the owner's own: run by `sh -c` in the folder CWD of the tree."""

    name: str
    command: str
    timeout: timedelta
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = ""


@frozen
class Result:
    """How a gate ended, at which step: the one that failed, or the last.

    `status` is its command's, None where it had none; `tail` is the end of its log, safe to show.
    "error" says that the commit was not judged: it could not be checked out, the command
    does not exist, or the gate was stopped. "flood" says that it was ended before its output
    filled the disk.
    """

    passed: bool
    status: int | None
    reason: Reason
    seconds: float
    step: Step
    tail: str


@frozen
class Leftover:
    """A gate of a process that died before it: still running, and nobody waits for it."""

    pid: int
    slot: Path

    def kill(self) -> None:
        """End it with all that it started."""
        _signal(self.pid, signal.SIGKILL)


class Running:
    """A gate at work. Ask `poll` now and then; it never waits."""

    def __init__(self, begins: Iterator[tuple[Step, _Begin, bool]], slot: Slot) -> None:
        self._slot = slot
        self._begins = begins
        self._begun = time.monotonic()
        self._ending: Reason | None = None
        self._asked = 0.0
        self._result: Result | None = None
        self._begin(*next(begins))

    @property
    def step(self) -> Step:
        """The step that it is at."""
        return self._step

    def poll(self) -> Result | None:
        """Return how it ended, or None while it runs; on its way it ends a step that takes too long."""
        if self._result is None:
            now = time.monotonic()
            if self._process.poll() is not None:
                self._advance()
            elif self._ending is None and now - self._step_begun > self._step.timeout.total_seconds():
                self._end("timeout")
            elif self._ending is None and _size(self._step.log) - self._begun_at > _MOST_OUTPUT:
                self._end("flood")
            elif self._ending is not None and now - self._asked > _GRACE:
                _signal(self._process.pid, signal.SIGKILL)
        return self._result

    def stop(self) -> Result:
        """End it with all that it started, politely first; takes a few seconds at most."""
        self.end()
        while (result := self.poll()) is None:
            time.sleep(0.01)
        return result

    def end(self) -> None:
        """Ask it, with all that it started, to end; `poll` sees to the rest."""
        if self.poll() is None and self._ending is None:
            self._end("error")

    def _begin(self, step: Step, begin: _Begin, own: bool) -> None:
        self._step, self._own = step, own
        self._step_begun = time.monotonic()
        self._begun_at = _size(step.log)
        self._slot.forget()
        self._ending = "error"  # where it cannot begin: what follows would run on what lies there
        self._process = begin()
        self._ending = None

    def _advance(self) -> None:
        # A command's wrapper ends with its group, so that its own status says nothing: it noted the command's.
        status = self._slot.status() if self._own else self._process.returncode
        good = self._ending is None and status == 0
        # What a killed wrapper could not end; its group's number is not given away while one is left.
        _signal(self._process.pid, signal.SIGKILL)
        following = next(self._begins, None) if good else None
        if following is None:
            self._result = self._judge()
            self._slot.leave()
        else:
            self._begin(*following)

    def _end(self, reason: Reason) -> None:
        self._ending, self._asked = reason, time.monotonic()
        _signal(self._process.pid, signal.SIGTERM)

    def _judge(self) -> Result:
        status = self._slot.status()
        reason: Reason = "failed"
        if self._ending is not None or status is None or status in _NO_COMMAND:
            reason = self._ending or "error"
        elif status == 0:
            reason = "passed"
        seconds = time.monotonic() - self._begun
        return Result(reason == "passed", status, reason, seconds, self._step, tail(self._step.log))


def start(git: Git, commit: str, steps: Sequence[Step], *, folder: Path) -> Running:
    """Check COMMIT out in a free slot under FOLDER and run STEPS there until one fails; returns at once.

    The output of each, and the complaints of the checkout with that of the first, are appended
    to its log; it has no input. It sees this process's environment and its own, without
    any GIT_ variable, and COORD_GATE=1, COORD_COMMIT and COORD_STEP.

    Raises:
        NotFound: COMMIT names none.
        Unavailable: there is no free slot.
    """
    found = git.tip(commit)
    if found is None:
        raise NotFound(f"{commit!r} names no commit", hint="`git log --all` lists them")
    common = git.run("rev-parse", "--path-format=absolute", "--git-common-dir").out.removesuffix(b"\n")
    slot = Slot.free(folder)
    try:
        slot.prepare(common, found)
        steps[0].log.parent.mkdir(parents=True, exist_ok=True)
        return Running(_begins(slot, found, steps), slot)
    except BaseException:
        slot.leave()
        raise


def leftovers(folder: Path) -> tuple[Leftover, ...]:
    """Return the gates under FOLDER that still run though the process that waited for them is dead."""
    found = []
    for note in sorted(folder.glob("*/note")):
        slot = Slot.take(note.parent)
        if slot is not None:
            slot.leave()
            continue
        facts = json.loads(note.read_text())
        if _lives(facts.get("gate")) and not _lives(facts.get("owner")):
            found.append(Leftover(facts["gate"][0], note.parent))
    return tuple(found)


def _begins(slot: Slot, commit: str, steps: Sequence[Step]) -> Iterator[tuple[Step, _Begin, bool]]:
    def by_git(*args: str) -> subprocess.Popen[bytes]:
        with steps[0].log.open("ab") as output:
            return Git(slot.tree).start(*args, stdout=subprocess.DEVNULL, stderr=output, pass_fds=(slot.fd,))

    yield steps[0], lambda: by_git("clean", "-ffdxq"), False
    yield steps[0], lambda: by_git("read-tree", "--reset", "-u", commit), False
    for step in steps:
        yield step, partial(_by_shell, slot, commit, step), True


def _by_shell(slot: Slot, commit: str, step: Step) -> subprocess.Popen[bytes]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    facts = {"COORD_GATE": "1", "COORD_COMMIT": commit, "COORD_STEP": step.name}
    with step.log.open("ab") as output:
        process = subprocess.Popen(
            # A folder that the commit does not have is a step that cannot be run.
            ["sh", "-c", _WRAPPER, "gate", step.command, os.fspath(slot.path / "status"), f"./{step.cwd}"],
            cwd=slot.tree,
            env={**own, **step.env, **facts},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=(slot.fd,),
            start_new_session=True,
        )
    note = {"gate": _identity(process.pid), "owner": _identity(os.getpid())}
    (slot.path / "note.new").write_text(json.dumps(note))
    (slot.path / "note.new").replace(slot.path / "note")
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin as begin:
        begin.write(b"go\n")
    return process


def _identity(pid: int) -> tuple[int, float]:
    try:
        return pid, psutil.Process(pid).create_time()
    except psutil.Error:
        return pid, 0.0


def _lives(identity: Sequence[float] | None) -> bool:
    """Tell whether the process of an identity runs; a pid that was used again started at another time."""
    if not identity:
        return False
    try:
        process = psutil.Process(int(identity[0]))
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - identity[1]) < _SAME_START
    except psutil.Error:
        return False


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _signal(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS refuses where only a zombie is left
        return


def tail(log: Path) -> str:
    """Return the end of a log, safe to show; nothing of one that is gone."""
    if not log.is_file():
        return ""
    with log.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _TAIL))
        text = file.read().decode(errors="replace")
    return clean(_LINE_ENDS.sub("\n", text))
