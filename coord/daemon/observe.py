"""One View per cycle: what is in the folders now, read again only where it changed."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TypeVar

from coord.daemon import settled
from coord.daemon.plan import Behind, Dropped, Due, Foreseen, Read, Settled, View, Waiting
from coord.daemon.unguarded import Unguarded
from coord.git import maintain
from coord.model import codec, keys, mailboxes
from coord.model.errors import BadRecord
from coord.model.foresight import Pair
from coord.model.records import Lock, MergeRequest
from coord.service import clock, foresight, heldback, keepup, leasebook, looks, verify
from coord.service.byhand import handwritten
from coord.service.clock import Pace
from coord.service.coord import Coord
from coord.service.foresight import Forecast, Place
from coord.service.wake import calling
from coord.stores.statcache import StatCache

R = TypeVar("R")
_REMINDERS = ("mail.reminded", "mail.escalated")
_LEVELS = {"1": 1, "2": 2, "3": 3}  # anybody may commit to the ledger, and write anything there


class Observer:
    """Looks at the repository; keeps only what can be read again."""

    def __init__(self, coord: Coord, foreseen: Callable[[], Forecast | None] = lambda: None) -> None:
        self.coord = coord
        self._foreseen = foreseen
        home = str(coord.home)
        self._messages = StatCache[Waiting](home)
        self._locks = StatCache[Lock](home)
        self._merges = StatCache[MergeRequest](home)
        self._looks = looks.Looks(coord)
        self._unguarded = Unguarded(coord)
        self._pace: Pace | None = None
        self._reminded: dict[tuple[str, str], int] | None = None
        self._warned: dict[Pair, frozenset[str]] | None = None
        self._held_back: tuple[str, frozenset[str]] | None = None
        self._ledger_read: tuple[str | None, tuple[Read, ...]] = (None, ())

    def view(self, *, full: bool) -> View:
        """Look; FULL also compares the folders with the ledger, which costs a git process when anything changed."""
        coord = self.coord
        now, monotonic = clock.read(coord.clock)
        if self._pace is None:
            self._pace = Pace.at(now, monotonic)
        self._pace = self._pace.then(now, monotonic, coord.config.watch.scan_every)
        inbox = list(self._unread(full))
        locks = tuple(self._held())
        return View(
            now=now,
            config=coord.config,
            steady=self._pace.steady,
            dropped=tuple(self._dropped()),
            shared=tuple(
                key
                for name in keys.SHARED_MAILBOXES
                for key in coord.records(keys.mailbox(name))
                if not keys.is_read(key)
            ),
            unread=tuple(inbox),
            read=self._read() if full else (),
            locks=locks,
            dead_holders=_dead(locks),
            merges=tuple(self._queued()),
            conflicts=tuple(self._conflicts()),
            behind=tuple(self._behind()),
            settled=settled.look(coord) if full else Settled(),
            drifted=full and any(one.by_hand for one in verify.drift(coord, self._looks)),
            fragmented=full and maintain.needs_repack(coord.place.common),
            unguarded=self._unguarded.look() if full else (),
            due=tuple(Due(*one) for one in calling.due(coord)),
        )

    def reminded(self, mailbox: str, ids: tuple[str, ...], level: int) -> None:
        """Note that somebody was told of these messages; the ledger holds it for the next daemon."""
        if self._reminded is not None:
            self._reminded.update({(mailbox, one): level for one in ids})

    def warned(self) -> None:
        """Note that somebody was told of a conflict, or that it is gone; the ledger holds of which."""
        self._warned = None

    def followed(self) -> None:
        """Note that a worktree was brought along, or its agent told why not; the ledger holds which."""
        self._held_back = None

    def foreseen(self, first: str, second: str) -> Place | None:
        """Return a conflict of the latest forecast."""
        found = self._foreseen()
        pairs = found.conflicts if found is not None else ()
        return next((one for one in pairs if (one.first, one.second) == (first, second)), None)

    def _conflicts(self) -> Iterator[Foreseen]:
        found = self._foreseen()
        if found is None:
            return
        if self._warned is None:
            self.coord.committer.settle()
            self._warned = foresight.told(self.coord)
        now = {(one.first, one.second): frozenset(one.marks) for one in found.conflicts}
        for pair in {**now, **self._warned}:
            yield Foreseen(*pair, now.get(pair, frozenset()), self._warned.get(pair, frozenset()))

    def _behind(self) -> Iterator[Behind]:
        begun = keepup.half_done(self.coord)
        yield from (Behind(name, begun=True) for name in begun)
        found = self._foreseen() if self.coord.config.worktrees.follow != "off" else None
        if found is not None and found.lagging:
            if self._held_back is None or self._held_back[0] != found.tip:
                self._held_back = found.tip, frozenset(heldback.told(self.coord, found.tip))
            told = self._held_back[1]
            yield from (Behind(name, told=name in told) for name in found.lagging if name not in begun)

    def _dropped(self) -> Iterator[Dropped]:
        for one in handwritten.waiting(self.coord):
            yield Dropped(one.key, one.ripe_in)

    def _unread(self, full: bool) -> Iterator[Waiting]:
        """Yield what is unread. Nobody changes a message but by hand, and a FULL look comes soon."""
        coord = self.coord
        if self._reminded is None:
            self._reminded = _reminders(coord)
        listed: list[str] = []
        for name in (*coord.config.names, mailboxes.OWNER):
            here = [key for key in coord.records(keys.mailbox(name)) if not keys.is_read(key) and keys.id_in(key)]
            listed += here
            for key in here:
                if (found := self._messages.get(key, self._head, trusted=not full)) is not None:
                    told = self._reminded.get((name, found.id), 0) if self._reminded else 0
                    yield replace(found, reminded=told) if told else found
        self._messages.keep(listed)

    def _held(self) -> Iterator[Lock]:
        listed = self.coord.records("locks")
        read = partial(self._decoded, codec.decode_lock)
        yield from (lock for key in listed if (lock := self._locks.get(key, read)) is not None)
        self._locks.keep(listed)

    def _queued(self) -> Iterator[MergeRequest]:
        listed = self.coord.records(keys.MERGES)
        read = partial(self._decoded, codec.decode_merge_request)
        yield from (request for key in listed if (request := self._merges.get(key, read)) is not None)
        self._merges.keep(listed)

    def _head(self, key: str) -> Waiting | None:
        """Read what rules ask of a message."""
        message = self._decoded(codec.decode_message, key)
        if message is None:
            return None
        box, sender = sys.intern(key.split("/")[1]), sys.intern(message.sender)
        return Waiting(key, box, sender, message.priority, message.sent_at, message.expires_at)

    def _decoded(self, decode: Callable[[bytes, str], R], key: str) -> R | None:
        stored = self.coord.store.get(key)
        if stored is None:
            return None
        try:
            return decode(stored.data, key)
        except BadRecord:
            return None

    def _read(self) -> tuple[Read, ...]:
        tip = self.coord.ledger.tip()
        if tip != self._ledger_read[0]:
            self.coord.index.sync()
            since = self.coord.index.live_since(keys.READ)
            self._ledger_read = (tip, tuple(Read(key, at) for key, at in since.items()))
        return self._ledger_read[1]


def _dead(locks: tuple[Lock, ...]) -> tuple[int, ...]:
    return tuple(lock.token for lock in locks if leasebook.holder_is_dead(lock))


def _reminders(coord: Coord) -> dict[tuple[str, str], int]:
    """Who was told of which unread message, and how far: from the ledger, so that a restart tells nobody twice."""
    coord.index.sync()
    told: dict[tuple[str, str], int] = {}
    for kind in _REMINDERS:
        for entry in coord.index.entries(kind=kind, limit=None):
            for one in entry.cause:
                place = (entry.facts.get("Mailbox", ""), one)
                told[place] = max(told.get(place, 0), _LEVELS.get(entry.facts.get("Level", ""), 0))
    return told
