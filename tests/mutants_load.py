"""Faults to be planted in a sender or in the daemon: each breaks what must hold under load, or over many days."""

import fcntl
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from coord.daemon import settled
from coord.daemon.observe import Observer
from coord.daemon.plan import Settled, View
from coord.daemon.rules import sweep
from coord.git import ledger, maintain
from coord.model.eventline import Noted
from coord.model.records import Event, Message, Process
from coord.service import mail
from coord.service.byhand import adopt, handwritten
from coord.service.committer import Committer
from coord.service.coord import Coord
from coord.stores import claim, oslock
from coord.stores.journal import Journal, Pending

_NOW_AND_THEN = 23
_NAP = 3.0
_HOARD, _LARGE_HOARD = 1 << 20, 8 << 20  # a burst brings few looks


def _every(count: int) -> Callable[[], bool]:
    passed = [0]

    def now() -> bool:
        passed[0] += 1
        return passed[0] % count == 0

    return now


def _event_not_noted() -> None:
    append, now = Journal.append, _every(_NOW_AND_THEN)

    def forgetful(self: Journal, event: Event, process: Process) -> None:
        if event.kind != "mail.sent" or not now():
            append(self, event, process)

    Journal.append = forgetful  # type: ignore[method-assign]


def _file_not_written() -> None:
    record, now = Coord.record, _every(_NOW_AND_THEN)

    def dropping(self: Coord, event: Event) -> None:
        if event.kind == "mail.sent" and now():
            self.journal.append(event, oslock.me())
            self.journal.done(event.id)
        else:
            record(self, event)

    Coord.record = dropping  # type: ignore[method-assign]


def _sent_again() -> None:
    post, now = mail.post, _every(_NOW_AND_THEN)

    def anxious(coord: Coord, message: Message, *, key: str = "") -> mail.Sent:
        if now():
            post(coord, message, key=key)
        return post(coord, message, key=key)

    mail.post = anxious


def _committed_again() -> None:
    advance, now = Journal.advance, _every(3)

    def forgetful(
        self: Journal,
        pending: Pending,
        *,
        tip: str | None,
        found: Collection[str] = (),
        carried: Sequence[Noted] = (),
    ) -> None:
        if not pending.events or not now():
            advance(self, pending, tip=tip, found=found, carried=carried)

    def nothing(self: Committer, tip: str | None, pending: Pending) -> set[str]:
        return set()

    Journal.advance = forgetful  # type: ignore[method-assign]
    Committer._held = nothing  # type: ignore[method-assign]


def _committed_late() -> None:
    settle = Committer.settle

    def lazy(self: Committer) -> int:
        if self.journal.size():
            time.sleep(_NAP)
        return settle(self)

    Committer.settle = lazy  # type: ignore[method-assign]


def _never_repacked() -> None:
    def content(common: Path) -> bool:
        return False

    maintain.needs_repack = content


def _objects_left_loose() -> None:
    ledger._SETTINGS |= {"fastimport.unpackLimit": "100000", "core.fsync": "none"}
    _never_repacked()


def _waits_for_repack() -> None:
    record = Coord.record

    def patient(self: Coord, event: Event) -> None:
        with maintain.lock_of(self.place.common).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
        record(self, event)

    Coord.record = patient  # type: ignore[method-assign]


def _adopted_again() -> None:
    deliver, now = adopt._deliver, _every(_NOW_AND_THEN)

    def twice(coord: Coord, key: str, data: bytes, mailbox: str, message: Message) -> None:
        if now():
            deliver(coord, key, data, mailbox, replace(message, id=coord.new_id()))
        deliver(coord, key, data, mailbox, message)

    adopt._deliver = twice


def _taken_and_lost() -> None:
    deliver, now = adopt._deliver, _every(_NOW_AND_THEN)

    def careless(coord: Coord, key: str, data: bytes, mailbox: str, message: Message) -> None:
        if now():
            (coord.home / key).unlink()
        else:
            deliver(coord, key, data, mailbox, message)

    adopt._deliver = careless


def _passed_over() -> None:
    judged = handwritten._judged

    def hasty(box: Path, name: str) -> handwritten.Found | None:
        return None if "für" in name else judged(box, name)

    handwritten._judged = hasty


def _taken_half() -> None:
    read = claim.read

    def impatient(home: Path, key: str, limit: int, *, lease: int | None = None) -> claim.Taken | None:
        return read(home, key, limit, lease=None)

    claim.read = impatient
    handwritten.SETTLE_AFTER = timedelta(0)


def _memory_kept() -> None:
    view, kept = Observer.view, list[bytes]()

    def hoarding(self: Observer, *, full: bool) -> View:
        kept.append(os.urandom(_LARGE_HOARD))
        return view(self, full=full)

    Observer.view = hoarding  # type: ignore[method-assign]


class _Held:
    """A descriptor that stays open for as long as this is remembered."""

    def __init__(self) -> None:
        self._fd = os.open(os.devnull, os.O_RDONLY)

    def __del__(self) -> None:
        os.close(self._fd)


def _at_each_look(patch: pytest.MonkeyPatch, keep: Callable[[Coord], object]) -> None:
    view, kept = Observer.view, list[object]()

    def hoarding(self: Observer, *, full: bool) -> View:
        kept.append(keep(self.coord))
        return view(self, full=full)

    patch.setattr(Observer, "view", hoarding)


def _left_file(coord: Coord) -> None:
    (coord.private / f"left-{os.urandom(8).hex()}").touch()


def _unsettled(patch: pytest.MonkeyPatch, without: Callable[[Settled], Settled]) -> None:
    look = settled.look
    patch.setattr(settled, "look", lambda coord: without(look(coord)))


def _unnoted(patch: pytest.MonkeyPatch) -> None:
    append, now = Journal.append, _every(_NOW_AND_THEN)

    def forgetful(self: Journal, event: Event, process: Process) -> None:
        if not now():
            append(self, event, process)

    patch.setattr(Journal, "append", forgetful)


def _told_again(patch: pytest.MonkeyPatch) -> None:
    reminded, now = Observer.reminded, _every(3)

    def forgetful(self: Observer, mailbox: str, ids: tuple[str, ...], level: int) -> None:
        if not now():
            reminded(self, mailbox, ids, level)

    patch.setattr(Observer, "reminded", forgetful)


# For the time of one test, in its own process; leaks by what grows of them.
LEAKS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "descriptors": lambda patch: _at_each_look(patch, lambda _: _Held()),
    "memory": lambda patch: _at_each_look(patch, lambda _: os.urandom(_HOARD)),
    "private": lambda patch: _at_each_look(patch, _left_file),
    "mail": lambda patch: patch.setattr(sweep, "_retire", lambda _: []),
    "dead": lambda patch: _unsettled(patch, lambda found: replace(found, dead=())),
    "decisions": lambda patch: _unsettled(patch, lambda found: replace(found, decisions=())),
    "logs": lambda patch: _unsettled(patch, lambda found: replace(found, logs=())),
}
DAYS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {"told again": _told_again, "event not noted": _unnoted}

MUTANTS: dict[str, Callable[[], None]] = {
    "event not noted": _event_not_noted,
    "file not written": _file_not_written,
    "sent again": _sent_again,
    "committed again": _committed_again,
    "committed late": _committed_late,
    "never repacked": _never_repacked,
    "objects left loose": _objects_left_loose,
    "waits for repack": _waits_for_repack,
    "adopted again": _adopted_again,
    "taken and lost": _taken_and_lost,
    "passed over": _passed_over,
    "taken half": _taken_half,
    "memory kept": _memory_kept,
}
