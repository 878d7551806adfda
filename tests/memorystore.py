"""A second store, a dict, so that the contract is proven to be more than what the first one does."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from coord.model.errors import TimedOut
from coord.model.records import Change
from coord.stores.base import Guard, Stored, parts_of


class Ear:
    """A watch on a prefix."""

    def __init__(self, prefix: str, changed: threading.Condition) -> None:
        self.prefix = prefix
        self.rung = False
        self._changed = changed

    def wait(self, timeout: float) -> bool:
        """Block until something under the prefix changed (True) or TIMEOUT seconds passed (False)."""
        with self._changed:
            heard = self._changed.wait_for(lambda: self.rung, timeout)
            self.rung = False
            return heard


class MemoryStore:
    """Records in a dict, shared by the threads of this process; starts with a copy of RECORDS."""

    def __init__(self, records: Mapping[str, bytes] | None = None) -> None:
        self._records = dict(records or {})
        self._changed = threading.Condition()
        self._ears: set[Ear] = set()
        self._held: set[str] = set()

    def get(self, key: str) -> Stored | None:
        """Return what KEY holds now, or None; see Store."""
        parts_of(key)
        data = self._records.get(key)
        return None if data is None else Stored(key, data)

    def list(self, prefix: str) -> Iterator[str]:
        """Yield, in order, the keys under the folder PREFIX; "" is all of them."""
        if prefix:
            parts_of(prefix)
        with self._changed:
            found = sorted(key for key in self._records if key.startswith(f"{prefix}/" if prefix else ""))
        yield from found

    def apply(self, changes: Sequence[Change], *, commit: Callable[[], None] | None = None) -> None:
        """Carry out every change, or none; see Store."""
        for change in changes:
            parts_of(change.key)
        if commit is not None:
            commit()
        with self._changed:
            for change in changes:
                if change.data is None:
                    self._records.pop(change.key, None)
                else:
                    self._records[change.key] = bytes(change.data)
            for ear in self._ears:
                ear.rung |= any(f"{change.key}/".startswith(f"{ear.prefix}/" * bool(ear.prefix)) for change in changes)
            self._changed.notify_all()

    def sync(self, keys: Collection[str]) -> None:
        """Do nothing: memory outlives no power cut; see Store."""

    @contextmanager
    def watch(self, prefix: str) -> Iterator[Ear]:
        """Subscribe to changes under PREFIX; see Store."""
        ear = Ear(prefix, self._changed)
        with self._changed:
            self._ears.add(ear)
        try:
            yield ear
        finally:
            with self._changed:
                self._ears.discard(ear)

    @contextmanager
    def exclusive(self, name: str, *, timeout: float | None = None) -> Iterator[Guard]:
        """Enter the critical section NAME, alone among the threads of this process; see Store."""
        with self._changed:
            if not self._changed.wait_for(lambda: name not in self._held, timeout):
                raise TimedOut(f"{name} stayed busy for {timeout:g} s", hint="run it again", name=name)
            self._held.add(name)
        try:
            yield Guard(name)
        finally:
            with self._changed:
                self._held.discard(name)
                self._changed.notify_all()
