"""Worktrees where the repository's owner has it unusual."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support import git

from coord.faces import render
from coord.model.errors import Refused
from coord.service import merges, setup, worktrees
from coord.service.coord import Coord

As = Callable[..., Coord]


def test_a_worktree_behind_a_link_is_its_agents(repo: Path, coord_for: As, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with (repo / ".coord.yaml").open("a") as file:
        file.write('worktrees: {path: "../link/{name}"}\n')
    worktrees.add(coord_for("owner"), ("backend",))
    place = tmp_path / "link" / "backend"
    assert coord_for(start=place).me() == "backend"
    assert [tree.agent for tree in worktrees.list_(coord_for("owner")).trees] == ["backend"]
    assert not worktrees.add(coord_for("owner"), ("backend",)).trees[0].missing
    worktrees.remove(coord_for("owner"), "backend")
    assert not place.exists()


def test_looking_needs_no_base(repo: Path, coord_for: As) -> None:
    worktrees.add(coord_for("owner"), ("backend",))
    git(repo, "checkout", "-q", "--detach")
    owner = coord_for("owner")
    found = worktrees.list_(owner)
    assert (found.base, found.trees[0].ahead) == ("", 0)
    assert merges.list_(owner).base == ""
    assert all("into " not in str(block) for block in render.blocks(merges.list_(owner)))
    with pytest.raises(Refused, match="no base"):
        worktrees.add(owner, ("frontend",))


def test_nothing_is_removed_unasked_while_the_base_is_unknown(repo: Path, coord_for: As) -> None:
    place = Path(worktrees.add(coord_for("owner"), ("backend",)).trees[0].path)
    git(place, "commit", "-q", "--allow-empty", "-m", "mine")
    git(repo, "checkout", "-q", "--detach")
    with pytest.raises(Refused, match="unmerged"):
        worktrees.remove(coord_for("owner"), "backend")


def test_a_branch_in_the_ledgers_way_is_said_before_anything_is_made(tmp_path: Path) -> None:
    home = tmp_path / "odd"
    home.mkdir()
    git(home, "init", "-q")
    git(home, "commit", "-q", "--allow-empty", "-m", "start")
    git(home, "branch", "coord")
    with pytest.raises(Refused, match="coord"):
        setup.init(home, agents=("backend",))
    assert sorted(path.name for path in home.iterdir()) == [".git"]
    git(home, "branch", "-m", "coord", "other")
    assert setup.init(home, agents=("backend",)).agents == ("backend",)
