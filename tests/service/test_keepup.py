"""Worktrees are brought to the base when they are clean and idle, wholly or not at all."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from queueing import ask, branch
from support import git

from coord.daemon import run
from coord.daemon.observe import Observer
from coord.daemon.perform import Performer
from coord.daemon.plan import Behind, Follow, Foreseen, View
from coord.daemon.rules.follow import follow
from coord.faces import render
from coord.service import keepup, merges, worktrees
from coord.service.coord import Coord
from coord.service.foresight import Foresight
from coord.service.session import sessions
from coord.stores import oslock

As = Callable[..., Coord]


@pytest.fixture
def place(repo: Path, coord_for: As) -> Path:
    """Backend's worktree in a repository where worktrees follow."""
    with (repo / ".coord.yaml").open("a") as file:
        file.write("worktrees: {follow: merge}\n")
    return Path(worktrees.add(coord_for("owner"), ("backend",)).trees[0].path)


def commit(top: Path, name: str, text: str = "x\n") -> str:
    (top / name).parent.mkdir(parents=True, exist_ok=True)
    (top / name).write_text(text)
    git(top, "add", name)
    git(top, "commit", "-qm", f"{name} here")
    return git(top, "rev-parse", "HEAD")


def clean(top: Path) -> bool:
    return not git(top, "status", "--porcelain")


def test_it_goes_forward_or_gets_a_merge(repo: Path, coord_for: As, place: Path) -> None:
    tip = commit(repo, "base.txt")
    found = keepup.update(coord_for("owner"))
    assert [(one.agent, one.state, one.head) for one in found.items] == [("backend", "brought", tip)]
    assert (place / "base.txt").exists() and clean(place)
    own, tip = commit(place, "mine"), commit(repo, "more.txt")
    (one,) = keepup.update(coord_for("owner"), ("backend",)).items
    assert (
        git(place, "log", "-1", "--format=%P|%an|%cn|%s") == f"{own} {tip}|backend|coord|Merge main into agent/backend"
    )
    assert (place / "more.txt").exists() and (place / "mine").exists() and clean(place)
    assert keepup.update(coord_for("owner")).items[0].state == "current"
    assert "has it" in str(render.blocks(keepup.update(coord_for("owner"))))
    assert one.head == git(place, "rev-parse", "agent/backend")


def test_what_is_not_ready_is_not_touched(repo: Path, coord_for: As, place: Path) -> None:
    commit(repo, "base.txt")
    head = git(place, "rev-parse", "HEAD")
    (place / "loose").write_text("mine")
    (one,) = keepup.update(coord_for("owner")).items
    assert (one.state, one.why) == ("waits", "uncommitted changes in loose")
    (place / "loose").unlink()
    private = Path(git(place, "rev-parse", "--absolute-git-dir"))
    (private / "MERGE_HEAD").write_text(head)
    assert keepup.update(coord_for("owner")).items[0].why == "a merge is in progress"
    (private / "MERGE_HEAD").unlink()
    (private / "index.lock").write_text("")
    assert keepup.update(coord_for("owner")).items[0].state == "waits"
    (private / "index.lock").unlink()
    assert git(place, "rev-parse", "HEAD") == head and clean(place)


def test_a_conflict_leaves_no_trace(repo: Path, coord_for: As, place: Path) -> None:
    commit(repo, "both", "base\n")
    head = commit(place, "both", "mine\n")
    (one,) = keepup.update(coord_for("owner")).items
    assert (one.state, one.why) == ("stuck", "it conflicts with main in both")
    assert git(place, "rev-parse", "HEAD") == head and (place / "both").read_text() == "mine\n" and clean(place)


def observed(coord: Coord) -> View:
    return Observer(coord, lambda: Foresight(coord).look()).view(full=False)


def test_the_daemon_brings_idle_ones_and_waits_for_the_others(repo: Path, coord_for: As, place: Path) -> None:
    owner = coord_for("owner")
    tip = commit(repo, "base.txt")
    assert follow(observed(owner)) == [Follow("backend")]
    with sessions.opened(owner, "claude", "s1", timeout=5) as kept:
        kept.session = replace(kept.session, agent="backend", process=oslock.process_of(os.getpid()))
    performer = Performer(owner, Observer(owner), print)
    assert not performer.perform(Follow("backend"))
    assert git(place, "rev-parse", "HEAD") != tip
    with sessions.opened(owner, "claude", "s1", timeout=5) as kept:
        kept.session = replace(kept.session, state="idle")
    assert performer.perform(Follow("backend"))
    assert git(place, "rev-parse", "HEAD") == tip
    assert follow(observed(owner)) == []


def test_one_look_at_everything_lands_and_brings_the_others_along(repo: Path, coord_for: As, place: Path) -> None:
    with (repo / ".coord.yaml").open("a") as file:
        file.write("merge: {ungated: allow}\n")
    git(repo, "commit", "-qam", "settings")
    keepup.update(coord_for("owner"))
    ask(coord_for("frontend"), branch(repo, "work", {"landed.txt": "x\n"}))
    run.once(coord_for("owner"), say=print)
    assert (repo / "landed.txt").exists() and (place / "landed.txt").exists()


def test_a_branch_in_the_queue_stays_as_it_was_requested(repo: Path, coord_for: As, place: Path) -> None:
    owner = coord_for("owner")
    head = commit(place, "mine")
    merges.request(coord_for("backend"))
    commit(repo, "base.txt")
    assert not keepup.follow(owner, "backend")
    assert git(place, "rev-parse", "HEAD") == head


def test_one_that_cannot_is_told_once_for_each_base(repo: Path, coord_for: As, place: Path) -> None:
    owner = coord_for("owner")
    commit(repo, ".gitignore", "*.o\n")
    assert keepup.follow(owner, "backend")
    (place / "way.o").write_text("mine, ignored")
    git(repo, "update-index", "--add", "--cacheinfo", f"100644,{git(repo, 'rev-parse', 'HEAD:.gitignore')},way.o")
    git(repo, "commit", "-qm", "way.o")
    assert follow(observed(owner)) == [Follow("backend")]
    for _ in range(2):
        keepup.follow(owner, "backend")
    letters = [path for path in (repo / "inbox/backend").glob("*.md") if "cannot follow" in path.read_text()]
    assert len(letters) == 1 and "way.o" in letters[0].read_text()
    assert (place / "way.o").read_text() == "mine, ignored"
    assert follow(observed(owner)) == []
    git(repo, "commit", "-q", "--allow-empty", "-m", "the base moves")
    assert follow(observed(owner)) == [Follow("backend")]


def test_the_rule(coord_for: As, place: Path) -> None:
    config = coord_for("owner").config
    now = coord_for("owner").now()
    behind = (Behind("backend"), Behind("frontend", told=True), Behind("security", begun=True))
    assert follow(View(now=now, config=config, behind=behind)) == [Follow("backend"), Follow("security")]
    clash = (Foreseen("backend", "", frozenset("a"), frozenset()),)
    assert follow(View(now=now, config=config, behind=behind, conflicts=clash)) == [Follow("security")]
    assert follow(View(now=now, config=config, behind=behind, steady=False)) == [Follow("security")]
