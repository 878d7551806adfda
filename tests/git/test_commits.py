"""Which commits a branch has alone: exactly those, whatever the clocks of their authors said."""

import os
import subprocess
from pathlib import Path

import pytest
from support import git

from coord.git import commits
from coord.git.repo import Git

LONG_AGO = "@946684800 +0000"


def commit(repo: Path, name: str, date: str = "") -> str:
    (repo / name).write_text(f"{name}\n")
    git(repo, "add", name)
    env = {**os.environ, **({"GIT_COMMITTER_DATE": date} if date else {})}
    subprocess.run(["git", "commit", "-qm", name], cwd=repo, check=True, env=env)
    return git(repo, "rev-parse", "HEAD")


@pytest.fixture
def skewed(repo: Path) -> tuple[str, str]:
    """Two sides that parted at `shared`; the base went on by more commits than git looks ahead, dated long ago."""
    commit(repo, "shared")
    git(repo, "switch", "-qc", "side")
    side = commit(repo, "side")
    git(repo, "switch", "-q", "main")
    base = [commit(repo, f"old{number}", LONG_AGO) for number in range(12)][-1]
    assert "shared" in git(repo, "log", "--format=%s", side, "--not", base).split(), "git alone is exact: no such test"
    return base, side


def test_commits_of_both_sides_are_not_taken_for_one_sides_own(repo: Path, skewed: tuple[str, str]) -> None:
    base, side = skewed
    assert [one.paths for one in commits.between(Git(repo), side, (base,))] == [("side",)]
    other = git(repo, "rev-parse", "main~3")
    assert [one.paths for one in commits.between(Git(repo), side, (base, other))] == [("side",)]


def test_those_that_a_remote_has_are_left_out(repo: Path, skewed: tuple[str, str]) -> None:
    base, side = skewed
    git(repo, "update-ref", "refs/remotes/origin/side", side)
    git(repo, "switch", "-q", "side")
    more = commit(repo, "more")
    found = commits.between(Git(repo), more, (base,), options=("--remotes",))
    assert [one.paths for one in found] == [("more",)]


def test_nothing_to_leave_out_is_all(repo: Path) -> None:
    assert len(list(commits.between(Git(repo), "main", ()))) == int(git(repo, "rev-list", "--count", "main"))


@pytest.mark.parametrize("heads", [1, 2])
def test_what_one_lacks_is_exact_as_well(repo: Path, heads: int) -> None:
    """Here it is the one who lacks something whose commits are dated long ago."""
    commit(repo, "shared")
    git(repo, "switch", "-qc", "side")
    side = [commit(repo, f"old{number}", LONG_AGO) for number in range(12)][-1]
    git(repo, "switch", "-q", "main")
    base = commit(repo, "base")
    assert "shared" in git(repo, "log", "--format=%s", base, "--not", side).split(), "git alone is exact: no such test"
    without = (side, git(repo, "rev-parse", "side~3"))[:heads]
    assert commits.lacking(Git(repo), base, without, ("shared", "base", "old1")) == {"base"}
