import os
import stat
import subprocess
from pathlib import Path

import pytest
from everychange import HOSTILE, assert_landed, ends, made_in, write
from support import git as sh

from coord.git import checkout
from coord.git.repo import Git
from coord.model.errors import Conflict, Refused, Unavailable


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return made_in(tmp_path)


def picture(top: Path) -> dict[str, tuple[str, str]]:
    found = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if name.split("/", 1)[0] != ".git" and (path.is_symlink() or not path.is_dir()):
            link = path.is_symlink()
            mode = "l" if link else str(path.stat().st_mode & stat.S_IXUSR)
            found[name] = (mode, str(path.readlink()) if link else path.read_text())
    return found


def obstacle(top: Path, old: str, new: str) -> str:
    """Look for an obstacle, and see that looking changed nothing."""
    inside = [path for path in sorted((top / ".git").rglob("*")) if path.is_file() and path.name != "coord.lock"]
    before = (picture(top), [(path, path.read_bytes(), path.stat().st_mtime_ns) for path in inside])
    reason = checkout.obstacle(top, old, new)
    inside = [path for path in sorted((top / ".git").rglob("*")) if path.is_file() and path.name != "coord.lock"]
    assert (picture(top), [(path, path.read_bytes(), path.stat().st_mtime_ns) for path in inside]) == before
    return reason


def land(top: Path) -> None:
    """Move main to next and bring the checkout along, as the merge queue does."""
    old, new = ends(top)
    assert obstacle(top, old, new) == ""
    sh(top, "update-ref", "refs/heads/main", new, old)
    checkout.bring(top, old, new)


def test_a_clean_checkout_follows(top: Path) -> None:
    land(top)
    assert_landed(top)


def test_twice_changes_nothing(top: Path) -> None:
    old, new = ends(top)
    land(top)
    before = (top / "edit").stat().st_mtime_ns
    checkout.bring(top, old, new)
    assert_landed(top)
    assert (top / "edit").stat().st_mtime_ns == before


def test_a_linked_worktree_follows(top: Path) -> None:
    tree = top.parent / "linked"
    sh(top, "checkout", "-q", "--detach")
    sh(top, "worktree", "add", "-q", str(tree), "main")
    old, new = ends(top)
    sh(top, "update-ref", "refs/heads/main", new, old)
    checkout.bring(tree, old, new)
    assert sh(tree, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("path", "names"),
    [("same", "same"), ("edit", "edit"), ("gone", "gone"), (HOSTILE, 'line break "é" x'), ("dir/one", "dir/one")],
)
@pytest.mark.parametrize("staged", [False, True])
def test_uncommitted_changes_are_an_obstacle(top: Path, path: str, names: str, staged: bool) -> None:
    write(top / path, "mine")
    if staged:
        sh(top, "add", "-A")
    old, new = ends(top)
    assert obstacle(top, old, new) == f"uncommitted changes in {names}"


def test_many_paths_are_counted(top: Path) -> None:
    for name in ("same", "edit", "gone", "mode", "file", "dir/one", "dir/two"):
        write(top / name, "mine")
    assert obstacle(top, *ends(top)) == "uncommitted changes in dir/one, dir/two, edit, file, gone and 2 more"


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("fresh/new file", "fresh/new file"),
        ("added.o", "added.o"),
        ("fresh", "fresh"),
        ("added.o/inside.o", "added.o/inside.o"),
        ("dir/mine.o", "dir/mine.o"),
        ("dir/mine", "dir/mine"),
    ],
)
def test_untracked_and_ignored_files_in_the_way_are_found_and_kept(top: Path, path: str, named: str) -> None:
    write(top / path, "mine")
    old, new = ends(top)
    assert obstacle(top, old, new) == f"files that git does not track are in the way: {named}"
    before = picture(top)
    sh(top, "update-ref", "refs/heads/main", new, old)
    with pytest.raises(Refused, match=f"in the way: {named}"):
        checkout.bring(top, old, new)
    assert picture(top) == before
    (top / path).unlink()
    checkout.bring(top, old, new)
    assert_landed(top)


def test_a_link_to_elsewhere_is_not_followed(top: Path) -> None:
    outside = write(top.parent / "outside/new file", "outside").parent
    (top / "fresh").symlink_to(outside)
    assert obstacle(top, *ends(top)) == "files that git does not track are in the way: fresh"
    (top / "fresh").unlink()
    (top / "added.o").symlink_to("dangling")
    assert obstacle(top, *ends(top)).endswith("added.o")


def test_files_elsewhere_are_left_alone(top: Path) -> None:
    write(top / "fresh/mine", "mine")
    write(top / "file.o", "ignored")
    land(top)
    assert (top / "fresh/mine").read_text() == "mine" and (top / "file.o").read_text() == "ignored"


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_files_hidden_from_status_are_not_overwritten(top: Path, flag: str) -> None:
    sh(top, "update-index", flag, "edit")
    write(top / "edit", "local settings")
    assert sh(top, "status", "--porcelain") == ""
    assert "edit" in obstacle(top, *ends(top))
    old, new = ends(top)
    sh(top, "update-ref", "refs/heads/main", new, old)
    with pytest.raises(Refused, match="edit"):
        checkout.bring(top, old, new)
    assert (top / "edit").read_text() == "local settings"


def test_a_sparse_checkout_stays_sparse(top: Path) -> None:
    sh(top, "sparse-checkout", "set", "--no-cone", "/same", "/dir", "/edit")
    land(top)
    assert sh(top, "status", "--porcelain") == ""
    assert sorted(picture(top)) == ["dir", "edit", "same"]


@pytest.mark.parametrize("command", ["merge", "rebase", "cherry-pick", "revert", "bisect"])
def test_an_operation_in_progress_is_an_obstacle(top: Path, command: str) -> None:
    old, new = ends(top)
    if command == "bisect":
        sh(top, "bisect", "start")
    else:
        write(top / "edit", "ours\n")
        sh(top, "commit", "-qam", "ours")
        target = {"revert": "main~1", "rebase": "next"}.get(command, "next")
        if command == "revert":
            write(top / "edit", "again\n")
            sh(top, "commit", "-qam", "again")
        subprocess.run(["git", command, target], cwd=top, check=False, capture_output=True)
    assert obstacle(top, old, new) == f"a {command} is in progress"


def test_git_at_work_there_is_waited_for(top: Path) -> None:
    lock = top / ".git/index.lock"
    lock.touch()
    assert "git is at work there" in obstacle(top, *ends(top))
    with pytest.raises(Conflict, match="git is at work"):
        checkout.bring(top, *ends(top))
    assert lock.exists()


def test_an_edit_in_the_same_second_is_not_missed(top: Path) -> None:
    sh(top, "config", "core.trustctime", "false")
    old, new = ends(top)
    for text in ("edit\n", "mine\n"):
        write(top / "edit", text)
        os.utime(top / "edit", (1_700_000_000, 1_700_000_000))
        if text == "edit\n":
            sh(top, "update-index", "--refresh")
            os.utime(top / ".git/index", (1_700_000_000, 1_700_000_000))
    assert obstacle(top, old, new) == "uncommitted changes in edit"
    with pytest.raises(Refused, match="edit"):
        checkout.bring(top, old, new)
    assert (top / "edit").read_text() == "mine\n"


def test_without_an_index_nothing_is_brought(top: Path) -> None:
    (top / ".git/index").unlink()
    assert "no index" in obstacle(top, *ends(top))
    with pytest.raises(Refused, match="nothing is checked out"):
        checkout.bring(top, *ends(top))


def test_the_branch_moves_while_the_index_is_locked(top: Path) -> None:
    old, new = ends(top)
    seen = []

    def move(_fd: int) -> None:
        done = subprocess.run(["git", "commit", "-qam", "x"], cwd=top, check=False, capture_output=True)
        seen.append(done.returncode)
        assert checkout.obstacle(top, old, new) == "it is being updated by another process"
        with pytest.raises(Conflict, match="another process"):
            checkout.bring(top, old, new)
        sh(top, "update-ref", "refs/heads/main", new, old)

    checkout.bring(top, old, new, move=move)
    assert seen == [128]
    assert_landed(top)


def test_a_move_that_fails_changes_nothing(top: Path) -> None:
    before = picture(top)

    def move(_fd: int) -> None:
        raise Conflict("moved")

    with pytest.raises(Conflict):
        checkout.bring(top, *ends(top), move=move)
    assert picture(top) == before and sh(top, "status", "--porcelain") == ""


def test_nothing_in_the_way_means_no_move(top: Path) -> None:
    write(top / "edit", "mine")
    with pytest.raises(Refused):
        checkout.bring(top, *ends(top), move=lambda _fd: pytest.fail("moved"))


def test_unrelated_work_that_was_begun_meanwhile_stays(top: Path) -> None:
    old, new = ends(top)
    sh(top, "update-ref", "refs/heads/main", new, old)
    write(top / "same", "mine")
    write(top / "staged", "mine")
    sh(top, "add", "staged")
    checkout.bring(top, old, new)
    assert sh(top, "status", "--porcelain").split("\n") == ["M same", "A  staged"]


def test_standing_on_names_every_worktree_of_a_branch(top: Path) -> None:
    tree = top.parent / "tree"
    sh(top, "worktree", "add", "-q", "-b", "work", str(tree))
    assert [one.path for one in checkout.standing_on(Git(top), "main")] == [top]
    assert [one.path for one in checkout.standing_on(Git(top), "work")] == [tree]
    assert checkout.standing_on(Git(top), "next") == ()
    write(tree / "edit", "theirs\n")
    sh(tree, "commit", "-qam", "theirs")
    subprocess.run(["git", "rebase", "next"], cwd=tree, check=False, capture_output=True)
    assert [one.branch for one in checkout.standing_on(Git(top), "work")] == [""]


def test_a_hostile_environment_changes_nothing(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = ends(top)
    with monkeypatch.context() as hostile:
        hostile.setenv("GIT_DIR", "/nonsense")
        hostile.setenv("GIT_INDEX_FILE", "/nonsense")
        assert checkout.obstacle(top, old, new) == ""
        checkout.bring(top, old, new)
    sh(top, "update-ref", "refs/heads/main", new)
    assert_landed(top)


def test_what_goes_wrong_while_it_catches_up_leaves_nothing_behind(top: Path) -> None:
    old, new = ends(top)
    write(top / "edit", "foreign bytes\n")
    write(top / ".git/info/attributes", "edit filter=broken\n")
    sh(top, "config", "filter.broken.clean", "false")
    sh(top, "config", "filter.broken.required", "true")
    with pytest.raises((Unavailable, Refused)):
        checkout.bring(top, old, new)
    assert not [name for name in os.listdir(top / ".git") if name.startswith("index.coord")]
