"""What happened in a play, and what is there: the events that were noted, the records, and the ledger.

The unit is the event: it has happened once its note returned, and has not before it was begun.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

from disk import Disk

from coord.git import history
from coord.model import keys
from coord.model.records import Event, Process
from coord.service.coord import Coord
from coord.stores.journal import Journal

Records = Mapping[str, bytes]


@dataclass
class Noted:
    """An event, and how many file operations had been done when its note was begun, and when it returned."""

    event: Event
    begun: int
    done: int | None = None


@dataclass
class Account:
    """The events that were noted while it was kept, in order."""

    noted: list[Noted] = field(default_factory=list)

    def between(self, at: int) -> tuple[int, int]:
        """Return how many events must have happened after AT operations, and how many may have."""
        sure = sum(one.done is not None and one.done <= at for one in self.noted)
        return sure, sum(one.begun < at for one in self.noted)


@contextmanager
def kept(disk: Disk) -> Iterator[Account]:
    """Take note of every event that is noted."""
    account = Account()
    real = Journal.append

    def append(self: Journal, event: Event, process: Process) -> None:
        account.noted.append(one := Noted(event, len(disk.ops)))
        real(self, event, process)
        one.done = len(disk.ops)

    with patch.object(Journal, "append", append):
        yield account


@dataclass(frozen=True)
class Found:
    """All that a repository says: its records as files, the ledger's blobs, its events, and files that are no records."""

    files: Records
    tree: Mapping[str, str]
    events: tuple[str, ...]
    strays: Records

    @classmethod
    def at(cls, coord: Coord) -> "Found":
        """Look."""
        everything = {key: (coord.home / key).read_bytes() for key in _walk(coord.home)}
        files = {key: data for key, data in everything.items() if keys.is_record(key)}
        tip = coord.ledger.tip()
        tree = history.tree(coord.git, tip) if tip else {}
        entries = history.entries(coord.git, until=tip, with_changes=False) if tip else ()
        strays = {key: data for key, data in everything.items() if key not in files}
        return cls(files, tree, tuple(entry.id for entry in entries), strays)

    @property
    def ledger(self) -> tuple[Mapping[str, str], tuple[str, ...]]:
        """What the ledger says."""
        return self.tree, self.events

    def unlike(self, other: "Found") -> str:
        """Say in which way OTHER, which was found, is not this, which was wanted."""
        words = []
        for what, mine, theirs in (("files", self.files, other.files), ("ledger", self.tree, other.tree)):
            words += [f"{what} lack {key}" for key in mine.keys() - theirs.keys()]
            words += [f"{what} have {key}" for key in theirs.keys() - mine.keys()]
            words += [f"{what} differ at {key}" for key in mine.keys() & theirs.keys() if mine[key] != theirs[key]]
        return "; ".join(words) or f"events {self.events} are {other.events}"

    def after(self, events: Sequence[Event], blob: Callable[[bytes], str]) -> "Found":
        """Return what must be found once EVENTS have happened."""
        files, tree = dict(self.files), dict(self.tree)
        strays = dict(self.strays)
        for event in events:
            for change in event.changes:
                strays.pop(change.key, None)
                files.pop(change.key, None)
                tree.pop(change.key, None)
                if change.data is not None:
                    files[change.key], tree[change.key] = change.data, blob(change.data)
        return Found(files, tree, (*self.events, *(event.id for event in events)), strays)


def _walk(home: Path) -> Iterator[str]:
    for folder in keys.FOLDERS:
        for path in sorted((home / folder).rglob("*")):
            if path.is_file():
                yield path.relative_to(home).as_posix()
