"""The book of leases, open under its guard: what is held, who waits, and what may change.

Everything that changes a lease goes through an opened `Book`; having one is the proof of
holding the guard. The rules are in `model/leases.py`; this file reads and writes.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path

from coord.model import codec, ids, keys, leases, quoting, times
from coord.model.errors import BadRecord, NotFound
from coord.model.leases import Ask
from coord.model.records import Change, Lock, Mode, Process
from coord.model.scope import same
from coord.model.values import frozen
from coord.service import delivery, steadiness
from coord.service.clock import Pace
from coord.service.coord import Coord
from coord.stores import oslock
from coord.stores.statcache import StatCache

GUARD = "leases"
_REMEMBERED = 1024
Lease = tuple[str, str, int]  # what tells one from another: scope, holder, token


def bell(holder: str) -> str:
    """Return the name of the bell that wakes a waiting agent."""
    return f"lease/{holder}"


@contextmanager
def opened(coord: Coord) -> Iterator["Book"]:
    """Open the book alone among all processes; leases of processes proven dead are freed first.

    What a crashed predecessor noted and did not publish is finished before anything is
    decided: its lease was granted. All is decided for one moment, that of opening: however
    long the machine sleeps before the book is closed, nothing more expires in it.
    """
    with coord.exclusive(GUARD):
        book = Book.at(coord, steadiness.look(coord, keep=True))
        for lock in [lock for lock in book.held if holder_is_dead(lock)]:
            book = book.free(lock, "lease.freed", "the process that held it died")
        yield book


def holder_is_dead(lock: Lock) -> bool:
    """Tell whether a lease's process is proven dead; a lease without one outlives every process."""
    return lock.process is not None and oslock.is_alive(lock.process) is False


@frozen
class Book:
    """The leases on file (expired ones too) and the queue of waiters, by ticket, as they are at the moment `now`.

    After a jump of the clock, what had not expired before it lasts for one interval more.
    """

    coord: Coord
    held: tuple[Lock, ...]
    queue: tuple[Ask, ...]
    now: datetime
    places: Mapping[Lease, tuple[str, ...]]

    @property
    def live(self) -> tuple[Lock, ...]:
        """The leases that stand now: not past their time, and not of a process proven dead."""
        found = leases.live(self.held, self.now)
        return tuple(lock for lock in found if not holder_is_dead(lock))

    @classmethod
    def read(cls, coord: Coord) -> "Book":
        """Read the book without the guard: for looking only."""
        return cls.at(coord, steadiness.look(coord))

    @classmethod
    def at(cls, coord: Coord, pace: Pace) -> "Book":
        """Read the book as it is at the moment of a look at the clocks."""
        found = _held(coord)
        held = tuple(lock for _, lock in found)
        places: dict[Lease, tuple[str, ...]] = {}
        for key, lock in found:
            places[_lease(lock)] = (*places.get(_lease(lock), ()), key)
        if not pace.steady:
            held = leases.spared(held, pace.before, pace.trusted_from)
        return cls(coord, held, _waiters(coord), pace.wall, places)

    def behind_all(self, ask: Ask) -> Ask:
        """Return ASK with a ticket behind everybody who waits, whatever the clock said when it was drawn."""
        last = max((other.ticket for other in self.queue), default="")
        return ask if ask.ticket > last else replace(ask, ticket=ids.after(last))

    def blockers(self, ask: Ask) -> tuple[Lock | Ask, ...]:
        """Return what stands in the way of ASK now."""
        return leases.blockers(self.held, self.queue, ask, self.coord.form, self.now)

    def circle(self, ask: Ask) -> tuple[str, ...]:
        """Return the circle of holders that waiting for ASK would close."""
        return leases.circle(self.held, self.queue, ask, self.coord.form, self.now)

    def grant(self, ask: Ask, *, ttl: timedelta, note: str) -> tuple[Lock, ...]:
        """Grant ASK and record it in one event, after one for each expired lease it replaces.

        Raises:
            LeaseHeld: something stands in the way.
        """
        coord, now = self.coord, self.now
        if in_the_way := self.blockers(ask):
            raise leases.refusal(in_the_way, now)
        last = self._last_token()
        granted = leases.grant(
            self.held, ask, ttl=ttl, now=now, token=last, note=note, process=ask.bound_to, form=coord.form
        )
        top = max((last, *(lock.token for lock in granted.locks)))
        self._keep_token(top)
        for lock in granted.expired:
            self.free(lock, "lease.expired", f"it expired at {times.format_time(lock.expires_at)}")
        changes = self._written(granted.locks, granted.replaced)
        coord.record(
            coord.event(
                "lease.granted",
                _subject(ask.holder, granted.locks),
                changes,
                agent=ask.holder,
                token=_tokens(granted.locks),
            )
        )
        return granted.locks

    def renew(self, holder: str, scopes: Sequence[str], *, ttl: timedelta, token: int | None) -> tuple[Lock, ...]:
        """Extend some of HOLDER's leases (all when SCOPES is empty)."""
        coord, now = self.coord, self.now
        chosen = scopes or [lock.scope for lock in leases.release(self.held, holder, (), token, coord.form)]
        if not chosen:
            raise NotFound(f"{holder} holds no lease", hint="see `coord lock list`")
        found = (
            leases.renew(self.held, self.queue, holder, one, ttl=ttl, now=now, token=token, form=coord.form)
            for one in chosen
        )
        renewed = tuple({lock.token: lock for lock in found}.values())
        changes = self._written(renewed)
        coord.record(
            coord.event("lease.renewed", _subject(holder, renewed), changes, agent=holder, token=_tokens(renewed))
        )
        return renewed

    def release(self, holder: str, scopes: Sequence[str], *, token: int | None) -> tuple[Lock, ...]:
        """Give back some of HOLDER's leases (all when SCOPES is empty) and wake the next in line."""
        coord = self.coord
        gone = leases.release(self.held, holder, scopes, token, coord.form)
        if not gone:
            return ()
        changes = self._removed(gone)
        named = ", ".join(lock.scope for lock in gone)
        coord.record(
            coord.event("lease.released", f"{holder}: {named} released", changes, agent=holder, token=_tokens(gone))
        )
        self._without(gone).wake()
        return gone

    def take_away(self, scope: str, *, by: str, why: str) -> tuple[Lock, ...]:
        """Break every lease on exactly SCOPE and tell its holders."""
        gone = tuple(lock for lock in self.held if same(lock.scope, scope, self.coord.form))
        if not gone:
            named = ", ".join(sorted({lock.scope for lock in self.held})[:8]) or "none at all"
            raise NotFound(f"there is no lease on {scope}", hint=f"held now: {named}")
        book = self
        for lock in gone:
            book = book.free(lock, "lease.broken", f"{by} broke it: {quoting.within(why)}", agent=by)
        return gone

    def free(self, lock: Lock, kind: str, why: str, *, agent: str = delivery.COORD) -> "Book":
        """Remove one lease, tell its holder why, wake the next in line, and return the book without it."""
        changes = [*self._removed((lock,)), *self._tell(lock, why)]
        subject = f"{lock.holder}: {lock.scope} {kind.rpartition('.')[2]}"
        self.coord.record(self.coord.event(kind, subject, changes, agent=agent, token=lock.token, why=why))
        left = self._without((lock,))
        left.wake()
        return left

    def expire(self, scope: str, token: int) -> bool:
        """Remove a lease that is past its time; False where it was renewed, released or passed on meanwhile."""
        past = leases.expired(self.held, self.now)
        found = [lock for lock in past if (lock.scope, lock.token) == (scope, token)]
        for lock in found:
            self.free(lock, "lease.expired", f"it expired at {times.format_time(lock.expires_at)}")
        return bool(found)

    def _removed(self, gone: Sequence[Lock]) -> list[Change]:
        """Return the removal of leases from where they were found: a hand may have written them anywhere."""
        return [Change(key, None) for lock in gone for key in self.places.get(_lease(lock), ())]

    def _written(self, fresh: Sequence[Lock], replaced: Sequence[Lock] = ()) -> list[Change]:
        written = {keys.lock(lock): codec.encode(lock) for lock in fresh}
        left = [change for change in self._removed((*replaced, *fresh)) if change.key not in written]
        return [*left, *(Change(key, data) for key, data in written.items())]

    def _tell(self, lock: Lock, why: str) -> tuple[Change, ...]:
        follower = leases.next_in_line(self.held, self.queue, lock, self.coord.form, self.now)
        after = f"\n{follower.holder} is next in line.\n" if follower else "\n"
        body = (
            f"Your lease on `{lock.scope}` (token {lock.token}) is gone: {why}.\n{after}"
            f"Others may write there now. To go on, ask again:\n"
            f"`coord lock acquire '{lock.scope}'`\n"
        )
        word = delivery.notice(self.coord, lock.holder, f"lease gone: {lock.scope}", body, kind="alert")
        known = lock.holder in self.coord.config.names or lock.holder == "owner"
        return delivery.copies(word, (lock.holder,)) if known else ()

    def wake(self) -> None:
        """Wake every waiter whom nothing blocks now."""
        for ask in leases.unblocked(self.held, self.queue, self.coord.form, self.now):
            self.coord.bells.ring(bell(ask.holder))

    def _without(self, gone: Sequence[Lock]) -> "Book":
        return replace(self, held=tuple(lock for lock in self.held if lock not in gone))

    def _last_token(self) -> int:
        """Return the last fencing token ever given.

        It is kept beside the guard; where that note is missing or from before a crash, the
        ledger and the live leases tell.
        """
        highest = max((lock.token for lock in self.held), default=0)
        try:
            noted = (self.coord.private / "token").read_text(encoding="ascii").split()
            if noted[1] == oslock.me().boot:
                return max(int(noted[0]), highest)
        except (OSError, ValueError, IndexError):
            pass
        self.coord.committer.settle()
        self.coord.index.sync()
        return max(self.coord.index.max_token(), highest)

    def _keep_token(self, token: int) -> None:
        # In place and not synced: the journal has the token durably, and a note from another
        # boot (or half of one) is not believed.
        fd = os.open(self.coord.private / "token", os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            os.pwrite(fd, f"{token:020} {oslock.me().boot}\n".encode(), 0)
        finally:
            os.close(fd)


def _subject(holder: str, locks: Sequence[Lock]) -> str:
    shared = " (shared)" if any(lock.mode == "shared" for lock in locks) else ""
    until = max(lock.expires_at for lock in locks)
    return f"{holder}: {', '.join(lock.scope for lock in locks)}{shared} until {until:%H:%M}"


def _tokens(locks: Sequence[Lock]) -> str:
    return " ".join(str(lock.token) for lock in locks)


def _lease(lock: Lock) -> Lease:
    return lock.scope, lock.holder, lock.token


# Whoever stays and asks often, as a daemon does for all hooks, finds the same leases and tickets each time.


@lru_cache(maxsize=8)
def _seen(home: str) -> StatCache[Lock]:
    return StatCache(home)


@lru_cache(maxsize=8)
def _seen_tickets(folder: str) -> StatCache[Ask]:
    return StatCache(folder)


def _held(coord: Coord) -> tuple[tuple[str, Lock], ...]:
    listed, seen, read = coord.records("locks"), _seen(str(coord.home)), partial(_lock, coord)
    found = tuple((key, lock) for key in listed if (lock := seen.get(key, read)) is not None)
    seen.keep(listed)
    return found


def _lock(coord: Coord, key: str) -> Lock | None:
    stored = coord.store.get(key)
    try:
        return None if stored is None else _decoded(stored.data, key)
    except BadRecord as fault:
        # A lease that cannot be read may be anybody's: to go on as if it were free would
        # let two write. Say so and how to mend it.
        raise BadRecord(
            fault.message, hint=f"mend or delete {key}; the ledger has it as it was: git show coord/ledger:{key}"
        ) from None


@lru_cache(maxsize=_REMEMBERED)
def _decoded(data: bytes, key: str) -> Lock:
    """Decode a lease; one that is too new to be believed unread next time is not parsed again at least."""
    return codec.decode_lock(data, key)


def _waiters(coord: Coord) -> tuple[Ask, ...]:
    folder = f"{coord.private}/waiting"
    try:
        names = sorted(name for name in os.listdir(folder) if ids.is_ulid(name))
    except OSError:
        return ()
    found, seen, read = [], _seen_tickets(folder), partial(_ticket, folder)
    for name in names:
        ask = seen.get(name, read)
        if ask is None:
            continue
        if ask.process is not None and _is_dead(ask.process, int(time.monotonic())):
            Path(folder, name).unlink(missing_ok=True)
            continue
        found.append(ask)
    seen.keep(names)
    return tuple(found)


def _ticket(folder: str, name: str) -> Ask | None:
    """Read a ticket. Its name may have been another's before: who comes behind all takes the next after theirs."""
    try:
        return _ask(json.loads(Path(folder, name).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _ask(plain: Mapping[str, object]) -> Ask:
    mode: Mode = "shared" if plain["mode"] == "shared" else "exclusive"
    scopes = plain["scopes"]
    if not isinstance(scopes, list):
        raise TypeError("not a ticket")
    return Ask(
        ticket=str(plain["ticket"]),
        holder=str(plain["holder"]),
        scopes=tuple(str(one) for one in scopes),
        mode=mode,
        asked_at=datetime.fromisoformat(str(plain["asked_at"])),
        process=_process(plain["process"]),
        bound_to=_process(plain["bound_to"]) if plain.get("bound_to") else None,
    )


@lru_cache(maxsize=_REMEMBERED)
def _is_dead(process: Process, _second: int) -> bool:
    """Tell whether a waiter's process is proven dead; asked once a second at most, since a crowd is looked at often."""
    return oslock.is_alive(process) is False


def _process(plain: object) -> Process:
    if not isinstance(plain, dict):
        raise TypeError("not a process")
    return Process(pid=int(plain["pid"]), started_at=str(plain["started_at"]), boot=str(plain["boot"]))


@contextmanager
def ticket(coord: Coord) -> Iterator[Callable[[Ask], None]]:
    """Hold a place in the queue: call what this yields to enter it with an ask; leaving always gives it back.

    A place is private state: a waiter that dies loses it, by proof that its process is dead.
    """
    folder = coord.private / "waiting"
    entered: list[Path] = []

    def enter(ask: Ask) -> None:
        if not entered:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / ask.ticket
            begun = path.with_suffix(".begun")
            begun.write_text(json.dumps(codec.to_plain(ask)), encoding="utf-8")
            begun.replace(path)
            entered.append(path)

    granted = False
    try:
        yield enter
        granted = True
    finally:
        for path in entered:
            path.unlink(missing_ok=True)
            if not granted:  # else the lease itself stands where the asker stood
                # Whoever stood behind may be first now. A book that cannot be read must not hide why this ended.
                with suppress(BadRecord):
                    Book.read(coord).wake()
