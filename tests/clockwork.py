"""Days in a second: a real repository, a daemon's cycles and agents' commands under two clocks that a test sets.

Everything runs in one process, one step after the other; what jumps are the clocks. Each promise is
checked as soon as it can be broken, and what must happen once is counted in the ledger at the end.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from coord.daemon.loop import Loop
from coord.daemon.observe import Observer
from coord.daemon.perform import Performer
from coord.model.errors import LeaseHeld
from coord.model.records import Lock, Priority
from coord.service import locks, mail
from coord.service.clock import JUMP
from coord.service.command import Prose
from coord.service.coord import Coord
from coord.service.leasebook import Book

SECOND, MINUTE, HOUR, DAY = (timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days"))
START = datetime(2026, 11, 22, 12, tzinfo=UTC)
INTERVAL = 10 * SECOND
TICK = 4 * SECOND
TTL = MINUTE
UNREAD = 15 * MINUTE
RETENTION = HOUR
# The last second of 32 bits, and the changes of summer time in Berlin and New York, each a little before.
END_OF_32_BITS = datetime(2038, 1, 19, 3, 14, 7, tzinfo=UTC)
CHANGES = (
    datetime(2027, 3, 28, 1, tzinfo=UTC),
    datetime(2026, 10, 25, 1, tzinfo=UTC),
    datetime(2027, 3, 14, 7, tzinfo=UTC),
    datetime(2026, 11, 1, 6, tzinfo=UTC),
)
CONFIG = """\
format: 1
agents:
  backend: {role: Backend}
  frontend: {role: Frontend}
  security: {role: Security}
  lead: {role: Lead}
coordinator: lead
mail: {read_retention: 1h}
"""


class Broken(AssertionError):
    """A promise about time was broken."""


class TwoClocks:
    """A wall clock and a monotonic one, each set on its own; `pauses` come right after a reading of the first."""

    def __init__(self) -> None:
        self.wall, self.seconds = START, 1000.0
        self.pauses: dict[int, timedelta] = {}
        self.paused: list[tuple[datetime, timedelta]] = []
        self.jumped: Callable[[timedelta], None] = lambda _by: None

    def now(self) -> datetime:
        """Return the wall clock's moment."""
        moment = self.wall
        self.pauses = {left - 1: jump for left, jump in self.pauses.items()}
        if jump := self.pauses.pop(0, None):
            self.jump(jump)
            self.paused.append((self.wall, jump))
        return moment

    def monotonic(self) -> float:
        """Return the other clock's seconds."""
        return self.seconds

    def go(self, span: timedelta) -> None:
        """Let both go on alike."""
        self.wall += span
        self.seconds += span.total_seconds()

    def jump(self, by: timedelta) -> None:
        """Set the wall clock, or let the machine sleep: the other clock does not see it."""
        self.jumped(by)
        self.wall += by


@dataclass
class Left:
    """A lease that nobody renews, or a message that nobody reads: when what is due of it is due, by the wall clock."""

    kind: str
    due: timedelta
    since: datetime


@dataclass
class World:
    """A repository with a daemon, a holder who renews in time by its own clock, a rival, and mail that lies."""

    repo: Path
    chance: random.Random
    clock: TwoClocks = field(default_factory=TwoClocks)
    token: int = 0
    number: int = 0
    left: dict[str, Left] = field(default_factory=dict)
    spared: dict[int, float] = field(default_factory=dict)
    unseen: list[tuple[timedelta, dict[int, float]]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    jumps: int = 0

    def __post_init__(self) -> None:
        self.clock.jumped = self._before_a_jump
        self.holder, self.rival, self.reader, self.owner = (
            Coord.open(self.repo, who=name, clock=self.clock) for name in ("backend", "frontend", "security", "owner")
        )
        self.begin_daemon()

    def begin_daemon(self) -> None:
        """Begin a daemon, as after a restart: it knows only what is in the folders and the ledger."""
        coord = Coord.open(self.repo, clock=self.clock)
        coord.committer.settle()
        self.observer = Observer(coord)
        performer = Performer(coord, self.observer, self.said.append)
        self.loop = Loop(coord, self.observer, performer)

    # ---- what happens ----

    def cycle(self, *, full: bool = True) -> None:
        """Let the daemon look, decide and act."""
        self.loop.coord.committer.settle()
        self.loop.cycle(full=full)
        self.check()

    def hold(self) -> None:
        """Begin to hold something, and go on by renewing it."""
        (lock,) = locks.acquire(self.holder, ("src/mine",), ttl=TTL).locks
        self.token = lock.token

    def renew(self) -> None:
        """Renew in time by one's own clock: that must work, whatever the wall clock says."""
        before = len(self.unseen)
        (lock,) = locks.renew(self.holder, ("src/mine",), ttl=TTL, token=self.token).locks
        del self.unseen[:before]
        if lock.token != self.token:
            raise Broken("another token")

    def rob(self) -> None:
        """Try to take what somebody holds who renews it in time: that must fail."""
        try:
            locks.acquire(self.rival, ("src/**",))
        except LeaseHeld:
            return
        raise Broken("a live lease was taken")

    def abandon(self) -> None:
        """Leave something that is due later: a lease, unread mail, mail that expires, read mail."""
        self.number += 1
        kind = self.chance.choice(("lease", "unread", "expires", "read"))
        if kind == "lease":
            ttl = self.chance.randint(2, 40) * SECOND
            (lock,) = locks.acquire(self.rival, (f"left/{self.number}",), ttl=ttl).locks
            self.left[str(lock.token)] = Left(kind, ttl, self.clock.wall)
            return
        expires = 20 * MINUTE if kind == "expires" else None
        priority: Priority = "urgent" if kind == "unread" else "low"
        sent = mail.send(self.rival, ("security",), Prose(f"{kind} {self.number}"), priority=priority, expires=expires)
        if kind == "read":
            mail.ack(self.reader, (sent.message.id,))
        due = {"unread": UNREAD, "expires": 20 * MINUTE, "read": RETENTION}[kind]
        self.left[sent.message.id] = Left(kind, due, self.clock.wall)

    def pause_within(self, act: Callable[[], None], by: timedelta) -> None:
        """Let the machine sleep, or its clock be set, in the middle of ACT."""
        self.clock.pauses = {self.chance.randint(1, 6): by}
        act()
        self.clock.pauses = {}

    def _before_a_jump(self, by: timedelta) -> None:
        self.jumps += 1
        self.unseen.append((by, dict(self.spared)))
        for begun in range(len(self.unseen) - 1):
            # There and back again, and nobody read a clock meanwhile: nobody can know that it jumped.
            if abs(sum((jump for jump, _ in self.unseen[begun:]), timedelta(0))) <= JUMP * SECOND:
                self.spared = self.unseen[begun][1]
                del self.unseen[begun:]
                return
        until = self.clock.seconds + INTERVAL.total_seconds()
        for lock in self.locks():
            if lock.expires_at > self.clock.wall:
                self.spared[lock.token] = until

    # ---- what must hold ----

    def locks(self) -> tuple[Lock, ...]:
        """Return all that is in the book, past its time or not."""
        return Book.read(self.owner).held

    def check(self) -> None:
        """Check that nothing is gone that had not expired before a jump, and had no interval since."""
        there = {lock.token for lock in self.locks()}
        if self.token and self.token not in there:
            raise Broken("a live lease is gone")
        for token, until in self.spared.items():
            if self.clock.seconds < until and token not in there:
                raise Broken(f"lease {token} was taken away within an interval of a jump")
        self.spared = {token: until for token, until in self.spared.items() if self.clock.seconds < until}

    def finish(self) -> None:
        """Let all time pass that anything could be due in, steadily, and count what has happened."""
        if self.token:
            locks.release(self.holder, token=self.token)
            self.token = 0
        latest = max((one.since + 4 * one.due for one in self.left.values()), default=self.clock.wall)
        self.clock.go(max(latest - self.clock.wall, timedelta(0)) + 2 * INTERVAL)
        for _ in range(3):
            self.cycle()
            self.clock.go(INTERVAL + SECOND)
        self.loop.coord.committer.settle()
        tip = self.owner.ledger.tip()
        self.begin_daemon()
        self.cycle()
        self.loop.coord.committer.settle()
        if self.owner.ledger.tip() != tip:
            raise Broken("a daemon that begins anew does something again")
        self._count()
        self._empty()

    def _count(self) -> None:
        self.owner.index.sync()
        wanted = {"lease": "lease.expired", "expires": "mail.expired", "read": "mail.retired"}
        happened: Counter[tuple[str, str]] = Counter()
        levels: dict[str, list[int]] = {}
        for entry in self.owner.index.entries():
            for name in {entry.facts.get("Token", ""), *entry.cause} & self.left.keys():
                one = self.left[name]
                if entry.kind in ("mail.reminded", "mail.escalated"):
                    level = int(entry.facts["Level"])
                    levels.setdefault(name, []).append(level)
                    self._not_early(one, entry.at, level)
                elif entry.kind == wanted.get(one.kind):
                    happened[name, entry.kind] += 1
                    self._not_early(one, entry.at, 1)
        for name, one in self.left.items():
            if one.kind == "unread":
                told = levels.get(name, [])
                if told != sorted(set(told)) or told[-1:] != [3]:
                    raise Broken(f"told of levels {told}")
            elif happened[name, wanted[one.kind]] != 1:
                raise Broken(f"{happened[name, wanted[one.kind]]} times {wanted[one.kind]}")

    def _not_early(self, one: Left, at: datetime, times: int) -> None:
        # What was decided before the clock was set back, and written down behind that, was not too early.
        behind = (
            by for wall, by in self.clock.paused if by < timedelta(0) and timedelta(0) <= at - wall + SECOND <= TICK
        )
        at -= min(behind, default=timedelta(0))
        if at - one.since < times * one.due - SECOND:  # commits know whole seconds
            raise Broken(f"{one.kind} was due {times * one.due} after {one.since}, not at {at}")

    def _empty(self) -> None:
        """Leave nothing to the next case."""
        for coord in (
            self.reader,
            self.owner,
            self.holder,
            self.rival,
            Coord.open(self.repo, who="lead", clock=self.clock),
        ):
            waiting = [item.message.id for item in mail.list_(coord).items]
            if waiting:
                mail.ack(coord, tuple(waiting))
        self.left.clear()
        self.spared.clear()
        self.unseen.clear()


# ---- a case: what the clocks do ----

JUMPS = (HOUR, -HOUR, DAY, -DAY, 3 * DAY, -3 * DAY, 9 * HOUR, 10 * MINUTE, -20 * SECOND, 6 * SECOND)


def one_case(world: World, ticks: int = 10, pauses: float = 0.3) -> None:
    """Run a random schedule of TICKS, in each of which the holder renews once, then let all become due.

    In so many of them (0.65 at most) the clock is set in the middle of what somebody does.
    """
    chance = world.chance
    if chance.random() < 0.4:
        edge = chance.choice((END_OF_32_BITS, END_OF_32_BITS, *CHANGES))
        world.clock.jump(edge - 3 * TICK - world.clock.wall)
        world.clock.go(INTERVAL + SECOND)
    world.hold()
    world.check()
    for _ in range(ticks):
        jump = chance.choice(JUMPS)
        deeds: list[Callable[[], None]] = [world.renew]
        if chance.random() < 0.5:
            deeds.append(world.rob)
        if chance.random() < 0.7:
            full = chance.random() < 0.3
            deeds.append(lambda full=full: world.cycle(full=full))  # type: ignore[misc]  # bound now, not later
        if chance.random() < 0.4:
            deeds.append(world.abandon)
        if chance.random() < 0.1:
            deeds.append(world.begin_daemon)
        chance.shuffle(deeds)
        what = chance.random()
        if what < 0.25:
            world.clock.jump(jump)
        elif what < 0.35:  # a sleep of which the other clock counts a little
            world.clock.jump(9 * HOUR)
            world.clock.go(chance.randint(0, 2) * SECOND)
        for deed in deeds:
            if what > 1 - pauses and deed != world.abandon:
                world.pause_within(deed, jump)
                what = 0
            else:
                deed()
            world.check()
        world.clock.go(TICK)
    world.finish()
