"""What every store promises, in six verbs.

A hand-over in coord is often several files and one note of why, so the writing verb
takes them together: `apply` is put and delete for one record or for twenty, all or
nothing. Mail, leases, claims and counters are written once above these verbs, and
one contract suite runs on every store.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from coord.model.errors import Refused
from coord.model.keys import DEAD, FOLDERS
from coord.model.records import Change
from coord.model.values import frozen

LEDGER = "ledger"
"""The critical section of whoever reads the journal and writes the ledger."""


@frozen
class Stored:
    """A record's bytes as found."""

    key: str
    data: bytes


@frozen
class Guard:
    """The proof that the caller is inside a short critical section; functions that need one take it.

    `inherited` says that the last holder did not leave in good order (it was killed, it failed,
    the machine went down): what it noted and did not publish must be finished before deciding anything.
    """

    name: str
    inherited: bool = False


def parts_of(key: str) -> list[str]:
    """Split a key (or the folder part of one), which may come from another machine, a person or a model.

    Raises:
        Refused: it does not lie in one of the three folders, or has an empty part or one that
            starts with a dot (dead letters' folder excepted): no record can live there.
    """
    parts = key.split("/")
    below = key.removeprefix(DEAD).split("/") if parts[:2] == DEAD.split("/") else parts
    hidden = any(part.startswith(".") for part in below)
    if parts[0] not in FOLDERS or "" in parts or hidden or "\0" in key:
        raise Refused(f"no record can live at {key!r}", hint=f"keys lie below {', '.join(FOLDERS)}", key=key)
    return parts


class Watch(Protocol):
    """A subscription to changes under a prefix; a hint, never the truth."""

    def wait(self, timeout: float) -> bool:
        """Block until something may have changed, or TIMEOUT seconds passed; True says something may have."""
        ...


class Store(Protocol):
    """Records by key. Keys are relative paths with forward slashes."""

    def get(self, key: str) -> Stored | None:
        """Return what KEY holds now, whole, or None."""
        ...

    def list(self, prefix: str) -> Iterator[str]:
        """Yield, in order, the keys directly or indirectly under the folder PREFIX."""
        ...

    def apply(self, changes: Sequence[Change], *, commit: Callable[[], None] | None = None) -> None:
        """Carry out every change, or none.

        First everything that can fail for want of space is put aside; then COMMIT is
        called once (it notes the event, durably); then the changes become visible one by
        one, each whole. If COMMIT raises, nothing is visible and nothing is left behind.
        A crash after COMMIT leaves work that applying the same changes again finishes.
        Without COMMIT all is durable when this returns; with it the note is, and must be
        kept until `sync` has returned for its keys: after a power cut the changes may be undone.
        """
        ...

    def sync(self, keys: Collection[str]) -> None:
        """Return once what KEYS hold now, or that they hold nothing, will outlive a power cut."""
        ...

    def watch(self, prefix: str) -> AbstractContextManager[Watch]:
        """Subscribe to changes under PREFIX by any process. Hints may repeat and may be missed."""
        ...

    def exclusive(self, name: str, *, timeout: float | None = None) -> AbstractContextManager[Guard]:
        """Enter the critical section NAME, alone among all processes of this machine.

        Not re-entrant. Freed by the operating system when its holder dies.

        Raises:
            TimedOut: TIMEOUT seconds passed first; None waits for ever.
        """
        ...
