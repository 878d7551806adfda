"""Turn noted events into commits: one elected committer at a time, whoever holds the guard.

A command is acknowledged when its note is durable and its files are in place; the commit follows,
then the files are synced, then the journal may forget the note.
The committer also finishes what a dead process, or a power cut, left half done: the event
is noted, so applying its changes again is all that is missing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar

from coord.git import history
from coord.git.ledger import Ledger
from coord.git.repo import Git
from coord.model import keys
from coord.model.errors import LedgerMoved
from coord.model.eventline import Noted
from coord.model.records import Change
from coord.service.clock import Clock
from coord.stores import oslock
from coord.stores.base import LEDGER
from coord.stores.files import FileStore
from coord.stores.journal import Journal, Pending

_RETRIES = 50


class Committer:
    """Moves events from the journal to the ledger, each exactly once, in the order they were noted."""

    _in_flight: ClassVar[set[str]] = set()  # what this process is recording, in whichever of its threads

    def __init__(self, store: FileStore, journal: Journal, git: Git, ledger: Ledger, clock: Clock) -> None:
        self.store = store
        self.journal = journal
        self.git = git
        self.ledger = ledger
        self.clock = clock

    @contextmanager
    def recording(self, event_id: str) -> Iterator[None]:
        """Leave an event alone while it is noted and published: this process lives, and so does whoever is at it."""
        self._in_flight.add(event_id)
        try:
            yield
        finally:
            self._in_flight.discard(event_id)

    def settle(self) -> int:
        """Commit every event noted before and return how many there were.

        Safe from any number of processes at once: they queue at the guard, and whoever
        enters commits for all. After a crash the next call finishes the work.
        """
        if not self.journal.size():
            return 0
        committed = 0
        with self.store.exclusive(LEDGER) as guard:
            if guard.inherited:
                self.store.sweep()
            more = True
            while more:  # what is noted meanwhile is for the next: others could keep this one for ever
                pending = self.journal.read()
                finished = self._commit(pending)
                committed += len(pending.events)
                more = pending.more or finished > 0
        return committed

    def _commit(self, pending: Pending) -> int:
        """Commit what was read; return how many dead writers' events were finished, whose marks are to be read now."""
        carried = self._finish(pending.unfinished)
        tip, found = self._append(pending)
        self.store.sync(pending.published)
        self.journal.advance(pending, tip=tip, found=found, carried=carried)
        return len(pending.unfinished) - len(carried)

    def _append(self, pending: Pending) -> tuple[str | None, set[str]]:
        """Commit what the ledger does not hold yet; return its tip and the ids that it held already.

        Somebody else may move the ledger meanwhile, any number of times.
        """
        events = [noted.event for noted in pending.events]
        for _ in range(_RETRIES):
            parent = self.ledger.tip()
            found = self._held(parent, pending)
            missing = [event for event in events if event.id not in found]
            if not missing:
                return parent, found
            try:
                return self.ledger.append(missing, parent=parent, now=self.clock.now()), found
            except LedgerMoved:
                continue
        raise LedgerMoved(
            "the ledger's branch moves faster than it can be written", hint="see who commits to coord/ledger"
        )

    def _held(self, tip: str | None, pending: Pending) -> set[str]:
        if tip is None or tip == pending.tip or not pending.events:
            return set()
        return history.ids_in(self.git, pending.tip, tip)

    def _finish(self, unfinished: Sequence[Noted]) -> list[Noted]:
        """Publish what dead writers noted and did not publish; return what living ones are still at."""
        living = []
        for noted in unfinished:
            if self._abandoned(noted):
                self._publish(noted.event.changes)
                self.journal.done(noted.event.id)
            else:
                living.append(noted)
        return living

    def _publish(self, changes: Sequence[Change]) -> None:
        self.store.apply([change for change in changes if not self._consumed(change)])
        # Whoever read a message while it was brought back has left two of it.
        self.store.apply([replace(change, data=None) for change in changes if self._consumed(change)])

    def _abandoned(self, noted: Noted) -> bool:
        if noted.process == oslock.me():
            return noted.event.id not in self._in_flight
        return oslock.is_alive(noted.process) is False

    def _consumed(self, change: Change) -> bool:
        """Tell whether a message was published after all, and read by hand since."""
        if change.data is None or not change.key.startswith("inbox/") or keys.is_read(change.key):
            return False
        return self.store.get(keys.as_read(change.key)) is not None
