"""Serving hooks: in the daemon, for whoever comes to its door, and in a process of their own where none runs."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import FrameType

from coord.faces.hooks import answer, dialect, payload, waiting
from coord.faces.hooks.answer import Caller
from coord.faces.hooks.dialect import Reply
from coord.faces.hooks.payload import Hooked
from coord.model.errors import CoordError, TimedOut
from coord.model.untrusted import clean_line
from coord.model.values import frozen
from coord.service.session.callers import Called
from coord.thin import hook, reach

_SEEN_WITHIN = 2.0
_LIMITS: Mapping[str, float] = {"ended": 60.0}  # nobody waits for it: it outlives its client
_LIMIT = 8.0
_AGAIN = 0.2
_IDLE = 16


class Kept:
    """Repositories that stay opened in the daemon: to read a configuration again costs more than a hook may."""

    def __init__(self) -> None:
        self._idle: dict[str, Called] = {}
        self._lock = threading.Lock()

    def take(self, start: Path) -> Called | None:
        """Return the repository around START, for one user at a time, or None where coord is not set up."""
        with self._lock:
            found = self._idle.pop(str(start), None)
        if found is None or not (found.private.is_dir() and found.place.top.is_dir()):
            return Called.at(start)
        found.renew()
        return found

    def give(self, coord: Called) -> None:
        """Take back what nobody uses any more."""
        with self._lock:
            if len(self._idle) < _IDLE:
                self._idle[str(coord.start)] = coord


def visitors() -> Callable[["socket.socket", Sequence[bytes]], None]:
    """Return what answers hooks at the daemon's door: first that somebody is at work, then the reply.

    What was handed over counts as delivered when the visitor says that it has passed it on.
    """
    kept = Kept()

    def serve(visitor: "socket.socket", fields: Sequence[bytes]) -> None:
        facts, data = fields
        cwd, parent, client, waits, named, store, *terminal = os.fsdecode(facts).split("\0")
        reach.send(visitor, b"")

        def tell(reply: Reply) -> bool:
            reach.send(visitor, *reply.fields)
            visitor.settimeout(_SEEN_WITHIN)
            return visitor.recv(1) == b"k"

        work = Work(_unlimited, Path(cwd), Caller(named, int(parent), waits, store, tuple(terminal)), kept)
        _served(work, client, data, tell)

    return serve


def here(client: str, *, parent: int, waits: str = "") -> int:
    """Answer the hook that this process is, or that a waiter is whose child it is; returns its exit status."""
    given: list[int] = []

    def tell(reply: Reply) -> bool:
        given.append(hook.given(*reply.fields))
        return given[-1] == reply.status

    named, store, *terminal = (os.environ.get(name, "") for name in ("COORD_AGENT", "CODEX_HOME", "TMUX", "TMUX_PANE"))
    caller = Caller(named, parent, waits, store, tuple(terminal))
    try:
        _served(Work(_limit, Path(hook.here()), caller, Kept()), client, sys.stdin.buffer.read(), tell)
    except Exception as fault:  # after the answer: it stands
        hook.write(2, _failed(fault).err)
    return given[0] if given else 1


@frozen
class Work:
    """Where a hook was called, by whom, and how long it may take."""

    limited: Callable[[float], AbstractContextManager[None]]
    cwd: Path
    caller: Caller
    kept: Kept

    def answered(self, hooked: Hooked, tell: Callable[[Reply], bool]) -> None:
        """Answer HOOKED: work it out, TELL it, and then note what was delivered."""
        seconds = _LIMITS.get(hooked.event, _LIMIT)
        told = Path(hooked.cwd.replace("\0", "") or ".")
        there = told if told.is_absolute() and told.is_dir() else self.cwd
        with self.limited(seconds):
            coord = self.kept.take(there)
            of = waiting.of if self.caller.waits else answer.of
            prepared = of(hooked, coord, self.caller) if coord is not None else None
        if coord is None or prepared is None:
            tell(Reply())
            return
        found, unfinished = prepared
        delivered = tell(dialect.written(hooked, found))
        with self.limited(seconds), unfinished:
            for done in found.delivered if delivered else ():
                done()
        if coord.left is None:
            self.kept.give(coord)


def _served(work: Work, client: str, data: bytes, tell: Callable[[Reply], bool]) -> None:
    told = False

    def once(reply: Reply) -> bool:
        nonlocal told
        told = True
        return tell(reply)

    try:
        hooked = payload.read(client, data)
        if hooked is None:
            once(Reply())
        else:
            work.answered(hooked, once)
    except Exception as fault:
        if told:
            raise
        tell(_failed(fault))


def _failed(fault: Exception) -> Reply:
    own = f"an error of coord itself: {type(fault).__name__}: {fault}"
    word = answer.said(fault) if isinstance(fault, CoordError) else clean_line(own, 500)
    return Reply(1, b"", f"coord hook: {word}\n".encode("utf-8", "replace"))


def _unlimited(_seconds: float) -> AbstractContextManager[None]:
    """Limit nothing: whoever came to the door does not wait longer than it wants."""
    return nullcontext()


@contextmanager
def _limit(seconds: float) -> Iterator[None]:
    """Let nothing inside take longer: a client that waits too long for a hook goes on without its answer."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise TimedOut(f"it took longer than {seconds:g} s", hint="see `coord doctor`")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
