"""Faults to be planted in a sender or in the daemon: each breaks what must hold under load, or over many days."""

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from coord.git import ledger, maintain
from coord.model.eventline import Noted
from coord.model.records import Event, Message, Process
from coord.service import mail
from coord.service.committer import Committer
from coord.service.coord import Coord
from coord.stores import oslock
from coord.stores.journal import Journal, Pending

_NOW_AND_THEN = 23
_NAP = 3.0


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


MUTANTS: dict[str, Callable[[], None]] = {
    "event not noted": _event_not_noted,
    "file not written": _file_not_written,
    "sent again": _sent_again,
    "committed again": _committed_again,
    "committed late": _committed_late,
    "never repacked": _never_repacked,
    "objects left loose": _objects_left_loose,
}
