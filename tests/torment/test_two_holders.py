"""Eight real processes hold what meets: no two at once, by the clock that all of them share."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import leasing
import pytest
import tiers
from leasing import AGENTS, PATHS, Plan

PARTS = 2
MUTANTS = (
    "the_guard_is_unlinked_on_release",
    "globs_are_not_compared",
    "there_is_no_guard",
    "the_book_is_read_before_the_guard_is_taken",
)


@dataclass(frozen=True, slots=True, order=True)
class Hold:
    """From when to when somebody was sure to hold a scope."""

    began: float
    ended: float
    holder: str
    scope: str


def overlaps(holds: list[Hold]) -> Iterator[tuple[Hold, Hold]]:
    """Yield every two holds of different holders whose scopes meet and whose times do."""
    open_now: list[Hold] = []
    for hold in sorted(holds):
        open_now = [other for other in open_now if other.ended >= hold.began]
        for other in open_now:
            if other.holder != hold.holder and not PATHS[other.scope].isdisjoint(PATHS[hold.scope]):
                yield other, hold
        open_now.append(hold)


def held(warm: leasing.Warm, plan: Plan) -> list[Hold]:
    return [Hold(*json.loads(line)) for line in warm.run(plan)]


@pytest.mark.parametrize("part", range(PARTS))
def test_no_two_hold_what_meets(repo: Path, tmp_path: Path, part: int) -> None:
    seed = tiers.seed() + part
    each = tiers.rounds(500, 20_000) // len(AGENTS) + 1
    done = 0
    with leasing.warmed(repo) as warm:
        for number in range(tiers.rounds(6, 12) // PARTS):
            plan = Plan(
                work="holds",
                agents=AGENTS,
                seed=seed + 10 * number,
                ops=each,
                out=str(tmp_path / "holds"),
                stops=each // 10,
                longest=40,
            )
            holds = held(warm, plan)
            assert list(overlaps(holds)) == []
            done += len(holds)
    print(f"{done} holds, no two at once")
    assert done >= tiers.rounds(6, 12) // PARTS * tiers.rounds(500, 20_000)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_fault_lets_two_in_and_is_seen(repo: Path, tmp_path: Path, name: str) -> None:
    seed = tiers.seed()
    with leasing.warmed(repo, name) as warm:
        plans = (
            Plan(
                work="holds",
                agents=AGENTS,
                seed=seed + number,
                ops=25,
                patient=0.0,
                out=str(tmp_path / "holds"),
                stops=4,
                longest=20,
            )
            for number in range(40)
        )
        assert any(lets_two_in(warm, plan) for plan in plans), f"{name} was not seen"


def lets_two_in(warm: leasing.Warm, plan: Plan) -> bool:
    try:
        lines = warm.run(plan)
    except leasing.Crashed as crash:  # as two in one book may, too
        lines = crash.args[1]
    return any(overlaps([Hold(*json.loads(line)) for line in lines]))


def test_touching_times_and_scopes_count_and_others_do_not() -> None:
    first = Hold(1, 5, "one", "src/**")
    assert list(overlaps([first, Hold(5, 6, "two", "src/a.py")])) == [(first, Hold(5, 6, "two", "src/a.py"))]
    long, late = Hold(0, 100, "one", "src"), Hold(50, 51, "two", "**/*.js")
    assert list(overlaps([late, Hold(3, 4, "one", "web"), long])) == [(long, late)]
    for other in (Hold(5.1, 6, "two", "src"), Hold(2, 3, "two", "web"), Hold(2, 3, "one", "src")):
        assert list(overlaps([first, other])) == []
