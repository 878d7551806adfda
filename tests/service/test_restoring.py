"""What `coord worktree remove --keep` kept comes back as it was, and stays for as long as is configured."""

import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support import git

from coord.daemon.observe import Observer
from coord.daemon.plan import Aged, LetGo, Settled, View
from coord.daemon.rules.tidy import tidy
from coord.faces import render
from coord.git import trash
from coord.git.repo import Git
from coord.model.errors import NotFound, Refused, Usage
from coord.service import restoring, worktrees
from coord.service.coord import Coord
from coord.service.guard import placing

As = Callable[..., Coord]
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def picture(top: Path) -> dict[str, tuple[str, bytes]]:
    """Every file with its kind, its executable bit and its bytes; ignored ones and links to live folders left out."""
    found = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if name.split("/", maxsplit=1)[0] in (".git", "inbox", "locks", "checkpoints") or name.endswith(".o"):
            continue
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            found[name] = ("link", os.fsencode(path.readlink()))
        elif not stat.S_ISDIR(mode):
            found[name] = ("x" if mode & 0o100 else "-", path.read_bytes())
    return found


def state(top: Path) -> tuple[object, ...]:
    """All that git and the files say of a worktree."""
    index = git(top, "ls-files", "--stage")
    status = Git(top).run("status", "--porcelain=v2", "--branch", "--untracked-files=all", "-z").out
    return picture(top), index, status, git(top, "log", "--format=%H %D")


@pytest.fixture
def place(repo: Path, coord_for: As) -> Path:
    """Backend's worktree: a commit that nobody merged, and every kind of change upon it."""
    (repo / ".gitignore").write_text("*.o\n")
    for name in ("both", "gone", "moved", "mode", "removed"):
        (repo / name).write_text(f"{name}\n" * 9)
    (repo / "link").symlink_to("both")
    git(repo, "add", "-A", ":!.coord.yaml")
    git(repo, "commit", "-qm", "more")
    top = Path(worktrees.add(coord_for("owner"), ("backend",)).trees[0].path)
    (top / "mine").write_text("mine\n")
    git(top, "add", "mine")
    git(top, "commit", "-qm", "mine")
    (top / "both").write_text("staged\n")
    (top / "new").write_bytes(b"staged\0\r\n")
    git(top, "add", "both", "new")
    (top / "both").write_text("then changed\n")
    (top / "gone").unlink()
    git(top, "mv", "moved", "deep name")
    git(top, "rm", "-q", "removed")
    (top / "mode").chmod(0o755)
    (top / "link").unlink()
    (top / "link").symlink_to("no\nwhere")
    (top / "dir" / "er").mkdir(parents=True)
    (top / "dir" / "er" / 'line\nbreak "é" \udcff').write_bytes(b"\0\r\nuntracked\n")
    (top / "dir" / "run").write_text("#!/bin/sh\n")
    (top / "dir" / "run").chmod(0o755)
    (top / "x.o").write_text("ignored")
    return top


def test_all_comes_back_as_it_was(coord_for: As, place: Path) -> None:
    before = state(place)
    ref = worktrees.remove(coord_for("owner"), "backend", keep=True).kept
    assert not place.exists()
    (listed,) = restoring.restore(coord_for("owner")).items
    assert (f"{trash.PREFIX}/{listed.name}", listed.agent, listed.uncommitted) == (ref, "backend", True)
    assert listed.at and listed.until == listed.at + timedelta(days=30)
    assert "agent/backend" in str(render.blocks(restoring.restore(coord_for("owner"))))
    found = restoring.restore(coord_for("owner"), listed.name)
    assert found.restored and found.restored.path == str(place) and found.restored.branch == "agent/backend"
    assert state(place) == before
    assert (place / "inbox").is_symlink()
    assert git(place, "rev-parse", ref), "what is kept stays kept"
    assert "is back at" in str(render.blocks(found))


def test_the_guard_stands_in_hooks_of_its_own_as_before(repo: Path, coord_for: As) -> None:
    git(repo, "config", "core.hooksPath", "own-hooks")
    (repo / ".gitignore").write_text("own-hooks\n")
    git(repo, "add", ".gitignore")
    git(repo, "commit", "-qm", "hooks are not kept")
    owner = coord_for("owner")
    placing.install(owner)
    place = Path(worktrees.add(owner, ("backend",)).trees[0].path)
    (place / "mine").write_text("mine\n")
    kept = worktrees.remove(owner, "backend", keep=True).kept
    restoring.restore(owner, kept)
    found = placing.status(owner).hooks
    assert {hook.state for hook in found if hook.path.is_relative_to(place)} == {"installed"}


def test_it_comes_back_twice_over_and_for_another(coord_for: As, place: Path) -> None:
    before = picture(place)
    ref = worktrees.remove(coord_for("owner"), "backend", keep=True).kept
    restoring.restore(coord_for("owner"), ref)
    with pytest.raises(Refused, match="agent/backend is checked out"):
        restoring.restore(coord_for("owner"), ref, agent="frontend")
    found = restoring.restore(coord_for("owner"), ref, agent="frontend", branch="again")
    assert found.restored
    assert picture(Path(found.restored.path)) == before == picture(place)


def test_a_branch_that_is_gone_is_made_and_one_that_went_on_is_left_alone(
    repo: Path, coord_for: As, place: Path
) -> None:
    before = state(place)
    ref = worktrees.remove(coord_for("owner"), "backend", keep=True).kept
    git(repo, "branch", "-qf", "agent/backend", "main")
    with pytest.raises(Refused, match="by now"):
        restoring.restore(coord_for("owner"), ref)
    assert not place.exists()
    assert git(repo, "rev-parse", "agent/backend") == git(repo, "rev-parse", "main")
    git(repo, "branch", "-qD", "agent/backend")
    restoring.restore(coord_for("owner"), ref)
    assert state(place) == before


def test_committed_work_comes_back_on_its_branch(repo: Path, coord_for: As) -> None:
    place = Path(worktrees.add(coord_for("owner"), ("backend",)).trees[0].path)
    (git(place, "checkout", "-qb", "odd, name".replace(" ", "")),)
    git(place, "commit", "-q", "--allow-empty", "-m", "coord: kept from nowhere")
    head = git(place, "rev-parse", "HEAD")
    ref = worktrees.remove(coord_for("owner"), "backend", keep=True).kept
    git(repo, "branch", "-qD", "odd,name")
    found = restoring.restore(coord_for("owner"), ref)
    assert found.restored and found.restored.branch == "odd,name" and found.restored.head == head
    assert not found.items[0].uncommitted


def test_a_rebase_half_done_comes_back_as_its_files(repo: Path, coord_for: As, place: Path) -> None:
    git(place, "checkout", "-q", "--detach")
    before = picture(place)
    ref = worktrees.remove(coord_for("owner"), "backend", keep=True).kept
    found = restoring.restore(coord_for("owner"), ref)
    assert found.restored and found.restored.branch == ""
    assert picture(place) == before


def test_what_is_in_the_way_is_said_and_stays(coord_for: As, place: Path) -> None:
    owner = coord_for("owner")
    with pytest.raises(NotFound, match="nothing is kept as"):
        restoring.restore(owner, "nothing")
    ref = worktrees.remove(owner, "backend", keep=True).kept
    place.mkdir()
    (place / "mine").write_text("in the way")
    with pytest.raises(Refused, match="not an empty folder"):
        restoring.restore(owner, ref)
    assert (place / "mine").read_text() == "in the way"
    with pytest.raises(Usage, match="what to bring back"):
        restoring.restore(owner, branch="x")
    (place / "mine").unlink()
    restoring.restore(owner, ref)
    with pytest.raises(Refused, match="has a worktree"):
        restoring.restore(owner, ref)


def test_what_alone_is_meant_needs_no_whole_name(repo: Path, coord_for: As, place: Path) -> None:
    owner = coord_for("owner")
    ref = worktrees.remove(owner, "backend", keep=True).kept
    for other in ("backend-two", "zebra"):
        git(repo, "update-ref", f"{trash.PREFIX}/20260101T000000Z-{other}", "main")
    for several in ("back", "20"):
        with pytest.raises(Usage, match=f"are kept that begin with '{several}'") as caught:
            restoring.restore(owner, several)
        assert ref.removeprefix(f"{trash.PREFIX}/") in caught.value.hint
    with pytest.raises(NotFound, match="'ackend'"):
        restoring.restore(owner, "ackend")
    assert [one.name for one in restoring.restore(owner, "ze", agent="frontend").items] == ["20260101T000000Z-zebra"]
    (found,) = restoring.restore(owner, "backend").items
    assert found.name == ref.removeprefix(f"{trash.PREFIX}/")


def test_it_is_let_go_at_its_time_and_not_before(repo: Path, coord_for: As, place: Path) -> None:
    owner = coord_for("owner")
    limit = owner.config.worktrees.trash_retention
    young = trash.keep(Git(place), place, "backend", owner.now() - limit + timedelta(minutes=5))
    old = trash.keep(Git(place), place, "backend", owner.now() - limit - timedelta(seconds=2))
    git(repo, "update-ref", f"{trash.PREFIX}/by-hand", "main")
    git(repo, "update-ref", f"{trash.PREFIX}/{'0' * 26}-ledger", "main")
    (action,) = tidy(Observer(owner).view(full=True))
    assert action == LetGo((old.removeprefix(f"{trash.PREFIX}/"),))
    everything = tuple(one.name for one in restoring.restore(owner).items)
    assert len(everything) == 4
    assert restoring.let_go(owner, everything) == 1
    assert Git(repo).tip(old) is None
    assert Git(repo).tip(young) and Git(repo).tip(f"{trash.PREFIX}/by-hand")
    assert restoring.let_go(owner, everything) == 0


def test_nothing_is_let_go_while_the_clock_is_in_doubt(coord_for: As) -> None:
    config = coord_for("owner").config
    settled = Settled(trash=(Aged("x", NOW - timedelta(days=31)), Aged("y", NOW - timedelta(days=29, hours=23))))
    assert tidy(View(now=NOW, config=config, settled=settled)) == [LetGo(("x",))]
    assert tidy(View(now=NOW, config=config, settled=settled, steady=False)) == []
