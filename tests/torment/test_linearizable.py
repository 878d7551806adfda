"""The checker of histories: what it must accept, and what it must not."""

import pytest
import tiers
from leasing import PATHS, SCOPES
from linearizable import Model, Op, check
from spoiled import FORM, SPOILED, simulated, spoiled

from coord.model.scope import contains, overlap

MODEL = Model(PATHS)
HISTORIES, STEPS = 10, 150
LEAST_CAUGHT = 0.95


def granted(holder: str, scope: str, began: float, ended: float, got: int, *, ttl: float = 100, at: float = -1) -> Op:
    until = (at if at >= 0 else (began + ended) / 2) + ttl
    return Op(
        holder=holder,
        kind="acquire",
        scope=scope,
        invoked=began,
        returned=ended,
        answer="granted",
        ttl=ttl,
        got=got,
        until=until,
    )


def released(holder: str, scope: str, began: float, ended: float, token: int) -> Op:
    return Op(
        holder=holder,
        kind="release",
        scope=scope,
        invoked=began,
        returned=ended,
        answer="released",
        token=token,
        got=token,
    )


def entered(holder: str, scope: str, began: float, ticket: str) -> Op:
    return Op(holder=holder, kind="enter", scope=scope, invoked=began, returned=began + 1, answer="done", ticket=ticket)


def holds(*ops: Op) -> bool:
    return check(ops, MODEL).holds


def test_the_sets_of_paths_mean_what_the_scopes_mean() -> None:
    for one in SCOPES:
        for other in SCOPES:
            assert overlap(one, other, FORM) == (not PATHS[one].isdisjoint(PATHS[other])), (one, other)
            assert contains(one, other, FORM) == (PATHS[one] >= PATHS[other]), (one, other)


def test_what_overlaps_in_time_may_come_in_either_order() -> None:
    assert holds()
    late = granted("b", "src", 10, 60, 1, at=15)
    assert holds(granted("a", "web", 0, 50, 2, at=45), late)
    assert holds(granted("a", "src", 20, 50, 2, at=40), late, released("b", "src", 12, 45, 1))
    assert not holds(granted("a", "src", 20, 50, 2, at=40), late)


def test_what_ended_before_comes_before() -> None:
    assert not holds(granted("a", "web", 0, 10, 2), granted("b", "src", 20, 30, 1))
    assert holds(granted("a", "web", 0, 10, 1), granted("b", "src", 20, 30, 2))


def test_a_lease_is_taken_at_its_end_and_not_before() -> None:
    first = granted("a", "src/**", 0, 2, 1, ttl=100, at=1)
    assert not holds(first, granted("b", "src/a.py", 80, 90, 2))
    assert holds(first, granted("b", "src/a.py", 80, 120, 2, at=110))
    assert not holds(first, granted("b", "src/a.py", 80, 120, 2, at=85))


def test_who_waited_first_is_first() -> None:
    held = granted("a", "src", 0, 2, 1, ttl=50, at=1)
    queue = (entered("b", "src/sub", 10, "1"), entered("c", "src", 20, "2"))
    second = granted("c", "src", 60, 70, 2)
    assert not holds(held, *queue, second)
    left = Op(holder="b", kind="leave", scope="src/sub", invoked=58, returned=59, answer="done", ticket="1")
    assert holds(held, *queue, left, second)
    assert not holds(entered("b", "web", 1, "1")), "nothing stands in the way"


def test_an_answer_that_the_model_does_not_know_is_wrong_and_why_is_said() -> None:
    verdict = check([Op(holder="a", kind="release", scope="web", invoked=0, returned=1, answer="released 2")], MODEL)
    assert not verdict.holds
    ((op, why),) = verdict.stuck
    assert (op.answer, why) == ("released 2", "no such answer")


def test_every_history_that_the_rules_make_has_an_order() -> None:
    seed = tiers.seed()
    kinds = set()
    for number in range(tiers.rounds(HISTORIES, 1000)):
        ops = simulated(seed + number, STEPS)
        verdict = check(ops, MODEL)
        assert verdict.holds, (seed + number, verdict.stuck)
        assert sorted(verdict.order) == list(range(len(ops)))
        kinds |= {(op.kind, op.answer) for op in ops}
    assert len(kinds) >= 12, kinds


def test_spoiled_histories_have_none() -> None:
    seed = tiers.seed()
    seeds = range(seed, seed + tiers.rounds(HISTORIES, 200))
    tried = [(name, one) for name in sorted(SPOILED) for one in seeds]
    missed = [(name, one) for name, one in tried if check(spoiled(name, one, STEPS), MODEL).holds]
    print(f"{len(tried)} histories spoiled in {len(SPOILED)} ways; missed: {missed}")
    assert len(SPOILED) >= 20
    assert len(missed) <= (1 - LEAST_CAUGHT) * len(tried)
    assert all([name for name, _ in missed].count(each) < len(seeds) for each in SPOILED), "a way that is never seen"


def test_a_search_that_grows_too_large_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linearizable._MOST_NODES", 10)
    with pytest.raises(RuntimeError, match="undecided"):
        check(simulated(1, STEPS), MODEL)
