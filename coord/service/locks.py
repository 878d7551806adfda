"""Leases: acquire, renew, release, list, check, break."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated

from coord.model import leases, mailboxes, scope, scopetext, times
from coord.model.errors import NotFound, Refused, TimedOut, Usage, WouldDeadlock
from coord.model.leases import Ask
from coord.model.records import Lock, Mode
from coord.model.scope import Form
from coord.model.values import frozen
from coord.service import leasebook
from coord.service.command import command
from coord.service.coord import Coord
from coord.service.leasebook import Book
from coord.stores import oslock

_POLL, _LONGEST_POLL = 1.0, 10.0


@frozen
class Leases:
    """Leases that were granted, renewed, released or listed, and who waits."""

    locks: tuple[Lock, ...]
    waiting: tuple[Ask, ...] = ()


@frozen
class Verdict:
    """Who may write one path now."""

    path: str
    free: bool
    yours: bool
    held_by: tuple[Lock, ...]

    @property
    def may_write(self) -> bool:
        """Whether the asker may write: nobody else holds it."""
        return self.free or self.yours


@frozen
class Check:
    """The answer to `coord lock check`."""

    agent: str
    verdicts: tuple[Verdict, ...]


@command("lock acquire", writes=True, example="coord lock acquire 'apps_script/**' --ttl 45m --wait 10m")
def acquire(
    coord: Coord,
    scopes: Annotated[tuple[str, ...], "paths or globs; all of them or none"],
    *,
    ttl: Annotated[timedelta | None, "how long it lasts; default: as configured, 30m"] = None,
    shared: Annotated[bool, "others may share it too, nobody may hold it exclusively"] = False,
    wait: Annotated[timedelta, "queue for it this long, first come, first served"] = timedelta(0),
    note: Annotated[str, "what for; others see it"] = "",
    pid: Annotated[int | None, "free it at once when this process dies"] = None,
) -> Leases:
    """Take a lease on paths or globs, or be refused; several are taken together or not at all.

    Overlapping scopes conflict, glob against glob included. Taking what you hold already
    extends it and keeps its token. A lease stops whoever asks, as coord's hooks and the
    commit guard do, not an editor that does not.

    Raises:
        LeaseHeld: somebody else holds, or waits for, an overlapping scope and WAIT is 0.
        TimedOut: WAIT ran out.
        WouldDeadlock: waiting would close a circle of holders.
    """
    holder = coord.me()
    ttl = _within_limits(coord, ttl)
    mode: Mode = "shared" if shared else "exclusive"
    process = oslock.process_of(pid) if pid is not None else None
    if pid is not None and process is None:
        raise NotFound(f"there is no process {pid}", hint="give the pid of a running process, or leave --pid out")
    ask = Ask(
        ticket=coord.new_id(),
        holder=holder,
        scopes=tuple(dict.fromkeys(coord.scope(text) for text in scopes)),
        mode=mode,
        asked_at=coord.now(),
        process=oslock.me(),
        bound_to=process,
    )
    if not wait:
        with leasebook.opened(coord) as book:
            return Leases(book.grant(book.behind_all(ask), ttl=ttl, note=note))
    return _queue(coord, ask, wait, ttl=ttl, note=note)


def _queue(coord: Coord, ask: Ask, wait: timedelta, *, ttl: timedelta, note: str) -> Leases:
    deadline = coord.clock.monotonic() + wait.total_seconds()
    coord.settle()
    queued = False
    with coord.bells.listen(leasebook.bell(ask.holder)) as bell, leasebook.ticket(coord) as enqueue:
        while True:
            with leasebook.opened(coord) as book:
                if not queued:
                    ask = book.behind_all(ask)
                blockers = book.blockers(ask)
                if not blockers:
                    return Leases(book.grant(ask, ttl=ttl, note=note))
                if circle := book.circle(ask):
                    raise WouldDeadlock(
                        f"waiting would never end: {' waits for '.join(circle)}",
                        hint="release what you hold first, then ask again for all of it together",
                        circle=circle,
                    )
                enqueue(ask)
                queued = True
            left = deadline - coord.clock.monotonic()
            if left <= 0:
                waited = times.format_duration(wait)
                raise TimedOut(f"waited {waited} in vain: {leases.describe(blockers)}", hint=leases.ways_out(blockers))
            bell.wait(min(left, _patience(blockers), _until_expiry(blockers, coord.now())))


def _patience(blockers: Sequence[Lock | Ask]) -> float:
    """Return how long to trust the bell: whoever is next looks often for what rings none, those behind seldom."""
    ahead = sum(isinstance(one, Ask) for one in blockers)
    return min(max(1, ahead) * _POLL, _LONGEST_POLL)


def _until_expiry(blockers: Sequence[Lock | Ask], now: datetime) -> float:
    ends = [(lock.expires_at - now).total_seconds() for lock in blockers if isinstance(lock, Lock)]
    return max(min(ends, default=_POLL), 0.001)


def _within_limits(coord: Coord, ttl: timedelta | None) -> timedelta:
    limits = coord.config.leases
    chosen = limits.ttl if ttl is None else ttl
    if not timedelta(0) < chosen <= limits.max:
        longest = times.format_duration(limits.max)
        raise Usage(
            f"a lease lasts between a moment and {longest}, not {times.format_duration(chosen)}",
            hint=f"--ttl up to {longest}",
        )
    return chosen


@command("lock renew", writes=True, example="coord lock renew apps_script/chefs.js --ttl 1h")
def renew(
    coord: Coord,
    scopes: Annotated[tuple[str, ...], "what to renew; default: all you hold"] = (),
    *,
    ttl: Annotated[timedelta | None, "how long from now; default: as configured"] = None,
    token: Annotated[int | None, "refuse unless the lease still has this fencing token"] = None,
) -> Leases:
    """Extend leases you hold; their tokens stay the same.

    Raises:
        StaleToken: the lease passed on meanwhile and has another token.
    """
    holder = coord.me()
    with leasebook.opened(coord) as book:
        return Leases(book.renew(holder, _scopes(coord, scopes), ttl=_within_limits(coord, ttl), token=token))


@command("lock release", writes=True, example="coord lock release apps_script/chefs.js")
def release(
    coord: Coord,
    scopes: Annotated[tuple[str, ...], "what to release; default: all you hold"] = (),
    *,
    token: Annotated[int | None, "refuse unless the lease still has this fencing token"] = None,
) -> Leases:
    """Give leases back; whoever waits longest for them is woken."""
    holder = coord.me()
    with leasebook.opened(coord) as book:
        return Leases(book.release(holder, _scopes(coord, scopes), token=token))


@command("lock list", example="coord lock list")
def list_(
    coord: Coord,
    *,
    holder: Annotated[str, "only this agent's"] = "",
) -> Leases:
    """List the leases that are live now, and who waits for which."""
    book = Book.read(coord)
    wanted = coord.known(holder) if holder else ""
    locks = tuple(lock for lock in book.live if wanted in ("", lock.holder))
    return Leases(locks, tuple(ask for ask in book.queue if wanted in ("", ask.holder)))


@command("lock check", example="coord lock check apps_script/chefs.js web_app/index.html")
def check(coord: Coord, paths: Annotated[tuple[str, ...], "paths to ask about"]) -> Check:
    """Tell who may write each path: free, yours, or whose and until when."""
    agent = coord.whoever()
    held = Book.read(coord).live
    verdicts = []
    for text in paths:
        wanted = coord.scope(text)
        form = coord.form if text.endswith("/") else _to_be_written(coord, wanted)
        over = tuple(lock for lock in held if scope.overlap(lock.scope, wanted, form))
        others = [lock for lock in over if lock.holder != agent]
        verdicts.append(Verdict(wanted, free=not over, yours=bool(over) and not others, held_by=over))
    return Check(agent, tuple(verdicts))


@command(
    "lock break", writes=True, example="coord lock break apps_script/chefs.js --reason 'session crashed' --as owner"
)
def break_(
    coord: Coord,
    scope_: Annotated[str, "the scope of the lease, as `coord lock list` shows it"],
    *,
    reason: Annotated[str, "why; its holder is told"],
) -> Leases:
    """Take a lease away from its holder, who is told why. For the owner and the coordinator."""
    who = coord.me()
    if who not in (mailboxes.OWNER, coord.config.coordinator):
        raise Refused(
            f"{who} may not break leases; the owner and {coord.config.coordinator} may",
            hint=f'ask them: coord mail send {coord.config.coordinator} "please free {scope_}"',
        )
    with leasebook.opened(coord) as book:
        listed = any(lock.scope == scope_ for lock in book.held)
        return Leases(book.take_away(scope_ if listed else coord.scope(scope_), by=who, why=reason))


def _to_be_written(coord: Coord, wanted: str) -> Form:
    """Return a form to which WANTED is a file too, unless there is a folder: who writes a path makes a file of it."""
    path = scopetext.unquoted(wanted)
    new = coord.kind(path) == "unknown"
    return replace(coord.form, is_file=lambda asked: (new and asked == path) or coord.form.is_file(asked))


def _scopes(coord: Coord, texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(coord.scope(text) for text in texts)
