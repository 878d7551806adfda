"""Plays of random acts on a real repository and on an oracle of plain dicts: after every act both show the same."""

import shutil
from collections.abc import Collection
from pathlib import Path

import mutants_inputs
import pytest
import tiers
from conftest import CONFIG
from oracle import KEPT
from support import git
from world import World

from coord.service import setup

CHUNKS = tiers.rounds(5, 100)
PLAYS = tiers.rounds(20, 100)
STEPS = tiers.rounds(50, 100)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A repository to copy: the only one that git makes."""
    home = tmp_path / "template"
    home.mkdir()
    git(home, "init", "-q", "--template=")
    (home / ".coord.yaml").write_text(f"{CONFIG}checkpoints: {{keep: {KEPT}}}\n")
    for name in ("docs/a.md", "docs/deep/c.md", "src/x.py", "src/y.py"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("x\n")
    git(home, "add", "-A")
    git(home, "commit", "-qm", "start")
    setup.init(home)
    return home


def play(template: Path, seed: str, steps: int, favoured: Collection[str] = ()) -> None:
    home = template.parent / seed
    shutil.copytree(template, home)
    world = World(home, seed, favoured)
    try:
        for _ in range(steps):
            world.step()
        world.story.append("at the end")
        world.thoroughly()
    except BaseException as fault:
        fault.add_note("\n".join(world.story))
        raise
    finally:
        shutil.rmtree(home, ignore_errors=True)  # git may be combining packs there in the background


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_coord_does_what_the_oracle_says(template: Path, chunk: int) -> None:
    seed = tiers.seed()
    for number in range(PLAYS):
        play(template, f"{seed} {chunk} {number}", STEPS)


@pytest.mark.parametrize("mutant", mutants_inputs.SERVICE, ids=lambda mutant: mutant.name)
def test_a_planted_fault_is_found(
    template: Path, mutant: mutants_inputs.Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant.plant(monkeypatch)
    seed = tiers.seed()
    with pytest.raises(AssertionError):
        for number in range(200):  # as many as it takes: some show in one of six only
            play(template, f"{seed} mutant {number}", 40, mutant.where.split())
