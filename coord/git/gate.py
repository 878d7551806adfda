"""Run the owner's test command on a commit, in a scratch worktree that git does not list.

A slot is a folder with a worktree (`tree`) and its own part of git (`git`) beside it, made
by hand as `git worktree add` makes them, but outside `.git/worktrees`: the owner's
`git worktree list` stays as it was, git works inside, and using a slot again writes only
the files that differ. Submodules are not initialised.

Every process of a gate inherits an OS lock on the slot's `lock`, so a slot is free when,
and only when, all of them are dead.
"""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

import psutil

from coord.git.repo import Git, clean
from coord.model.errors import NotFound, Unavailable

# Waits until it is noted who runs, runs the command, notes its status, and ends whatever it left
# in its group, itself included. The trap lets it live through the polite signal, so that its
# process id stays ours.
_WRAPPER = 'read -r _ || exit; trap : TERM; sh -c "$1" </dev/null; echo $? >"$2"; kill -KILL 0'
_GRACE = 5.0
_TAIL = 4096
_MOST_OUTPUT = 1 << 30
_SLOTS = 64
_NO_COMMAND = (126, 127)
_SAME_START = 2.0
_LINE_ENDS = re.compile(r"\r+\n?")

Reason = Literal["passed", "failed", "timeout", "flood", "error"]
_Step = Callable[[], subprocess.Popen[bytes]]


@dataclass(frozen=True, slots=True)
class Result:
    """How a gate ended. `status` is the command's, None where it had none; `tail` is the log's end, safe to show.

    "error" says that the commit was not judged: it could not be checked out, the command
    does not exist, or the gate was stopped. "flood" says that it was ended before its output
    filled the disk.
    """

    passed: bool
    status: int | None
    reason: Reason
    seconds: float
    log: Path
    tail: str


@dataclass(frozen=True, slots=True)
class Leftover:
    """A gate of a process that died before it: still running, and nobody waits for it."""

    pid: int
    slot: Path

    def kill(self) -> None:
        """End it with all that it started."""
        _signal(self.pid, signal.SIGKILL)


class Running:
    """A gate at work. Ask `poll` now and then; it never waits."""

    def __init__(self, steps: Iterator[_Step], slot: "_Slot", log: Path, limit: timedelta) -> None:
        self.log = log
        self._slot = slot
        self._steps = steps
        self._limit = limit.total_seconds()
        self._begun = time.monotonic()
        self._ending: Reason | None = None
        self._asked = 0.0
        self._result: Result | None = None
        self._begun_at = log.stat().st_size if log.exists() else 0
        self._process = next(steps)()

    def poll(self) -> Result | None:
        """Return how it ended, or None while it runs; on its way it ends a gate that takes too long."""
        if self._result is None:
            now = time.monotonic()
            if self._process.poll() is not None:
                self._advance()
            elif self._ending is None and now - self._begun > self._limit:
                self._end("timeout")
            elif self._ending is None and self.log.stat().st_size - self._begun_at > _MOST_OUTPUT:
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

    def _advance(self) -> None:
        following = None
        if self._process.returncode == 0 and self._ending is None:
            following = next(self._steps, None)
        if following is None:
            # What a killed wrapper could not end; its group's number is not given away while one is left.
            _signal(self._process.pid, signal.SIGKILL)
            self._result = self._judge()
            self._slot.leave()
        else:
            self._process = following()

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
        return Result(reason == "passed", status, reason, seconds, self.log, tail(self.log))


def start(
    git: Git,
    commit: str,
    command: str,
    *,
    folder: Path,
    log: Path,
    timeout: timedelta,
    env: Mapping[str, str] | None = None,
) -> Running:
    """Check COMMIT out in a free slot under FOLDER and run COMMAND there by `sh -c`; returns at once.

    COMMAND is the owner's own configuration. Its output, and the complaints of the checkout,
    are appended to LOG; it has no input. It sees this process's environment and ENV, without
    any GIT_ variable, and COORD_GATE=1 and COORD_COMMIT.

    Raises:
        NotFound: COMMIT names none.
        Unavailable: there is no free slot.
    """
    found = git.tip(commit)
    if found is None:
        raise NotFound(f"{commit!r} names no commit", hint="`git log --all` lists them")
    common = git.run("rev-parse", "--path-format=absolute", "--git-common-dir").out.removesuffix(b"\n")
    slot = _Slot.free(folder)
    try:
        slot.prepare(common, found)
        log.parent.mkdir(parents=True, exist_ok=True)
        return Running(_steps(slot, log, found, command, env or {}), slot, log, timeout)
    except BaseException:
        slot.leave()
        raise


def leftovers(folder: Path) -> tuple[Leftover, ...]:
    """Return the gates under FOLDER that still run though the process that waited for them is dead."""
    found = []
    for note in sorted(folder.glob("*/note")):
        slot = _Slot.take(note.parent)
        if slot is not None:
            slot.leave()
            continue
        facts = json.loads(note.read_text())
        if _lives(facts.get("gate")) and not _lives(facts.get("owner")):
            found.append(Leftover(facts["gate"][0], note.parent))
    return tuple(found)


def _steps(slot: "_Slot", log: Path, commit: str, command: str, env: Mapping[str, str]) -> Iterator[_Step]:
    def by_git(*args: str) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return Git(slot.tree).start(*args, stdout=subprocess.DEVNULL, stderr=output, pass_fds=(slot.fd,))

    def by_shell() -> subprocess.Popen[bytes]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        with log.open("ab") as output:
            process = subprocess.Popen(
                ["sh", "-c", _WRAPPER, "gate", command, os.fspath(slot.path / "status")],
                cwd=slot.tree,
                env={**own, **env, "COORD_GATE": "1", "COORD_COMMIT": commit},
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

    yield lambda: by_git("clean", "-ffdxq")
    yield lambda: by_git("read-tree", "--reset", "-u", commit)
    yield by_shell


class _Slot:
    """A scratch worktree with its part of git, held by an OS lock."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.tree = path / "tree"
        self.fd = fd

    @classmethod
    def free(cls, folder: Path) -> "_Slot":
        for number in range(_SLOTS):
            path = folder / str(number)
            path.mkdir(parents=True, exist_ok=True)
            if slot := cls.take(path):
                return slot
        raise Unavailable(f"all {_SLOTS} gates under {folder} are in use", hint="wait for one, or end what is stuck")

    @classmethod
    def take(cls, path: Path) -> "_Slot | None":
        fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return cls(path, fd)

    def leave(self) -> None:
        os.close(self.fd)

    def prepare(self, common: bytes, commit: str) -> None:
        """Make it a worktree that stands on COMMIT; of what an earlier gate left only the index is used."""
        own = self.path / "git"
        (self.path / "kept").unlink(missing_ok=True)
        if (own / "index").exists():
            (own / "index").replace(self.path / "kept")
        shutil.rmtree(own, ignore_errors=True)
        for name in ("status", "note"):
            (self.path / name).unlink(missing_ok=True)
        own.mkdir()
        self.tree.mkdir(exist_ok=True)
        if (self.path / "kept").exists():
            (self.path / "kept").replace(own / "index")
        (own / "HEAD").write_text(f"{commit}\n")
        (own / "commondir").write_bytes(common + b"\n")
        (own / "gitdir").write_bytes(os.fsencode(self.tree / ".git") + b"\n")
        pointer = self.tree / ".git"
        if pointer.is_dir() and not pointer.is_symlink():
            shutil.rmtree(pointer)
        pointer.unlink(missing_ok=True)
        pointer.write_bytes(b"gitdir: " + os.fsencode(own) + b"\n")

    def status(self) -> int | None:
        """Return the command's exit status, or None where it did not come to an end."""
        try:
            return int((self.path / "status").read_text())
        except (FileNotFoundError, ValueError):
            return None


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
