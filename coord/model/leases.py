"""Leases: who may have which scopes, for how long, and who has to wait for whom.

Every function is given what is held, who waits and what time it is, and returns what
should be; nothing is read or written here. Two things hold for ever: of two leases that
conflict and belong to different holders at most one is in the book, and a fencing token
is given once. Waiters are served in the order of their tickets.
"""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from coord.model import quoting
from coord.model.errors import LeaseHeld, NotFound, StaleToken
from coord.model.records import Lock, Mode, Process
from coord.model.scope import Form, contains, overlap, same
from coord.model.times import format_duration, format_time
from coord.model.values import frozen

_NOTE_SHOWN = 80
_COMPARED = 200


@frozen(kw_only=True)
class Ask:
    """A request for scopes, all or none, or the same request waiting in the queue.

    `ticket` is a ULID and says whose turn it is; `process` is who waits, `bound_to` the
    process whose death is to free what is granted.
    """

    ticket: str
    holder: str
    scopes: tuple[str, ...]
    mode: Mode
    asked_at: datetime
    process: Process | None
    bound_to: Process | None = None


@frozen(kw_only=True)
class Granted:
    """What granting an ask brings: leases to write, and leases to remove."""

    locks: tuple[Lock, ...]
    replaced: tuple[Lock, ...]  # the asker's own, on the same scopes
    expired: tuple[Lock, ...]  # of others, who are to be told


def live(held: Iterable[Lock], now: datetime) -> tuple[Lock, ...]:
    """Return the leases that have not expired."""
    return tuple(lock for lock in held if lock.expires_at > now)


def expired(held: Iterable[Lock], now: datetime) -> tuple[Lock, ...]:
    """Return the leases past their time."""
    return tuple(lock for lock in held if lock.expires_at <= now)


def spared(held: Iterable[Lock], since: datetime, until: datetime) -> tuple[Lock, ...]:
    """Return HELD, where what had not expired at SINCE lasts until UNTIL at least."""
    return tuple(
        replace(lock, expires_at=max(lock.expires_at, until)) if lock.expires_at > since else lock for lock in held
    )


def blockers(held: Sequence[Lock], queue: Sequence[Ask], ask: Ask, form: Form, now: datetime) -> tuple[Lock | Ask, ...]:
    """Return what stands in the way of ASK: others' live leases, then others who asked before and conflict.

    Nobody overtakes a waiter, but what the asker holds already, in this mode or
    exclusively, no waiter can delay: it would wait for the asker itself.
    """
    standing = list(_standing(live(held, now), queue, ask, form))
    locks = (one for one in standing if isinstance(one, Lock))
    return (*locks, *sorted((one for one in standing if isinstance(one, Ask)), key=lambda other: other.ticket))


def unblocked(held: Iterable[Lock], queue: Sequence[Ask], form: Form, now: datetime) -> Iterator[Ask]:
    """Yield who of the QUEUE has nothing in the way now, in its order."""
    current = live(held, now)
    for ask in queue:
        if next(_standing(current, queue, ask, form), None) is None:  # one thing is enough: a crowd costs little
            yield ask


def _standing(current: Sequence[Lock], queue: Sequence[Ask], ask: Ask, form: Form) -> Iterator[Lock | Ask]:
    yield from (lock for lock in current if _conflict(lock, ask) and _meet((lock.scope,), ask.scopes, form))
    mine = [lock.scope for lock in current if lock.holder == ask.holder and lock.mode in (ask.mode, "exclusive")]
    fresh = [scope for scope in ask.scopes if not any(contains(own, scope, form) for own in mine)]
    for other in queue:
        if other.ticket < ask.ticket and _conflict(other, ask) and _meet(other.scopes, fresh, form):
            yield other


def grant(
    held: Sequence[Lock],
    ask: Ask,
    *,
    ttl: timedelta,
    now: datetime,
    token: int,
    note: str = "",
    process: Process | None = None,
    form: Form,
) -> Granted:
    """Grant all of ASK; TOKEN is the last one ever given, PROCESS the one whose death frees the leases.

    A scope the asker holds already is extended, never shortened, and keeps its token, its
    spelling and its mode: exclusive serves who asks to share. A shared lease asked for
    exclusively is replaced, with a new token.

    Raises:
        LeaseHeld: a live lease of somebody else stands in the way. The queue is the caller's to ask about.
    """
    if standing := blockers(held, (), ask, form, now):
        raise refusal(standing, now)
    last = max((token, *(lock.token for lock in held)))
    locks: list[Lock] = []
    replaced: list[Lock] = []
    for scope in ask.scopes:
        if any(same(lock.scope, scope, form) for lock in locks):
            continue
        own = _own(held, ask.holder, scope, form)
        kept = next((lock for lock in live(own, now) if lock.mode in (ask.mode, "exclusive")), None)
        if kept is None:
            last += 1
            kept = Lock(
                scope=own[0].scope if own else scope,
                holder=ask.holder,
                token=last,
                granted_at=now,
                expires_at=now + ttl,
                mode=ask.mode,
                process=process,
                note=note,
            )
        else:
            until = max(kept.expires_at, now + ttl)
            kept = replace(kept, expires_at=until, note=note or kept.note, process=process or kept.process)
        locks.append(kept)
        replaced += [lock for lock in own if lock.token != kept.token]
    theirs = (lock for lock in expired(held, now) if lock.holder != ask.holder)
    gone = tuple(lock for lock in theirs if _meet((lock.scope,), ask.scopes, form))
    return Granted(locks=tuple(locks), replaced=tuple(replaced), expired=gone)


def renew(
    held: Sequence[Lock],
    queue: Sequence[Ask],
    holder: str,
    scope: str,
    *,
    ttl: timedelta,
    now: datetime,
    token: int | None,
    form: Form,
) -> Lock:
    """Return HOLDER's lease on SCOPE, lasting TTL from now if that is longer; its token stays.

    One that expired may be renewed if nobody took it meanwhile, nor waits for it.

    Raises:
        NotFound: HOLDER has no lease on SCOPE.
        StaleToken: TOKEN is not that lease's.
        LeaseHeld: it expired, and somebody else holds, or waits for, what conflicts.
    """
    lock = _held_by(held, holder, scope, token, form)
    if lock.expires_at <= now:
        rivals: tuple[Lock | Ask, ...] = (*live(held, now), *queue)
        standing = [other for other in rivals if _conflict(other, lock) and _meet(_scopes(other), (lock.scope,), form)]
        if standing:
            raise refusal(standing, now)
    return replace(lock, expires_at=max(lock.expires_at, now + ttl))


def release(
    held: Sequence[Lock], holder: str, scopes: Sequence[str], token: int | None, form: Form
) -> tuple[Lock, ...]:
    """Return the leases HOLDER gives back: those on SCOPES, or all; none where it has none at all.

    Raises:
        NotFound: HOLDER has no lease on one of SCOPES.
        StaleToken: TOKEN is not the lease's; without SCOPES, not any lease's.
    """
    if scopes:
        named = [_held_by(held, holder, scope, token, form) for scope in scopes]
        return tuple(lock for i, lock in enumerate(named) if lock not in named[:i])
    own = tuple(lock for lock in held if lock.holder == holder and token in (None, lock.token))
    if token is not None and not own:
        raise StaleToken(f"{holder} holds no lease with token {token}", hint="see `coord lock list`", token=token)
    return own


def circle(held: Sequence[Lock], queue: Sequence[Ask], ask: Ask, form: Form, now: datetime) -> tuple[str, ...]:
    """Return the holders along the shortest circle that waiting for ASK closes, from the asker to the asker, or ().

    An ask waits for asks before it and for leases, and a lease for what its holder asks, as far as
    that is asked for the same process: one agent may have several. What is granted on the way may
    close a circle later, so whoever waits looks again.
    """
    waiting = (*(other for other in queue if other.ticket != ask.ticket), ask)
    # Asks wait for earlier ones, so that alone no circle closes: somebody in it holds one lease and asks for another.
    asking = {other.holder for other in waiting}
    if not any(lock.holder in asking for lock in held):
        return ()
    came_from: dict[str, Ask] = {}
    steps = [ask]
    while steps and ask.ticket not in came_from:
        further: list[Ask] = []
        for waiter in steps:
            for blocker in blockers(held, waiting, waiter, form, now):
                for other in waiting:
                    if other.ticket not in came_from and _holds_up(other, blocker):
                        came_from[other.ticket] = waiter
                        further.append(other)
        steps = further
    if ask.ticket not in came_from:
        return ()
    path = [ask, came_from[ask.ticket]]
    while path[-1].ticket != ask.ticket:
        path.append(came_from[path[-1].ticket])
    return tuple(one.holder for one in reversed(path))


def _holds_up(ask: Ask, blocker: Lock | Ask) -> bool:
    """Tell whether BLOCKER cannot go away before ASK is granted."""
    if isinstance(blocker, Ask):
        return ask.ticket == blocker.ticket
    apart = None not in (ask.bound_to, blocker.process) and ask.bound_to != blocker.process
    return ask.holder == blocker.holder and not apart


def next_in_line(held: Sequence[Lock], queue: Sequence[Ask], released: Lock, form: Form, now: datetime) -> Ask | None:
    """Return the first waiter for RELEASED's scope whom nothing blocks once that lease is gone."""
    left = [lock for lock in held if (lock.scope, lock.token) != (released.scope, released.token)]
    first = unblocked(left, sorted(queue, key=lambda ask: ask.ticket), form, now)
    return next((ask for ask in first if _meet((released.scope,), ask.scopes, form)), None)


# ---- saying it ----


def refusal(standing: Sequence[Lock | Ask], now: datetime) -> LeaseHeld:
    """Return the error that names all that stands in the way; `wait` says when the last lease expires by itself."""
    locks = [one for one in standing if isinstance(one, Lock)]
    return LeaseHeld(
        describe(standing),
        hint=ways_out(standing),
        holders=tuple(dict.fromkeys(one.holder for one in standing)),
        scopes=tuple(lock.scope for lock in locks),
        tokens=tuple(lock.token for lock in locks),
        expires_at=tuple(format_time(lock.expires_at) for lock in locks),
        wait=format_duration(max((lock.expires_at - now for lock in locks), default=timedelta(0))),
    )


def describe(standing: Sequence[Lock | Ask]) -> str:
    """Say on one line who holds, or waits for, what, until when and what for."""
    return "; ".join(map(_describe, standing))


def _describe(one: Lock | Ask) -> str:
    if isinstance(one, Ask):
        return f"{one.holder} has waited for {', '.join(one.scopes)} since {format_time(one.asked_at)}"
    note = quoting.within(one.note, _NOTE_SHOWN) if one.note else ""
    sharing = "shares" if one.mode == "shared" else "holds"
    return f"{one.holder} {sharing} {one.scope} until {format_time(one.expires_at)}" + (f" ({note})" if note else "")


def ways_out(standing: Sequence[Lock | Ask]) -> str:
    """Say what somebody can do about what stands in the way."""
    ask = " or ".join(f"`coord mail send {name}`" for name in dict.fromkeys(one.holder for one in standing))
    return f"queue for it with `coord lock acquire ... --wait 10m`, or ask: {ask}"


# ---- looking ----


def _conflict(one: Lock | Ask, other: Lock | Ask) -> bool:
    """Tell whether two cannot both be had if their scopes overlap."""
    return one.holder != other.holder and (one.mode, other.mode) != ("shared", "shared")


def _scopes(one: Lock | Ask) -> tuple[str, ...]:
    return (one.scope,) if isinstance(one, Lock) else one.scopes


def _meet(some: Iterable[str], others: Sequence[str], form: Form) -> bool:
    return any(a == b or overlap(a, b, form) for a in some for b in others)


def _own(held: Iterable[Lock], holder: str, scope: str, form: Form) -> list[Lock]:
    """Return HOLDER's leases on exactly SCOPE, the newest first."""
    own = (lock for lock in held if lock.holder == holder and same(lock.scope, scope, form))
    return sorted(own, key=lambda lock: -lock.token)


def _held_by(held: Sequence[Lock], holder: str, scope: str, token: int | None, form: Form) -> Lock:
    own = _own(held, holder, scope, form)
    for lock in own:
        if token in (None, lock.token):
            return lock
    if own:
        raise StaleToken(
            f"{holder}'s lease on {scope} has token {own[0].token}, not {token}",
            hint="it was taken anew meanwhile; check your work, then use the new token",
            scope=scope,
            token=own[0].token,
        )
    scopes = sorted({lock.scope for lock in held if lock.holder == holder})
    related = [other for other in scopes if overlap(other, scope, form)]
    close = difflib.get_close_matches(scope[:_COMPARED], [other[:_COMPARED] for other in scopes], n=1, cutoff=0)
    passed = [lock for lock in held if lock.holder != holder and overlap(lock.scope, scope, form)]
    raise NotFound(
        f"{holder} holds no lease on {scope}" + (f"; {describe(passed)}" if passed else ""),
        hint=f"did you mean {(related or close)[0]}?" if scopes else "see `coord lock list`",
        scope=scope,
        scopes=tuple(scopes),
    )
