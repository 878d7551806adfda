"""The clock is set, the machine sleeps, summer time ends: nobody loses a lease, and what is due is done once."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiers
from clockwork import CHANGES, CONFIG, INTERVAL, TICK, Broken, World, one_case
from mutants_clocks import PLANTED

from coord.model.errors import CoordError
from coord.service import steadiness
from coord.service.clock import SystemClock

PARTS = 4
ZONES = ("Europe/Berlin", "America/New_York")


@pytest.fixture
def farm(repo: Path) -> Path:
    (repo / ".coord.yaml").write_text(CONFIG)
    return repo


@pytest.fixture(params=ZONES)
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A time zone with summer time, for this process."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield str(request.param)
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_the_clocks_do_no_live_lease_is_broken_and_what_is_due_is_done_once(farm: Path, part: int) -> None:
    seed = tiers.seed() + part
    world = World(farm, random.Random(seed))
    for _ in range(tiers.rounds(40, 1000) // PARTS):
        one_case(world)
    print(f"{world.jumps} jumps, {world.number} things left to become due")
    assert world.jumps
    assert not world.said


def test_a_change_of_summer_time_is_no_jump(farm: Path, zone: str) -> None:
    assert abs(SystemClock().now().timestamp() - time.time()) < 1
    world = World(farm, random.Random(tiers.seed()))
    for change in sorted(CHANGES):
        world.clock.jump(change - 3 * TICK - INTERVAL - world.clock.wall)
        world.cycle()
        world.hold()
        world.clock.go(INTERVAL)
        offset = time.localtime(world.clock.wall.timestamp()).tm_gmtoff
        for _ in range(6):
            world.clock.go(TICK)
            world.renew()
            world.rob()
            world.cycle(full=False)
            assert steadiness.look(world.owner).steady
            assert world.observer.view(full=False).steady
        if change in {"Europe/Berlin": CHANGES[:2], "America/New_York": CHANGES[2:]}[zone]:
            assert time.localtime(world.clock.wall.timestamp()).tm_gmtoff != offset
        world.finish()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", PLANTED)
def test_a_fault_planted_in_what_coord_does_about_time_is_seen(
    farm: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    seed = tiers.seed()
    for owner, attribute, make in PLANTED[name]:
        monkeypatch.setattr(owner, attribute, make(getattr(owner, attribute)))
    world = World(farm, random.Random(seed))
    with pytest.raises((Broken, CoordError)) as seen:
        for _ in range(400):  # as many as it takes: one of them shows in one case of fifteen only
            one_case(world, pauses=0.65)
    print(f"{name}: {seen.value}")
