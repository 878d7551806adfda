"""The clocks jump: no command takes a lease whose holder had no chance to renew it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from coord.model import ids
from coord.model.errors import LeaseHeld
from coord.model.leases import Ask
from coord.service import clock, leasebook, locks, steadiness
from coord.service.clock import Pace
from coord.service.coord import Coord
from coord.stores import oslock

Open = Callable[..., Coord]
START = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
INTERVAL = 10 * SECOND


class Two:
    """A wall clock and a monotonic one, set each on its own."""

    def __init__(self) -> None:
        self.wall, self.seconds = START, 100.0
        self.paused: list[timedelta] = []

    def now(self) -> datetime:
        """Return the wall clock's moment; a pause that was planned comes right behind it."""
        moment = self.wall
        if self.paused:
            self.go(self.paused.pop())
        return moment

    def monotonic(self) -> float:
        """Return the other clock's seconds."""
        return self.seconds

    def go(self, span: timedelta) -> None:
        """Let both go on alike."""
        self.wall += span
        self.seconds += span.total_seconds()


@pytest.fixture
def two() -> Two:
    return Two()


def pair(repo: Path, two: Two) -> tuple[Coord, Coord]:
    return Coord.open(repo, who="backend", clock=two), Coord.open(repo, who="frontend", clock=two)


def test_a_pace_without_jumps_is_steady_and_a_jump_either_way_is_not() -> None:
    pace = Pace.at(START, 100.0).then(START + 5 * SECOND, 100.0, INTERVAL)
    assert pace.steady
    for jump in (HOUR, -HOUR, 6 * SECOND):
        jumped = pace.then(pace.wall + jump, 100.0, INTERVAL)
        assert not jumped.steady
        assert jumped.before == pace.wall
        assert jumped.trusted_from == jumped.wall + INTERVAL
        later = jumped.then(jumped.wall + INTERVAL - SECOND, 109.0, INTERVAL)
        assert not later.steady
        assert later.then(later.wall + SECOND, 110.0, INTERVAL).steady


def test_a_second_jump_within_the_interval_keeps_the_earlier_moment_and_begins_the_interval_anew() -> None:
    first = Pace.at(START, 100.0).then(START + 9 * HOUR, 100.0, INTERVAL)
    back = first.then(START + SECOND, 105.0, INTERVAL)
    assert (back.before, back.until) == (START, 115.0)
    earlier = back.then(START - HOUR, 106.0, INTERVAL)
    again = earlier.then(START + HOUR, 107.0, INTERVAL)
    assert (again.before, again.until) == (START - HOUR, 117.0)


def test_a_pause_between_the_two_clocks_is_no_jump(two: Two) -> None:
    two.paused.append(9 * HOUR)
    wall, monotonic = clock.read(two)
    assert (wall - START).total_seconds() == monotonic - 100


@pytest.mark.parametrize("jump", [HOUR, 9 * HOUR, timedelta(days=3)])
def test_after_a_jump_the_holder_has_one_interval_to_renew_before_others_may_take_it(
    repo: Path, two: Two, jump: timedelta
) -> None:
    backend, frontend = pair(repo, two)
    (lock,) = locks.acquire(backend, ("docs",), ttl=30 * MINUTE).locks
    two.go(MINUTE)
    two.wall += jump
    with pytest.raises(LeaseHeld):
        locks.acquire(frontend, ("docs",))
    two.go(INTERVAL - SECOND)
    assert [one.token for one in locks.list_(frontend).locks] == [lock.token]
    with leasebook.opened(frontend) as book:
        assert not book.expire("docs", lock.token)
    (renewed,) = locks.renew(backend, token=lock.token).locks
    assert renewed.expires_at == two.wall + 30 * MINUTE
    two.go(INTERVAL)
    with pytest.raises(LeaseHeld):
        locks.acquire(frontend, ("docs",))
    backend.settle()


def test_who_does_not_renew_in_that_interval_loses_it(repo: Path, two: Two) -> None:
    backend, frontend = pair(repo, two)
    locks.acquire(backend, ("docs",), ttl=30 * MINUTE)
    two.wall += HOUR
    with pytest.raises(LeaseHeld):
        locks.acquire(frontend, ("docs",))
    two.go(INTERVAL)
    assert locks.acquire(frontend, ("docs",)).locks[0].token == 2
    frontend.settle()


def test_what_had_expired_before_the_jump_is_not_brought_back(repo: Path, two: Two) -> None:
    backend, frontend = pair(repo, two)
    locks.acquire(backend, ("docs",), ttl=MINUTE)
    two.go(2 * MINUTE)
    locks.acquire(frontend, ("web_app",))
    two.wall += HOUR
    assert locks.acquire(frontend, ("docs",)).locks[0].token == 3
    frontend.settle()


def test_nothing_more_expires_in_a_book_while_it_is_open(repo: Path, two: Two) -> None:
    backend, frontend = pair(repo, two)
    (lock,) = locks.acquire(backend, ("docs",), ttl=30 * MINUTE).locks
    with leasebook.opened(frontend) as book:
        two.wall += 9 * HOUR
        assert not book.expire("docs", lock.token)
        assert [one.token for one in book.live] == [lock.token]
    backend.settle()


def test_a_queue_keeps_its_order_when_the_clock_is_set_back(repo: Path, two: Two) -> None:
    backend, frontend = pair(repo, two)
    security = Coord.open(repo, who="security", clock=two)
    locks.acquire(security, ("docs/x",))
    first = Ask(
        ticket=backend.new_id(),
        holder="backend",
        scopes=("docs",),
        mode="exclusive",
        asked_at=two.wall,
        process=None,
    )
    with leasebook.ticket(backend) as enqueue:
        enqueue(replace(first, process=oslock.me()))
        two.wall -= HOUR
        with pytest.raises(LeaseHeld, match="backend has waited"):
            locks.acquire(frontend, ("docs/y",))
        with leasebook.opened(frontend) as book:
            second = book.behind_all(replace(first, ticket=frontend.new_id(), holder="frontend"))
            assert second.ticket > first.ticket
            assert ids.is_ulid(second.ticket)
    security.settle()


@pytest.mark.parametrize("note", ["", "torn", f"{1:020} 1 {1:020} 1 another-boot\n", "1 2 3 4 5 6\n", "x 1 2 3 4\n"])
def test_a_note_that_cannot_be_believed_is_a_first_look(repo: Path, two: Two, note: str) -> None:
    coord = Coord.open(repo, who="backend", clock=two)
    (coord.private / "clocks").write_text(note)
    assert steadiness.look(coord, keep=True) == Pace.at(START, 100.0)
    two.wall += HOUR
    assert not steadiness.look(coord).steady
    two.seconds = 1.0
    assert steadiness.look(coord).steady
