"""Which changes were overtaken: by examples, and against a slow history that is walked step by step."""

# ruff: noqa: ARG005 - a stand-in is given what the real one is given

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from coord.model import fencing, leasetrailers
from coord.model.fencing import Judged, Work, judge, merged
from coord.model.records import Lock, Mode
from coord.model.scope import Form

FORM = Form()
START = datetime(2026, 11, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
COVERED = {
    "a": ("a", "a/x", "a/y"),
    "a/x": ("a/x",),
    "a/*": ("a/x", "a/y"),
    "**": ("a", "a/x", "a/y", "b"),
    "b": ("b",),
}
PATHS = ("a", "a/x", "a/y", "b")
HOLDERS = ("ann", "bob", "eve")


def lease(token: int, holder: str, scope: str = "a/x", mode: Mode = "exclusive") -> Lock:
    at = START + token * MINUTE
    return Lock(scope=scope, holder=holder, token=token, granted_at=at, expires_at=at + MINUTE, mode=mode)


def work(*tokens: int, minute: float = 0, path: str = "a/x", agent: str = "ann") -> Work:
    return Work(path=path, agent=agent, at=START + minute * MINUTE, tokens=tokens)


def found(works: Iterable[Work], grants: Sequence[Lock]) -> tuple[list[tuple[str, str, int, int, int]], set[str]]:
    judged = judge(works, grants, FORM)
    passed = [(one.path, one.agent, one.token, one.to.token, one.retaken) for one in judged.passed]
    return passed, set(judged.unknown)


@pytest.mark.parametrize(
    ("works", "grants", "passed", "unknown"),
    [
        ([work(1)], [lease(1, "ann")], [], set()),
        ([work(1)], [lease(1, "ann"), lease(2, "bob")], [("a/x", "ann", 1, 2, 0)], set()),
        ([work(1)], [lease(1, "ann"), lease(2, "bob", "b")], [], set()),
        ([work(1)], [lease(1, "ann"), lease(2, "bob", "**")], [("a/x", "ann", 1, 2, 0)], set()),
        ([work(2)], [lease(1, "bob"), lease(2, "ann")], [], set()),
        ([work(1)], [lease(1, "ann"), lease(2, "bob"), lease(3, "eve")], [("a/x", "ann", 1, 3, 0)], set()),
        ([work(1)], [lease(1, "ann"), lease(2, "bob"), lease(3, "ann", "a")], [("a/x", "ann", 1, 2, 3)], set()),
        ([work(1)], [lease(1, "ann"), lease(2, "bob"), lease(3, "ann", "b")], [("a/x", "ann", 1, 2, 0)], set()),
        ([work(1, 3)], [lease(1, "ann"), lease(2, "bob"), lease(3, "ann")], [("a/x", "ann", 1, 2, 3)], set()),
        ([work(3)], [lease(1, "ann"), lease(2, "bob"), lease(3, "ann")], [], set()),
        # A token that no lease bears out, or that of another path, counts for nothing: the last own lease is meant.
        ([work(9, minute=5)], [lease(1, "ann"), lease(2, "bob")], [("a/x", "ann", 1, 2, 0)], set()),
        ([work(3, minute=5)], [lease(1, "ann"), lease(2, "bob"), lease(3, "ann", "b")], [("a/x", "ann", 1, 2, 0)], set()),
        # Nothing noted: the last lease by then.
        ([work(minute=1.5)], [lease(1, "ann"), lease(2, "bob"), lease(3, "ann")], [("a/x", "ann", 1, 2, 3)], set()),
        ([work(minute=3.5)], [lease(1, "ann"), lease(2, "bob"), lease(3, "ann")], [], set()),
        ([work(minute=1 - 0.5 / 60)], [lease(1, "ann"), lease(2, "bob")], [("a/x", "ann", 1, 2, 0)], set()),
        # No lease at all: time decides, and what it was made under is not known.
        ([work(minute=1)], [lease(2, "bob")], [("a/x", "ann", 0, 2, 0)], {"a/x"}),
        ([work(minute=3)], [lease(2, "bob")], [], {"a/x"}),
        ([work(minute=3, agent="")], [lease(2, "bob")], [], {"a/x"}),
        ([work(minute=3)], [], [], set()),
        # Whoever's token it is made the change: a commit that was picked is no change of the picker's.
        ([work(2, agent="ann")], [lease(1, "ann"), lease(2, "bob"), lease(3, "ann")], [("a/x", "bob", 2, 3, 0)], set()),
        # Shared leases go together, not with an exclusive one.
        ([work(1)], [lease(1, "ann", mode="shared"), lease(2, "bob", mode="shared")], [], set()),
        ([work(1)], [lease(1, "ann", mode="shared"), lease(2, "bob")], [("a/x", "ann", 1, 2, 0)], set()),
        ([work(1)], [lease(1, "ann"), lease(2, "bob", mode="shared")], [("a/x", "ann", 1, 2, 0)], set()),
    ],
)  # fmt: skip
def test_examples(
    works: list[Work], grants: list[Lock], passed: list[tuple[str, str, int, int, int]], unknown: set[str]
) -> None:
    assert found(works, grants) == (passed, unknown)


def test_a_finding_is_told_once() -> None:
    grants = [lease(1, "ann"), lease(2, "bob")]
    twice = judge([work(1), work(1, 1)], grants, FORM)
    assert len(twice.passed) == 1
    assert merged([twice, twice]) == twice


class Walked:
    """Every path's past, replayed grant by grant with nothing of the rule but its words."""

    def __init__(self, grants: Sequence[Lock]) -> None:
        self.past: dict[str, list[Lock]] = {path: [] for path in PATHS}
        for lock in sorted(grants, key=lambda lock: lock.token):
            for path in COVERED[lock.scope]:
                self.past[path].append(lock)

    def judge(self, one: Work) -> tuple[tuple[str, str, int, int, int] | None, bool]:
        past = self.past[one.path]
        start: int | None = None
        for place in range(len(past) - 1, -1, -1):
            if past[place].token in one.tokens:
                start = place
        if start is None:
            for place, lock in enumerate(past):
                if lock.holder == one.agent and lock.granted_at < one.at + timedelta(seconds=1):
                    start = place
        under = past[start] if start is not None else None
        agent = under.holder if under else one.agent
        rivals = []
        for place, lock in enumerate(past):
            later = place > start if start is not None else lock.granted_at > one.at
            if later and lock.holder != agent and not (under and under.mode == lock.mode == "shared"):
                rivals.append(place)
        strangers = under is None and any(lock.holder != agent for lock in past)
        if not rivals:
            return None, strangers
        last = rivals[-1]
        again = [lock.token for lock in past[last + 1 :] if lock.holder == agent]
        said = (one.path, agent, under.token if under else 0, past[last].token, again[-1] if again else 0)
        return said, strangers


def histories(seed: int) -> Iterator[tuple[list[Lock], list[Work]]]:
    chance = random.Random(seed)
    for _ in range(1500):
        modes: tuple[Mode, ...] = ("exclusive", "exclusive", "shared")
        grants = [
            lease(token, chance.choice(HOLDERS), chance.choice(list(COVERED)), chance.choice(modes))
            for token in range(1, chance.randint(1, 9))
        ]
        works = [
            work(
                *chance.sample(range(1, 11), chance.choice((0, 0, 1, 1, 2))),
                minute=chance.randint(0, 20) / 2,
                path=chance.choice(PATHS),
                agent=chance.choice((*HOLDERS, "")),
            )
            for _ in range(chance.randint(1, 3))
        ]
        chance.shuffle(grants)
        yield grants, works


def differs(seed: int) -> str:
    """Return the first history of SEED that is judged otherwise than by walking it, or ""."""
    for grants, works in histories(seed):
        walked = [Walked(grants).judge(one) for one in works]
        passed = list(dict.fromkeys(said for said, _ in walked if said))
        keyed = {said[:4]: said for said in passed}
        unknown = {one.path for one, (_, strange) in zip(works, walked, strict=True) if strange}
        if found(works, grants) != (list(keyed.values()), unknown):
            return f"seed {seed}: {works} {grants}: {found(works, grants)} != {passed, unknown}"
    return ""


@pytest.mark.parametrize("seed", range(4))
def test_it_is_judged_as_walking_the_history_does(seed: int) -> None:
    assert differs(seed) == ""


def _any_token(real: Callable[..., Any]) -> Callable[..., Any]:
    return lambda one, over: real(replace(one, tokens=()), over)


MUTANTS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "tokens are not looked at": ("_under", _any_token),
    "the newest token counts": (
        "_under",
        lambda real: lambda one, over: max(
            (lock for lock in over if lock.token in one.tokens), key=lambda lock: lock.token, default=real(one, over)
        ),
    ),
    "the first own lease is meant": (
        "_under",
        lambda real: lambda one, over: (
            real(one, over) and min((lock for lock in over if lock.holder == real(one, over).holder), key=lambda lock: lock.token)
        ),
    ),
    "its own token passes it on": ("_is_after", lambda real: lambda other, under, one: not under or other.token >= under.token),
    "time alone decides": ("_is_after", lambda real: lambda other, under, one: other.granted_at > one.at),
    "without a lease all is well": ("_is_after", lambda real: lambda other, under, one: bool(under) and real(other, under, one)),
    "shared leases overtake": ("_goes_with", lambda real: lambda under, other: False),
    "any shared lease goes with any": ("_goes_with", lambda real: lambda under, other: other.mode == "shared"),
    "scopes are compared as text": ("covers", lambda real: lambda scope, path, form: scope == path),
    "a lease on anything counts": ("covers", lambda real: lambda scope, path, form: True),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_fault_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    part, make = MUTANTS[name]
    monkeypatch.setattr(fencing, part, make(getattr(fencing, part)))
    assert any(differs(seed) for seed in range(4))


# ---- trailers ----


def test_trailers_say_what_was_leased_and_nothing_else() -> None:
    lines = leasetrailers.written("ann", {(7, "src/**"), (3, "a b/[c].py: x\nCoord-Lease: 99 **"), (5, "é" * 40)})
    assert lines == (
        "Coord-Lease: 3 a%20b/%5Bc%5D.py%3A%20x%0ACoord-Lease%3A%2099%20**",
        "Coord-Lease: 5",
        "Coord-Lease: 7 src/**",
        "Coord-Agent: ann",
    )
    assert leasetrailers.tokens("\n".join(("words", "", *lines))) == (3, 5, 7)
    assert leasetrailers.written("ann", ()) == ()
    assert len(leasetrailers.written("ann", {(token, "x") for token in range(1, 500)})) == leasetrailers.MOST + 1


@pytest.mark.parametrize("name", ["", "Ann", "../x", "git", "a b", "x\x1b[2J"])
def test_a_name_that_is_nobody_s_is_none(name: str) -> None:
    assert leasetrailers.agent(f"x\n\nCoord-Agent: {name}\n") == ""
    assert leasetrailers.agent(f"x\n\nCoord-Agent: {name}\nCoord-Agent: ann\n") == "ann"


def test_only_whole_lines_of_a_message_are_trailers() -> None:
    message = "Coord-Lease: x\nCoord-Lease: 12345678901234567890\nsee Coord-Lease: 4\n    Coord-Lease: 5 a b\n    Coord-Lease: 6 a"
    assert leasetrailers.tokens(message) == (6,)


def test_judging_nothing_finds_nothing() -> None:
    assert judge([], [lease(1, "ann")], FORM) == Judged()
