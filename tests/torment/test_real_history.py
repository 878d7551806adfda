"""The merges of a real project made again by the queue: each gives the tree that git itself makes, or git's conflicts.

COORD_HISTORY names another repository, or a bundle of one, whose merges are made again instead.
"""

import os
import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import tiers
from conftest import CONFIG
from queueing import drive, queue
from support import git

from coord.git import history, merge
from coord.model.untrusted import clean_line
from coord.service import merges, setup
from coord.service.coord import Coord
from coord.service.merging.landing import Landing

BUNDLE = Path(__file__).parents[1] / "fixtures/history/desk.bundle"
HISTORY = os.environ.get("COORD_HISTORY") or str(BUNDLE)
SAMPLE = tiers.rounds(6, 100_000)


@dataclass(frozen=True)
class Joined:
    """A merge of the history: the commit, and what was merged into what."""

    commit: str
    base: str
    head: str


@dataclass(frozen=True)
class Made:
    """What git makes of it with a checkout: the tree, or the paths in conflict."""

    tree: str
    conflicts: tuple[str, ...]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The history, with coord set up in it, on a branch of its own that nothing is merged into."""
    here = tmp_path / "history"
    git(tmp_path, "clone", "-q", "--no-checkout", HISTORY, str(here))
    git(here, "checkout", "-q", "--orphan", "empty")
    git(here, "rm", "-rfq", "--cached", ".")
    git(here, "commit", "-q", "--allow-empty", "-m", "nothing")
    (here / ".coord.yaml").write_text(f"{CONFIG}merge: {{ungated: allow}}\n")
    setup.init(here)
    return here


def joined(home: Path) -> list[Joined]:
    """Return the merges of two branches, the oldest first."""
    lines = git(home, "rev-list", "--all", "--merges", "--reverse", "--parents").splitlines()
    found = [Joined(*line.split()) for line in lines if line.count(" ") == 2]
    return [one for one in found if not merge.already_in(Coord.open(home).git, one.base, one.head)]


def by_git(checkout: Path, one: Joined) -> Made:
    """Merge with git in a checkout, as a person does."""
    git(checkout, "checkout", "-qf", "--detach", one.base)
    words = ["git", "merge", "-q", "--no-ff", "--no-edit", one.head]
    done = subprocess.run(words, cwd=checkout, check=False, capture_output=True)
    if done.returncode == 0:
        return Made(git(checkout, "rev-parse", "HEAD^{tree}"), ())
    names = git(checkout, "diff", "-z", "--name-only", "--diff-filter=U").split("\0")
    git(checkout, "merge", "--abort")
    return Made("", tuple(name for name in names if name))


def by_the_queue(coord: Coord, one: Joined) -> Made:
    """Ask for the merge, and return what came of it."""
    base, work = f"base/{one.commit[:12]}", f"work/{one.commit[:12]}"
    git(coord.home, "branch", base, one.base)
    git(coord.home, "branch", work, one.head)
    merges.request(coord, branch=work, into=base)
    drive(Landing(coord), within=60)
    assert not queue(coord), queue(coord)
    coord.committer.settle()
    (ended,) = history.entries(coord.git, newest_first=True, limit=1)
    if ended.kind == "merge.conflict":
        assert git(coord.home, "rev-parse", base) == one.base
        return Made("", tuple(ended.facts["Why"].removeprefix("it conflicts in ").split(", ")))
    assert ended.kind == "merge.landed", ended
    assert git(coord.home, "log", "-1", "--format=%P", base) == f"{one.base} {one.head}"
    return Made(git(coord.home, "rev-parse", f"{base}^{{tree}}"), ())


@pytest.mark.timeout(0 if tiers.LONG else 300)
def test_each_merge_gives_what_git_makes(home: Path) -> None:
    chance, coord = random.Random(tiers.seed()), Coord.open(home, who="backend")
    everything = joined(home)
    chosen = chance.sample(everything, min(SAMPLE, len(everything)))
    checkout = home.with_name("checkout")
    git(home, "worktree", "add", "-q", "--detach", "--no-checkout", str(checkout), chosen[0].base)
    clean = as_then = 0
    for one in chosen:
        wanted, made = by_git(checkout, one), by_the_queue(coord, one)
        assert made.tree == wanted.tree, one
        assert sorted(made.conflicts) == sorted(clean_line(name, 120) for name in wanted.conflicts)[:12], one
        clean += bool(made.tree)
        as_then += made.tree == git(home, "rev-parse", f"{one.commit}^{{tree}}")
    coord.settle()
    print(f"{len(chosen)} of {len(everything)} merges: {clean} clean, {as_then} of them as they were made then")
    assert clean and as_then
