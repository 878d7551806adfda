"""Senders, readers, the committer, landings and the daemon, killed at any point: the next start makes all good."""

from pathlib import Path

import pytest
import tiers
from grounds import GROUNDS, ground
from leftovers import leftovers
from owner import LEDGER, Owner

from coord.model.errors import Corrupt

_IN_ONE_REPOSITORY = 100


@pytest.mark.timeout(600)
@pytest.mark.parametrize("role", GROUNDS)
def test_the_next_start_makes_good_what_a_kill_left(repo: Path, role: str) -> None:
    seed, rounds = tiers.seed(), tiers.rounds(6 if role in ("queue", "push") else 30, 1000)
    for begun in range(0, rounds, _IN_ONE_REPOSITORY):
        with ground(repo, role, seed + begun) as here:
            count = min(rounds - begun, _IN_ONE_REPOSITORY)
            for _ in range(count):
                here.round()
            here.tidy()
            here.books.sound()
            print(f"{here.deaths} deaths in {count} rounds; said: {dict(here.books.said)}")
            assert here.deaths > count // 4


@pytest.mark.parametrize(
    ("mutant", "role", "only", "complaint"),
    [
        ("said before noted", "send", "", "was acknowledged and is 0 times there|only in files"),
        ("published before noted", "send", "", "only in files"),
        ("done before published", "send", "", "only in ledger"),
        ("left unfinished", "send", "", "only in ledger"),
        ("advanced before committed", "commit", "fork_exec", "was acknowledged and is 0 times there"),
        ("committed again", "commit", "", "more than once|2 times there"),
        ("removed before noted", "read", "", "is not once in backend|only in ledger"),
        ("merged again", "land", "flock", "^merged: "),
        ("moved before pushed", "push", "", "is here what it is not at the remote"),
    ],
)
def test_a_planted_fault_is_found(repo: Path, mutant: str, role: str, only: str, complaint: str) -> None:
    """At every point in turn, from the end of the work where that is where the fault lies."""
    with ground(repo, role, tiers.seed(), mutant) as here:
        points = range(1, here.count(only) + 1)
        with pytest.raises((AssertionError, Corrupt), match=complaint):
            for point in points if role in ("send", "read") else reversed(points):
                here.round(point, only)


@pytest.mark.timeout(600)
def test_a_push_killed_before_any_of_its_gits_is_settled(repo: Path) -> None:
    """In the long tier before each of them; else before every sixth or so."""
    with ground(repo, "push", 1) as here:
        count = here.count("fork_exec")
        points = range(1, count + 1, max(count // tiers.rounds(9, count), 1))
        for point in points:
            here.round(point, "fork_exec")
        here.tidy()
        here.books.sound()
        assert here.deaths > len(points) // 2  # a run may need a few gits less than the one that was counted


def test_what_the_dead_leave_is_seen(repo: Path) -> None:
    with ground(repo, "send", 1, "never swept") as here:
        for point in range(1, here.points):
            here.round(point)
            if leftovers(here.repo):
                break
        with pytest.raises(AssertionError, match="nobody tidied up"):
            here.tidy(within=1)


@pytest.mark.parametrize(("role", "ref"), [("commit", LEDGER), ("land", "refs/heads/trunk")])
def test_a_branch_that_a_killed_git_left_locked_is_free_in_time(repo: Path, role: str, ref: str) -> None:
    with ground(repo, role, 1) as here:
        here.count("fork_exec")
        here.prepare()
        with Owner(here.repo, here.chance).holding(ref):
            pass
        here.heal()
        here.audit()
