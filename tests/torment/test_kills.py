"""Senders, readers, the committer, landings and the daemon, killed at any point: the next start makes all good."""

from pathlib import Path

import pytest
import tiers
from killing import GROUNDS, ground

from coord.model.errors import Corrupt

_IN_ONE_REPOSITORY = 100


@pytest.mark.parametrize("role", GROUNDS)
def test_the_next_start_makes_good_what_a_kill_left(repo: Path, role: str) -> None:
    seed, rounds = tiers.seed(), tiers.rounds(30, 1000)
    for begun in range(0, rounds, _IN_ONE_REPOSITORY):
        with ground(repo, role, seed + begun) as here:
            count = min(rounds - begun, _IN_ONE_REPOSITORY)
            for _ in range(count):
                here.round()
            here.books.sound()
            print(f"{here.deaths} deaths in {count} rounds; said: {dict(here.books.said)}")
            assert here.deaths > count // 4


@pytest.mark.parametrize(
    ("mutant", "role", "complaint"),
    [
        ("said before noted", "send", "was acknowledged and is 0 times there|only in files"),
        ("published before noted", "send", "only in files"),
        ("done before published", "send", "only in ledger"),
        ("left unfinished", "send", "only in ledger"),
        ("advanced before committed", "commit", "was acknowledged and is 0 times there"),
        ("committed again", "commit", "more than once|2 times there"),
        ("removed before noted", "read", "is not once in backend|only in ledger"),
        ("merged again", "land", "^merged: "),
    ],
)
def test_a_planted_fault_is_found(repo: Path, mutant: str, role: str, complaint: str) -> None:
    """At every point in turn, from the end of the work where that is where the fault lies."""
    with ground(repo, role, tiers.seed(), mutant) as here:
        points = range(1, here.points + 1)
        with pytest.raises((AssertionError, Corrupt), match=complaint) as found:
            for point in points if role in ("send", "read") else reversed(points):
                here.round(point)
        print(mutant, here.deaths, "of", here.points, str(found.value)[:200])
