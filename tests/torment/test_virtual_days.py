"""Days of ordinary work by a clock moved on by hand: files and ledger agree every evening, and nothing grows."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import days
import pytest
import tiers
from days import Footprint, Office
from mutants_load import DAYS, LEAKS

from coord.service import verify

# A day is a week of the retentions by default, so that one day shows what stays and what goes.
_CONFIG = """\
mail:
  read_retention: 1h
  dead_retention: 2h
  unread_age: {low: 4h, normal: 2h, high: 1h, urgent: 15m}
checkpoints: {keep: 2}
decisions: {keep: 5}
merge: {test: 'true'}
"""
_SETTLING = 4  # hours until as much goes as comes
# How much more the second half of the time may show than the first: chance, five times its usual deviation, and what
# memory allocators keep.
_MORE = {
    "mail": 100,
    "dead": 20,
    "locks": 4,
    "decisions": 5,
    "private": 20,
    "logs": 5,
    "memory": 8 << 20,
    "descriptors": 1,
    "threads": 1,
}
_MOST = {"packs": 50, "loose": 6_700, "checkpoints": 2 * days.AGENTS + 1}


def test_days_of_work_leave_nothing_behind(repo: Path) -> None:
    with days.office(repo, tiers.seed(), _CONFIG) as office:
        seen = list(hours(office, tiers.rounds(24, 90 * 24)))
        print(f"{dict(office.done)}; after {len(seen)} hours {seen[-1]}")
        assert not office.said, office.said[:3]
    assert_flat(seen)


def test_all_that_grows_is_found(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for plant in LEAKS.values():
        plant(monkeypatch)
    with days.office(repo, 7, _CONFIG, busy=4) as office:
        seen = [look for look, _ in zip(hours(office, 99), range(16), strict=False)]
    with pytest.raises(AssertionError, match="more and more") as fault:
        assert_flat(seen, settling=2)
    assert [name for name in LEAKS if f"'{name}'" not in str(fault.value)] == []


@pytest.mark.parametrize(("mutant", "words"), [("told again", "more than once"), ("event not noted", "come apart")])
def test_what_repeats_or_comes_apart_is_found(
    repo: Path, mutant: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    DAYS[mutant](monkeypatch)
    with days.office(repo, 7, _CONFIG) as office, pytest.raises(AssertionError, match=words):
        list(hours(office, 6))


def hours(office: Office, count: int) -> Iterator[Footprint]:
    """Let so many hours pass, and look each hour; every evening all must agree, and nothing have been told twice."""
    for hour in range(1, count + 1):
        office.hour()
        yield office.footprint()
        if hour % 24 == 0 or hour == count:
            office.audit()
            verify.verify(office.coord)


def assert_flat(seen: Sequence[Footprint], settling: int = _SETTLING) -> None:
    """Once as much goes as comes, there is no more at the end than before; and never so much that git collects."""
    shown = [asdict(one) for one in seen]
    for name, most in _MOST.items():
        assert max(one[name] for one in shown) <= most, name
    settled = shown[settling:]
    first, second = settled[: len(settled) // 2], settled[len(settled) // 2 :]
    grown = {name: max(one[name] for one in second) - max(one[name] for one in first) for name in _MORE}
    worse = {name: more for name, more in grown.items() if more > _MORE[name]}
    assert not worse, f"there is more and more: {worse}"
