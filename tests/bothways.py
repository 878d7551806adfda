"""Command lines run twice: by the daemon through its thin client, and by a process that loads coord itself.

Run as a program it loads coord once, and does what it reads, a run a line, each in a fork of its own.
"""

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

NOT_SERVED = 99


@dataclass(frozen=True)
class Run:
    """A command line: where, with which variables besides the caller's, and on a terminal of so many columns."""

    words: Sequence[str]
    cwd: str
    env: Mapping[str, str] = field(default_factory=dict)
    columns: int = 0


@dataclass(frozen=True)
class Came:
    """What came of a run; a terminal shows output and errors as one."""

    status: int
    out: str
    err: str


class Runner:
    """Both ways to run a command line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def served(self, run: Run) -> Came:
        """Run it by the daemon; the status is NOT_SERVED where that gives no answer."""
        return self._ask("served", run)

    def local(self, run: Run) -> Came:
        """Run it in a process that does it all."""
        return self._ask("local", run)

    def _ask(self, way: str, run: Run) -> Came:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"way": way, **asdict(run)}) + "\n")
        self._process.stdin.flush()
        return Came(*json.loads(self._process.stdout.readline()))


@contextmanager
def runner() -> Iterator[Runner]:
    """Start a runner with this process's environment; end it with the block."""
    with subprocess.Popen(
        [sys.executable, "-P", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Runner(process)
        assert process.stdin is not None
        process.stdin.close()


def _serve() -> None:
    from coord.main import tree  # noqa: PLC0415 - what only compares needs none of it

    whole = tree()
    for line in sys.stdin:
        asked = json.loads(line)
        run = Run(asked["words"], asked["cwd"], asked["env"], asked["columns"])
        came = _forked(whole, asked["way"], run)
        sys.stdout.write(json.dumps([came.status, came.out, came.err]) + "\n")
        sys.stdout.flush()


def _forked(whole: object, way: str, run: Run) -> Came:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        parent, child = pty.openpty() if run.columns else (-1, -1)
        if run.columns:
            fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 30, run.columns, 0, 0))
        pid = os.fork()
        if pid == 0:
            streams = (child, child, child) if run.columns else (os.open(os.devnull, 0), out.fileno(), err.fileno())
            os._exit(_run(whole, way, run, streams))
        if run.columns:
            os.close(child)
            shown = _everything(parent)
            os.close(parent)
            return Came(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown, "")
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        out.seek(0)
        err.seek(0)
        return Came(status, out.read().decode("utf-8", "surrogateescape"), err.read().decode())


def _run(whole: object, way: str, run: Run, streams: tuple[int, int, int]) -> int:
    from coord.faces import cli  # noqa: PLC0415
    from coord.thin import command  # noqa: PLC0415

    try:
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
        os.chdir(run.cwd)
        os.environ.update(run.env)
        time.tzset()
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        if way == "served":
            status = command.main(list(run.words))
            return NOT_SERVED if status is None else status
        status = cli.run(whole, run.words)  # type: ignore[arg-type]
        sys.stdout.flush()
    except BaseException as fault:
        os.write(2, repr(fault).encode())
        return 98
    return status


def _everything(terminal: int) -> str:
    data = b""
    try:
        while chunk := os.read(terminal, 65_536):
            data += chunk
    except OSError:  # how the end of a pseudo-terminal is told
        pass
    return data.decode("utf-8", "surrogateescape")


if __name__ == "__main__":
    _serve()
