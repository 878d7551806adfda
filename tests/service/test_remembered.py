"""Conflicts that were resolved once are not asked about again, and what comes of it is tested as all else."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from queueing import branch, configure, drive, queue
from support import git

from coord.daemon.foreseeing import Foreseeing
from coord.service import merges, worktrees
from coord.service.coord import Coord
from coord.service.merging.landing import Landing

As = Callable[..., Coord]
LINES = [f"{number}\n" for number in range(9)]


def text(four: str) -> str:
    return "".join([*LINES[:4], f"{four}\n", *LINES[5:]])


@pytest.fixture
def place(repo: Path, coord_for: As) -> Path:
    """Main and two branches that changed the same line; one's agent has resolved that in its worktree, by a merge."""
    (repo / "text").write_text(text("4"))
    git(repo, "add", "text")
    git(repo, "commit", "-qm", "text")
    (tree,) = worktrees.add(coord_for("owner"), ("backend",)).trees
    branch(repo, "work/other", {"text": text("theirs"), "other": "x\n"})
    (repo / "text").write_text(text("base"))
    git(repo, "commit", "-qam", "base")
    return Path(tree.path)


def resolved(place: Path, resolution: str) -> None:
    """Resolve the conflict of `text` by hand, in a merge of main into the branch."""
    (place / "text").write_text(text("theirs"))
    git(place, "commit", "-qam", "theirs")
    done = subprocess.run(["git", "merge", "-q", "main"], cwd=place, check=False, capture_output=True)
    assert done.returncode == 1
    (place / "text").write_text(resolution)
    git(place, "commit", "-qam", "resolved")


def asked(coord_for: As) -> None:
    with coord_for("backend") as coord:
        merges.request(coord, branch="work/other")
    drive(Landing(coord_for("owner")))


def test_a_conflict_that_another_resolved_lands_with_what_was_resolved(repo: Path, coord_for: As, place: Path) -> None:
    configure(repo, "test: 'grep -q both text && test -f other'")
    resolved(place, text("both"))
    asked(coord_for)
    assert not queue(coord_for("owner"))
    assert (repo / "text").read_text() == text("both") and (repo / "other").exists()
    assert "\nCoord-Rerere: text\n" in git(repo, "log", "-1", "--format=%B", "main")
    assert git(repo, "status", "--porcelain") == ""
    assert not (repo / ".git/rr-cache").exists() and not (repo / ".git/MERGE_RR").exists()


def test_one_that_went_back_lands_once_somebody_resolved_the_same(repo: Path, coord_for: As, place: Path) -> None:
    configure(repo, "test: 'true'")
    tip = git(repo, "rev-parse", "main")
    asked(coord_for)
    assert not queue(coord_for("owner")) and git(repo, "rev-parse", "main") == tip
    resolved(place, text("both"))
    asked(coord_for)
    assert not queue(coord_for("owner")) and (repo / "text").read_text() == text("both")


def test_it_still_has_to_pass_the_test(repo: Path, coord_for: As, place: Path) -> None:
    configure(repo, "test: '! grep -q wrong text'")
    resolved(place, text("wrong"))
    tip = git(repo, "rev-parse", "main")
    asked(coord_for)
    assert not queue(coord_for("owner")) and git(repo, "rev-parse", "main") == tip


@pytest.mark.parametrize("how", ["rerere: 'off', test: 'true'", "ungated: allow", "test: 'true'"])
def test_where_nobody_wants_it_or_judges_it_or_knows_it_the_request_goes_back(
    repo: Path, coord_for: As, place: Path, how: str
) -> None:
    configure(repo, how)
    tip = git(repo, "rev-parse", "main")
    if how != "test: 'true'":
        resolved(place, text("both"))
    asked(coord_for)
    assert not queue(coord_for("owner")) and git(repo, "rev-parse", "main") == tip


def test_where_only_some_of_it_is_known_the_request_goes_back(repo: Path, coord_for: As, place: Path) -> None:
    configure(repo, "test: 'true'")
    resolved(place, text("both"))
    branch(repo, "work/other", {"README.md": "# Theirs\n"}, base="work/other")
    (repo / "README.md").write_text("# Base\n")
    git(repo, "commit", "-qam", "more")
    tip = git(repo, "rev-parse", "main")
    asked(coord_for)
    assert not queue(coord_for("owner")) and git(repo, "rev-parse", "main") == tip


def test_what_was_half_learned_is_learned_anew(repo: Path, coord_for: As, place: Path) -> None:
    configure(repo, "test: 'grep -q both text'")
    resolved(place, text("both"))
    store = repo / ".git/coord/rerere"
    asked(coord_for)
    (postimage,) = store.rglob("postimage")
    postimage.write_text("0\n")
    (store / "learning").touch()
    git(repo, "reset", "-q", "--hard", "main~1")
    asked(coord_for)
    assert (repo / "text").read_text() == text("both")


@pytest.mark.parametrize("left", ["half a store", "no folder of work", "a lock", "half of it removed"])
def test_what_a_killed_one_left_keeps_nobody_from_remembering(
    repo: Path, coord_for: As, place: Path, left: str
) -> None:
    configure(repo, "test: 'grep -q both text'")
    store = repo / ".git/coord/rerere"
    if left == "half a store":
        for folder in (store / "git/refs", store / "work"):
            folder.mkdir(parents=True)
        resolved(place, text("both"))
    else:
        resolved(place, text("both"))
        asked(coord_for)
        git(repo, "reset", "-q", "--hard", "main~1")
    if left == "no folder of work":
        shutil.rmtree(store / "work")
        (store / "learned").unlink()  # there is something to be learned
    if left == "a lock":
        for folder in (store, store / "git", store / "work"):
            for name in ("index.lock", "made.lock", "MERGE_RR.lock"):
                (folder / name).touch()
    if left == "half of it removed":
        (store / "git/HEAD").unlink()
        shutil.rmtree(store / "git/rr-cache")
    asked(coord_for)
    assert not queue(coord_for("owner")) and (repo / "text").read_text() == text("both")


def test_what_is_learned_ahead_is_known_and_leaves_nothing_in_the_owners_objects(
    repo: Path, coord_for: As, place: Path
) -> None:
    configure(repo, "test: 'grep -q both text'")
    git(repo, "config", "merge.conflictStyle", "diff3")
    resolved(place, text("both"))
    before = git(repo, "count-objects")
    foreseeing = Foreseeing(coord_for("owner"), pytest.fail, lambda: None)
    foreseeing.look()
    foreseeing.learn()
    learned = repo / ".git/coord/rerere/learned"
    assert learned.read_text().split() == [git(place, "rev-parse", "HEAD")]
    assert git(repo, "count-objects") == before
    asked(coord_for)
    assert not queue(coord_for("owner")) and (repo / "text").read_text() == text("both")
