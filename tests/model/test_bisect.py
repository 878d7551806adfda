"""Who of a batch is sent back, and after how many runs: all small cases, and random larger ones, against an oracle."""

import math
import random
from collections.abc import Callable, Sequence
from itertools import combinations

import pytest
import tiers

from coord.model import bisect
from coord.model.bisect import Eject, Land, Outcome, Pause, Probe, next_step, outcome, size_after

Fails = Callable[[frozenset[int]], bool]
_MOST_STEPS = 2_000


class Bench:
    """Batches driven to their end, as the queue does it, upon a gate that is a function of who is in the stack."""

    def __init__(self, fails: Fails, flakes: Callable[[frozenset[int], int], bool] | None = None, room: int = 1):
        self.fails, self.room = fails, room
        self.flakes = flakes or (lambda _stack, _times: False)
        self.runs: dict[frozenset[int], list[bool]] = {}
        self.landed: list[int] = []
        self.ejected: list[int] = []
        self.paused = False
        self.since_red: list[int] = []  # by member sent back: the runs after the first red one

    def run(self, stack: frozenset[int]) -> bool:
        seen = self.runs.setdefault(stack, [])
        passed = not (self.fails(stack) or self.flakes(stack, len(seen)))
        seen.append(passed)
        return passed

    def outcome(self, stack: frozenset[int]) -> Outcome:
        seen = self.runs.get(stack, [])
        return outcome(sum(seen), len(seen) - sum(seen))

    def drive(self, members: Sequence[int], *, base_known: bool) -> None:
        if base_known:
            self.run(frozenset(self.landed))
        left, counted, red = list(members), 0, False
        again = base_known
        for _ in range(_MOST_STEPS):
            if not left:
                return
            stacks = [frozenset([*self.landed, *left[:height]]) for height in range(len(left) + 1)]
            step = next_step([self.outcome(stack) for stack in stacks], again=again, room=self.room)
            match step:
                case Probe(heights):
                    assert heights and len(heights) <= self.room
                    for height in heights:
                        assert self.outcome(stacks[height]) in ("unknown", "suspect"), "tested twice"
                        counted += red
                        red = not self.run(stacks[height]) or red
                case Land(height):
                    assert height
                    self.landed += left[:height]
                    del left[:height]
                    again = True
                    if not left or self.outcome(frozenset([*self.landed, *left])) == "unknown":
                        counted, red = 0, False
                case Eject():
                    self.ejected.append(left.pop(0))
                    self.since_red.append(counted)
                    counted, red, again = 0, False, True
                case Pause():
                    self.paused = True
                    return
        raise AssertionError("it does not end")


def one_by_one(members: Sequence[int], fails: Fails) -> tuple[list[int], list[int]]:
    """What a queue without batches does, which nobody can argue with."""
    landed: list[int] = []
    ejected: list[int] = []
    for one in members:
        (ejected if fails(frozenset([*landed, one])) else landed).append(one)
    return landed, ejected


def bound(size: int) -> int:
    return math.ceil(math.log2(size)) + 2


@pytest.mark.parametrize("base_known", [True, False])
@pytest.mark.parametrize("room", [1, 2, 3, 5])
def test_every_batch_of_up_to_eight_with_any_bad_ones(base_known: bool, room: int) -> None:
    for size in range(1, 9):
        members = range(size)
        for count in range(size + 1):
            for bad in combinations(members, count):
                bench = Bench(lambda stack, bad=bad: not stack.isdisjoint(bad), room=room)  # type: ignore[misc]
                bench.drive(members, base_known=base_known)
                assert (bench.landed, bench.ejected) == one_by_one(members, bench.fails), bad
                if room == 1 and count == 1:
                    assert bench.since_red[0] <= bound(size), (size, bad, bench.runs)


def test_pairs_that_fail_only_together() -> None:
    for size in range(2, 9):
        for pair in combinations(range(size), 2):
            bench = Bench(lambda stack, pair=pair: stack >= set(pair))  # type: ignore[misc]
            bench.drive(range(size), base_known=True)
            assert (bench.landed, bench.ejected) == one_by_one(range(size), bench.fails)
            assert bench.ejected == [pair[1]] and bench.since_red[0] <= bound(size)


def test_random_large_batches() -> None:
    chance = random.Random(tiers.seed())
    for _ in range(tiers.rounds(300, 20_000)):
        size = chance.randint(9, 200)
        bad = frozenset(chance.sample(range(size), chance.choice((1, 1, 2, 3, size // 3))))
        pairs = [frozenset(chance.sample(range(size), 2)) for _ in range(chance.randint(0, 2))]

        def fails(stack: frozenset[int], bad: frozenset[int] = bad, pairs: Sequence[frozenset[int]] = pairs) -> bool:
            return not stack.isdisjoint(bad) or any(pair <= stack for pair in pairs)

        bench = Bench(fails, room=chance.choice((1, 1, 2, 4)))
        known = chance.random() < 0.5
        bench.drive(range(size), base_known=known)
        assert (bench.landed, bench.ejected) == one_by_one(range(size), fails)
        if bench.room == 1 and bench.since_red:
            assert bench.since_red[0] <= bound(size), (size, bad)


def test_nobody_goes_for_a_failure_that_does_not_come_again() -> None:
    """Every stack fails at its first run, and only some fail again."""
    for size in range(1, 9):
        for bad in range(-1, size):
            bench = Bench(lambda stack, bad=bad: bad in stack, lambda _stack, times: times == 0)  # type: ignore[misc]
            bench.drive(range(size), base_known=False)
            assert not bench.paused
            assert bench.ejected == [one for one in range(size) if one == bad]


@pytest.mark.parametrize("size", [1, 2, 8])
def test_a_base_that_fails_by_itself_is_held_against_nobody(size: int) -> None:
    bench = Bench(lambda _stack: True)
    bench.drive(range(size), base_known=False)
    assert bench.paused and not bench.ejected and not bench.landed
    assert sum(map(len, bench.runs.values())) == 3  # the whole once, the base twice


def test_who_mends_a_red_base_lands_with_all_below() -> None:
    bench = Bench(lambda stack: 1 not in stack)
    bench.drive(range(3), base_known=False)
    assert (bench.landed, bench.ejected, bench.paused) == ([0, 1, 2], [], False)


def test_tests_that_can_tell_nothing_more_are_ended_and_the_others_kept() -> None:
    known: list[Outcome] = ["passed", *["unknown"] * 7, "suspect"]  # type: ignore[list-item]
    assert next_step(known, room=3, running=(2, 5)) == Probe((8, 2, 5))
    known[8], known[5] = "failed", "suspect"
    assert next_step(known, room=3, running=(2, 7)) == Probe((2, 3, 1))


def test_batches_grow_by_one_and_halve() -> None:
    sizes = [8]
    for good in (True, False, False, True, False, False, False):
        sizes.append(size_after(sizes[-1], good, 8))
    assert sizes == [8, 8, 4, 2, 3, 1, 1, 1]


def test_the_oracle_sees_who_is_blamed_on_one_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(passed: int, failed: int) -> Outcome:
        return "passed" if passed else "failed" if failed else "unknown"

    monkeypatch.setattr(bisect, "outcome", hasty)
    monkeypatch.setitem(globals(), "outcome", hasty)
    with pytest.raises(AssertionError):
        test_nobody_goes_for_a_failure_that_does_not_come_again()
