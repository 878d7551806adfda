"""Worktrees where the repository's owner has it unusual."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support import git, gits

from coord.faces import render
from coord.model.errors import Refused
from coord.service import keepup, merges, setup, status, worktrees
from coord.service.coord import Coord
from coord.service.session import sessions
from coord.stores import oslock

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


def test_the_list_says_what_a_worktree_that_is_behind_waits_for(repo: Path, coord_for: As) -> None:
    owner = coord_for("owner")
    places = {tree.agent: Path(tree.path) for tree in worktrees.add(owner).trees}
    assert {tree.waits for tree in worktrees.list_(owner).trees} == {""}

    def committed(top: Path, name: str, text: str) -> None:
        (top / name).write_text(text)
        git(top, "add", name)
        git(top, "commit", "-qm", name)

    (places["backend"] / "loose").write_text("x")
    committed(places["frontend"], "README.md", "# Frontend\n")
    committed(places["security"], "mine", "x\n")
    git(places["security"], "bisect", "start")
    committed(repo, "README.md", "# Owner\n")
    loose = git(repo, "count-objects")
    found = worktrees.list_(owner)
    assert {tree.agent: tree.waits for tree in found.trees} == {
        "backend": "uncommitted changes in loose",
        "frontend": "conflicts with the base in README.md",
        "security": "a bisect is in progress",
        "pm-architect": "",
    }
    assert "waits: conflicts with the base in README.md" in str(render.blocks(found))
    assert git(repo, "count-objects") == loose
    git(places["security"], "bisect", "reset")
    with coord_for("security") as coord:
        merges.request(coord)
    (places["backend"] / "loose").unlink()
    with sessions.opened(owner, "claude", "s1", timeout=5) as kept:
        kept.session = replace(kept.session, agent="backend", process=oslock.process_of(os.getpid()))
    waits = {tree.agent: tree.waits for tree in worktrees.list_(owner).trees}
    assert waits["security"] == "agent/security waits to be merged as it is"
    assert waits["backend"] == "a session of claude is at work"


def test_a_list_looks_at_each_worktree_once(repo: Path, coord_for: As) -> None:
    owner = coord_for("owner")
    places = {tree.agent: Path(tree.path) for tree in worktrees.add(owner).trees}
    (repo / "README.md").write_text("# Owner\n")
    git(repo, "commit", "-qam", "owner's")
    git(places["security"], "commit", "-q", "--allow-empty", "-m", "more")
    for place in places.values():
        (place / "loose").write_text("x")
    owner.settle()
    for look in (worktrees.list_, status.status):
        with gits() as ran:
            look(owner)
        told = ["log"] if look is status.status else []  # the ledger's last event
        assert sorted(words[0] for words in ran) == sorted(["status"] * len(places) + ["merge-base", "log", *told])
    apart = {tree.agent: (tree.ahead, tree.behind) for tree in worktrees.list_(owner).trees}
    assert apart == dict.fromkeys(places, (0, 1)) | {"security": (1, 1)}


def test_the_list_says_why_a_worktree_cannot_follow(repo: Path, coord_for: As) -> None:
    owner = coord_for("owner")
    place = Path(worktrees.add(owner, ("backend",)).trees[0].path)
    (repo / ".gitignore").write_text("*.o\n")
    (repo / "way.o").write_text("x")
    git(repo, "add", "-f", ".gitignore", "way.o")
    git(repo, "commit", "-qm", "in the way")
    git(place, "config", "core.excludesFile", str(repo / ".gitignore"))
    (place / "way.o").write_text("mine")
    assert keepup.follow(owner, "backend")
    (tree,) = worktrees.list_(owner).trees
    assert tree.waits == "files that git does not track are in the way: way.o"


def test_what_is_written_while_a_worktree_is_kept_keeps_it(repo: Path, coord_for: As) -> None:
    place = Path(worktrees.add(coord_for("owner"), ("backend",)).trees[0].path)
    (place / "early").write_text("early")
    hook = repo / ".git/hooks/reference-transaction"
    hook.write_text(
        f'#!/bin/sh\n[ "$1" = committed ] && grep -q refs/coord/trash && echo late > "{place}/late"\nexit 0\n'
    )
    hook.chmod(0o755)
    with pytest.raises(Refused, match="changed while") as refused:
        worktrees.remove(coord_for("owner"), "backend", keep=True)
    assert (place / "late").exists() and "early" in git(
        repo, "ls-tree", "--name-only", str(refused.value.facts["kept"])
    )
    hook.unlink()
    kept = worktrees.remove(coord_for("owner"), "backend", keep=True).kept
    assert not place.exists() and {"early", "late"} <= set(git(repo, "ls-tree", "--name-only", kept).split())
