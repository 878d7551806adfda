"""The owner's checkout is sacred: whatever state it is in, the queue lands beside it, or waits and says why."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from queueing import branch, configure, queue
from sacred import assert_as_git_would, picture
from support import git

from coord.daemon import run
from coord.service import mail, merges
from coord.service.coord import Coord

As = Callable[..., Coord]


@pytest.fixture(autouse=True)
def asked(repo: Path, coord_for: As) -> str:
    """A branch that is to be merged, which adds a file and changes one; any test passes."""
    configure(repo, "test: 'true'")
    (repo / ".gitignore").write_text("*.log\n")
    git(repo, "add", ".gitignore")
    git(repo, "commit", "-qm", "ignore")
    branch(repo, "work", {"new.txt": "new\n", "kept.log": "tracked all the same\n", "README.md": "# Farm, merged\n"})
    for number in range(2):
        branch(repo, f"topic/{number}", {"web_app/index.html": f"<p>{number}\n"})
    return merges.request(coord_for("backend"), branch="work").id


def daemon(coord_for: As) -> None:
    """Let the daemon do all that there is to do, twice: the second time nothing may be left to do."""
    with coord_for("owner") as coord:
        for _ in range(2):
            run.once(coord, say=lambda _: None)


def failing(repo: Path, *words: str) -> None:
    """Run git, which stops half way, as its user knows."""
    done = subprocess.run(["git", *words], cwd=repo, capture_output=True, check=False)
    assert done.returncode != 0, done


def conflicting(repo: Path, *words: str) -> None:
    """Stand on main with a change of its own, and begin what conflicts with it."""
    (repo / "web_app/index.html").write_text("<p>mine\n")
    git(repo, "commit", "-qam", "mine")
    failing(repo, *words)


def edited(repo: Path) -> None:
    (repo / "web_app/index.html").write_text("<p>not finished\n")


def staged(repo: Path) -> None:
    edited(repo)
    git(repo, "add", "-A")
    (repo / "web_app/index.html").write_text("<p>and more\n")


def untracked(repo: Path) -> None:
    (repo / "new.txt").write_text("mine, and in no commit\n")


def ignored(repo: Path) -> None:
    (repo / "kept.log").write_text("mine, and ignored\n")


def deleted(repo: Path) -> None:
    (repo / "README.md").unlink()


def folder_in_the_way(repo: Path) -> None:
    (repo / "new.txt").mkdir()
    (repo / "new.txt/mine").write_text("mine\n")


def merging(repo: Path) -> None:
    conflicting(repo, "merge", "topic/0")


def rebasing(repo: Path) -> None:
    conflicting(repo, "rebase", "topic/0")


def rebasing_stopped_to_edit(repo: Path) -> None:
    git(repo, "commit", "-q", "--allow-empty", "-m", "to be split")
    subprocess.run(
        ["git", "-c", "sequence.editor=sed -i s/^pick/edit/", "rebase", "-q", "-i", "HEAD~1"], cwd=repo, check=True
    )


def picking(repo: Path) -> None:
    conflicting(repo, "cherry-pick", "topic/0")


def reverting(repo: Path) -> None:
    (repo / "README.md").write_text("# Mine\n")
    git(repo, "commit", "-qam", "one")
    (repo / "README.md").write_text("# Mine again\n")
    git(repo, "commit", "-qam", "two")
    failing(repo, "revert", "HEAD~1")


def bisecting(repo: Path) -> None:
    git(repo, "bisect", "start", "main", "main~1")


def applying(repo: Path) -> None:
    patch = repo.parent / "topic.patch"
    patch.write_text(git(repo, "format-patch", "-1", "--stdout", "topic/0") + "\n")
    conflicting(repo, "am", str(patch))


def index_locked(repo: Path) -> None:
    (repo / ".git/index.lock").write_bytes(b"")


def without_index(repo: Path) -> None:
    (repo / ".git/index").unlink()


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (edited, "uncommitted changes in web_app/index.html"),
        (staged, "uncommitted changes in web_app/index.html"),
        (deleted, "uncommitted changes in README.md"),
        (untracked, "not track are in the way: new.txt"),
        (ignored, "not track are in the way: kept.log"),
        (folder_in_the_way, "not track are in the way: new.txt/mine"),
        (merging, "a merge is in progress"),
        (rebasing, "a rebase is in progress"),
        (rebasing_stopped_to_edit, "a rebase is in progress"),
        (picking, "a cherry-pick is in progress"),
        (reverting, "a revert is in progress"),
        (bisecting, "a bisect is in progress"),
        (applying, "in progress"),
        (index_locked, "git is at work there"),
        (without_index, "it has no index"),
    ],
)
def test_on_the_base_the_merge_waits_and_says_why(
    repo: Path, coord_for: As, state: Callable[[Path], None], word: str
) -> None:
    state(repo)
    before, tip = picture(repo), git(repo, "rev-parse", "main")
    daemon(coord_for)
    assert picture(repo) == before
    assert git(repo, "rev-parse", "main") == tip
    (waits,) = queue(coord_for("owner"))
    assert waits.state == "queued" and waits.result.startswith(f"waits: in {repo}: ") and word in waits.result
    (told,) = mail.list_(coord_for("owner")).items
    assert told.message.subject == "merge waits: work" and word in told.message.body


def elsewhere(repo: Path) -> None:
    git(repo, "switch", "-qc", "elsewhere")


def elsewhere_dirty(repo: Path) -> None:
    elsewhere(repo)
    staged(repo)
    untracked(repo)
    ignored(repo)


def elsewhere_stashed(repo: Path) -> None:
    edited(repo)
    git(repo, "stash", "-q")
    elsewhere(repo)


def elsewhere_rebasing(repo: Path) -> None:
    elsewhere(repo)
    rebasing(repo)


def detached(repo: Path) -> None:
    git(repo, "switch", "-q", "--detach")


def detached_dirty(repo: Path) -> None:
    detached(repo)
    staged(repo)
    untracked(repo)


def unborn(repo: Path) -> None:
    git(repo, "switch", "-q", "--orphan", "fresh")
    (repo / ".coord.yaml").write_text(git(repo, "show", "main:.coord.yaml"))


@pytest.mark.parametrize(
    "state", [elsewhere, elsewhere_dirty, elsewhere_stashed, elsewhere_rebasing, detached, detached_dirty, unborn]
)
def test_elsewhere_it_lands_and_the_checkout_is_as_it_was(
    repo: Path, coord_for: As, state: Callable[[Path], None]
) -> None:
    state(repo)
    before = picture(repo)
    daemon(coord_for)
    assert picture(repo) == before
    assert not queue(coord_for("owner"))
    assert git(repo, "show", "main:new.txt") == "new" and git(repo, "show", "main:README.md") == "# Farm, merged"


def test_a_clean_checkout_follows_and_files_that_nobody_asked_for_stay(
    repo: Path, coord_for: As, tmp_path: Path
) -> None:
    daemon(coord_for)
    assert not queue(coord_for("owner"))
    assert_as_git_would(repo, tmp_path / "scratch")
    assert (repo / "new.txt").read_text() == "new\n" and (repo / "kept.log").exists()


def test_when_its_owner_is_done_the_merge_goes_on(repo: Path, coord_for: As, tmp_path: Path) -> None:
    rebasing(repo)
    daemon(coord_for)
    assert queue(coord_for("owner"))
    git(repo, "rebase", "--abort")
    daemon(coord_for)
    assert not queue(coord_for("owner"))
    assert_as_git_would(repo, tmp_path / "scratch")
    assert (repo / "web_app/index.html").read_text() == "<p>mine\n" and (repo / "new.txt").exists()
