"""Plays of the merge queue on real repositories: after every act base, ledger and queue are what the oracle says."""

import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
import tiers
from doomed import Warm, warmed
from mutants_queue import MUTANTS, Mutant
from queueplay import Play
from support import at_rest

PLAYS = tiers.rounds(2, 300)
STEPS = tiers.rounds(50, 120)


@pytest.fixture
def warm(repo: Path) -> Iterator[Warm]:
    """The interpreter whose forks are the daemons that die."""
    with warmed(repo.with_name("played"), "doomed") as (one,):
        yield one


def play(repo: Path, warm: Warm, seed: str, steps: int, favoured: Collection[str] = (), *, mutant: str = "") -> Play:
    home = repo.with_name("played")
    shutil.copytree(repo, home, symlinks=True)
    played = Play(home, warm, seed, favoured, mutant)
    try:
        for _ in range(steps):
            played.step()
        played.finish()
    except BaseException as fault:
        fault.add_note("\n".join(played.story))
        raise
    finally:
        played.landing.stop()
        at_rest(home)
        shutil.rmtree(home)
    return played


@pytest.mark.timeout(0 if tiers.LONG else 600)
def test_the_base_holds_exactly_what_landed(repo: Path, warm: Warm) -> None:
    seed = tiers.seed()
    for number in range(PLAYS):
        oracle = play(repo, warm, f"{seed} {number}", STEPS).oracle
        print(f"{len(oracle.landed)} of {len(oracle.wishes)} landed upon {len(oracle.outside)} commits by hand")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", MUTANTS if tiers.LONG else MUTANTS[:3], ids=lambda mutant: mutant.name)
def test_a_planted_fault_is_found(repo: Path, warm: Warm, mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere, seed = mutant.plant(monkeypatch), tiers.seed()
    with pytest.raises(AssertionError) as found:
        for number in range(40):
            play(repo, warm, f"{seed} mutant {number}", 40, mutant.favoured.split(), mutant=elsewhere)
    print(f"play {number}: {found.value}")
