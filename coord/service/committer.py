"""Turn noted events into commits: one elected committer at a time, whoever holds the guard.

A command is acknowledged when its note and its files are durable; the commit follows.
The committer also finishes what a dead process left half done: its event is noted, so
applying its changes again is all that is missing.
"""

from collections.abc import Sequence

from coord.git import history
from coord.git.ledger import Ledger
from coord.git.repo import Git
from coord.model import keys
from coord.model.errors import LedgerMoved
from coord.model.eventline import Noted
from coord.model.records import Change, Event
from coord.stores import oslock
from coord.stores.files import FileStore
from coord.stores.journal import Journal

GUARD = "ledger"
BATCH = 1_000
_RETRIES = 50


class Committer:
    """Moves events from the journal to the ledger, each exactly once, in the order they were noted."""

    def __init__(self, store: FileStore, journal: Journal, git: Git, ledger: Ledger) -> None:
        self.store = store
        self.journal = journal
        self.git = git
        self.ledger = ledger

    def settle(self) -> int:
        """Commit every waiting event and return how many there were.

        Safe from any number of processes at once: they queue at the guard, and whoever
        enters commits for all. After a crash the next call finishes the work.
        """
        committed = 0
        with self.store.exclusive(GUARD):
            while count := self._batch():
                committed += count
        return committed

    def _batch(self) -> int:
        pending = self.journal.read(limit=BATCH)
        if not pending.events and not pending.carried:
            return 0
        self._finish((*pending.carried, *pending.events))
        carried = [noted for noted in (*pending.carried, *pending.events) if self._in_progress(noted)]
        if not pending.events:
            if len(carried) != len(pending.carried):
                self.journal.advance(pending.position, carried=carried)
            return 0
        events = [noted.event for noted in pending.events]
        if pending.intended is not None:
            events = self._without_committed(events, pending.intended[0])
        self._append(events, fresh=pending.intended is None)
        self.journal.advance(pending.position, carried=carried)
        return len(pending.events)

    def _append(self, events: Sequence[Event], *, fresh: bool) -> None:
        for attempt in range(_RETRIES):
            if not events:
                return
            parent = self.ledger.tip()
            if fresh and attempt == 0:
                self.journal.intend(parent)
            try:
                self.ledger.append(events, parent=parent)
            except LedgerMoved:
                if attempt == _RETRIES - 1:
                    raise
            else:
                return

    def _without_committed(self, events: list[Event], base: str | None) -> list[Event]:
        tip = self.ledger.tip()
        if tip is None:
            return events
        known = history.ids_in(self.git, base, tip)
        return [event for event in events if event.id not in known]

    def _in_progress(self, noted: Noted) -> bool:
        return not noted.done and oslock.is_alive(noted.process) is not False

    def _finish(self, noted: Sequence[Noted]) -> None:
        """Apply what dead writers noted and did not publish, unless something later spoke of the same key."""
        touched: set[str] = set()
        unfinished: list[list[Change]] = []
        for one in reversed(noted):
            if not one.done and not self._in_progress(one):
                unfinished.append([c for c in one.event.changes if c.key not in touched and not self._consumed(c)])
            touched.update(change.key for change in one.event.changes)
        for changes in reversed(unfinished):
            self.store.apply(changes)

    def _consumed(self, change: Change) -> bool:
        if change.data is None or not change.key.startswith("inbox/") or keys.is_read(change.key):
            return False
        return self.store.get(keys.as_read(change.key)) is not None
