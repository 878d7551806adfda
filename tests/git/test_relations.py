"""Many branches measured at once, as git measures each."""

import os
import random
from pathlib import Path

import pytest
from support import git

from coord.git.relations import relations
from coord.git.repo import Git

SEED = int(os.environ.get("COORD_SEED", random.SystemRandom().randrange(1 << 30)))
NAMES = ("one", "two", "three", "main")


def tangled(repo: Path, chance: random.Random) -> None:
    """Make branches that merge each other now and then, and one that has nothing in common with them."""
    git(repo, "init", "-q")
    git(repo, "commit", "-qm", "start", "--allow-empty")
    for name in NAMES[:-1]:
        git(repo, "branch", name)
    git(repo, "checkout", "-q", "--orphan", "alien")
    git(repo, "commit", "-qm", "of its own", "--allow-empty")
    for number in range(16):
        git(repo, "checkout", "-qf", chance.choice(NAMES))
        git(repo, "commit", "-qm", f"{number}", "--allow-empty", "--date", f"@{1_700_000_000 + number} +0000")
        if chance.random() < 0.4:
            git(repo, "merge", "-qm", "both", chance.choice(NAMES))


@pytest.mark.parametrize("round_", range(6))
def test_relations_agree_with_git_on_a_tangled_history(tmp_path: Path, round_: int) -> None:
    print(f"COORD_SEED={SEED}")
    tangled(tmp_path, random.Random(f"{SEED} {round_}"))
    door, base = Git(tmp_path), git(tmp_path, "rev-parse", "main")
    heads = {name: git(tmp_path, "rev-parse", name) for name in (*NAMES, "alien")}
    for some in (NAMES, tuple(heads)):
        found = relations(door, base, {heads[name] for name in some})
        for name in some:
            behind, ahead = git(tmp_path, "rev-list", "--left-right", "--count", f"main...{name}").split()
            one = found[heads[name]]
            assert (one.ahead, one.behind) == (int(ahead), int(behind)), name
            best = door.run("merge-base", "--all", base, heads[name], check=False).out.decode().split()
            assert (one.parted in best) if best else one.parted is None, name
            dates = git(tmp_path, "log", "--format=%at", f"main..{name}", "--").split()
            assert (int(one.since.timestamp()) if one.since else None) == min(map(int, dates), default=None), name
