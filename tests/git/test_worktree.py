import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest
from support import git as sh
from support import gits

from coord.git import worktree
from coord.git.repo import Git
from coord.model.errors import NotFound, Refused, Usage

MAILBOXES = ("backend", "frontend", "owner", "all", "auto", "merges")
LIVE = ("inbox/backend/live.md", "inbox/merges/m.md", "locks/x.yaml", "checkpoints/backend/c.md", "inbox/all/a.md")


def write(path: Path, text: str = "x\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path.resolve() / "the farm" / "home é"
    made.mkdir(parents=True)
    sh(made, "init", "-q", "-b", "main")
    sh(made, "config", "user.name", "t")
    sh(made, "config", "user.email", "t@example.invalid")
    write(made / "a")
    sh(made, "add", "-A")
    sh(made, "commit", "-q", "-m", "start")
    return made


def track(home: Path) -> None:
    for folder in ("inbox", "locks", "checkpoints"):
        write(home / folder / "README.md", folder)
        sh(home, "add", "-f", f"{folder}/README.md")
    sh(home, "commit", "-q", "-m", "folders")


@pytest.fixture(params=["links", "folders"])
def linked(request: pytest.FixtureRequest, home: Path) -> tuple[Path, Path]:
    """Home with live records and a linked worktree, where the branch tracks nothing or files of its own."""
    worktree.hide(home / ".git")
    if request.param == "folders":
        track(home)
    for name in LIVE:
        write(home / name, "live")
    tree = home.parent / "backend tree"
    worktree.add(Git(home), tree, "agent/backend", "main")
    assert worktree.link(home, tree, MAILBOXES) == ()
    return home, tree


def alive(home: Path) -> bool:
    return all((home / name).read_text() == "live" for name in LIVE)


def test_all_of_tells_branches_places_and_states(home: Path) -> None:
    names = ["plain", "line\nbreak é", "detached", "gone"]
    for name in names[:2]:
        sh(home, "worktree", "add", "-q", "-b", name.split()[0], str(home.parent / name))
    sh(home, "worktree", "add", "-q", "--detach", str(home.parent / "detached"))
    sh(home, "worktree", "lock", "--reason", "two\nlines", str(home.parent / "detached"))
    sh(home, "worktree", "add", "-q", "-b", "gone", str(home.parent / "gone"))
    shutil.rmtree(home.parent / "gone")
    found = worktree.all_of(Git(home))
    tip = sh(home, "rev-parse", "HEAD")
    assert found[0] == worktree.Worktree(home, tip, "main", prunable=False, locked=False, main=True)
    by_name = {tree.path.name: tree for tree in found[1:]}
    assert sorted(by_name) == sorted(names)
    assert by_name["line\nbreak é"].branch == "line"
    assert by_name["detached"].branch == "" and by_name["detached"].locked and not by_name["detached"].main
    assert by_name["gone"].prunable and by_name["gone"].head == tip


@pytest.mark.parametrize(
    "state", ["plain", "packed", "detached", "alias", "locked", "gone", "rebasing", "unborn", "broken", "odd", "sha"]
)
def test_what_files_say_of_worktrees_is_what_git_says(home: Path, state: str) -> None:
    places = [home.parent / name for name in ("b c", "a", "B")]
    for place in places:
        sh(home, "worktree", "add", "-q", "-b", place.name.split()[0], str(place))
    own = home / ".git/worktrees/a"
    match state:
        case "packed":
            sh(home, "pack-refs", "--all")
            sh(home, "commit", "-q", "--allow-empty", "-m", "more")
        case "detached" | "sha":
            sh(places[1], "checkout", "-q", "--detach")
            sh(home, "checkout", "-q", *(("--detach",) if state == "detached" else (sh(home, "rev-parse", "HEAD"),)))
        case "alias":
            sh(home, "symbolic-ref", "refs/heads/alias", "refs/heads/main")
            sh(home, "checkout", "-q", "alias")
        case "locked":
            sh(home, "worktree", "lock", str(places[0]))
            shutil.rmtree(places[0])
        case "gone":
            shutil.rmtree(places[2])
        case "rebasing":
            rebasing(home)
        case "unborn":
            sh(places[0], "checkout", "-q", "--orphan", "new")
        case "broken":
            (own / "gitdir").write_text("")
        case "odd":
            (own / "HEAD").unlink()
            (own / "HEAD").symlink_to("refs/heads/a")
    asked = worktree._asked(Git(home))
    with gits() as ran:
        assert worktree.all_of(Git(home)) == worktree.all_of(Git(places[1])) == asked
    unsure = state in ("alias", "unborn", "broken", "odd")
    assert bool(ran) == unsure, "git is asked where files do not say it, and only there"


def test_all_of_in_a_repository_without_a_commit(tmp_path: Path) -> None:
    sh(tmp_path, "init", "-q", "-b", "main")
    (only,) = worktree.all_of(Git(tmp_path))
    assert only.branch == "main" and set(only.head) == {"0"}
    assert worktree.unfinished(Git(tmp_path), tmp_path, "main").unmerged == ()


def test_add_takes_a_branch_that_exists(home: Path) -> None:
    sh(home, "branch", "old")
    worktree.add(Git(home), home.parent / "new", "fresh", "main")
    worktree.add(Git(home), home.parent / "old", "old", "nonsense")
    assert sh(home.parent / "new", "symbolic-ref", "HEAD") == "refs/heads/fresh"
    assert sh(home.parent / "old", "symbolic-ref", "HEAD") == "refs/heads/old"


def test_add_says_clearly_what_is_in_the_way(home: Path) -> None:
    git = Git(home)
    write(home.parent / "taken" / "file")
    with pytest.raises(Refused, match="taken exists and is not an empty folder"):
        worktree.add(git, home.parent / "taken", "b", "main")
    (home.parent / "loose").symlink_to("nowhere")
    with pytest.raises(Refused, match="loose exists"):
        worktree.add(git, home.parent / "loose", "b", "main")
    with pytest.raises(Refused, match=f"main is checked out at {home}"):
        worktree.add(git, home.parent / "b", "main", "main")
    with pytest.raises(NotFound, match="names no commit"):
        worktree.add(git, home.parent / "b", "b", "nothing")
    for name in ("-b", "a..b", "", "a b"):
        with pytest.raises(Usage):
            worktree.add(git, home.parent / "b", name, "main")
    assert len(worktree.all_of(git)) == 1
    (home.parent / "empty").mkdir()
    worktree.add(git, home.parent / "empty", "b", "main")


def test_add_again_where_the_folder_was_deleted(home: Path) -> None:
    for place in ("one", "two"):
        worktree.add(Git(home), home.parent / place, "b", "main")
        shutil.rmtree(home.parent / place)
    worktree.add(Git(home), home.parent / "two", "b", "main")
    assert (home.parent / "two" / "a").exists()


def test_a_branch_under_rebase_counts_as_checked_out(home: Path) -> None:
    tree = rebasing(home)
    with pytest.raises(Refused, match=f"other is checked out at {tree}"):
        worktree.add(Git(home), home.parent / "second", "other", "main")


def rebasing(home: Path) -> Path:
    tree = home.parent / "tree"
    sh(home, "worktree", "add", "-q", "-b", "other", str(tree))
    write(tree / "a", "theirs")
    sh(tree, "commit", "-qam", "theirs")
    write(home / "a", "ours")
    sh(home, "commit", "-qam", "ours")
    assert subprocess.run(["git", "rebase", "-q", "main"], cwd=tree, check=False, capture_output=True).returncode == 1
    return tree


def test_hide_keeps_the_file_and_its_line_ends(home: Path) -> None:
    exclude = home / ".git" / "info" / "exclude"
    for old, new in (
        (None, b"/inbox\n/locks\n/checkpoints\n"),
        (b"*.o", b"*.o\n/inbox\n/locks\n/checkpoints\n"),
        (b"\xff\r\n/locks\r\n", b"\xff\r\n/locks\r\n/inbox\r\n/checkpoints\r\n"),
        (b"/inbox/\n", b"/inbox/\n/inbox\n/locks\n/checkpoints\n"),
    ):
        shutil.rmtree(exclude.parent)
        if old is not None:
            exclude.parent.mkdir()
            exclude.write_bytes(old)
        assert worktree.hide(home / ".git")
        assert exclude.read_bytes() == new
        assert not worktree.hide(home / ".git")
        assert exclude.stat().st_mode & 0o777 == 0o644
        assert os.listdir(exclude.parent) == ["exclude"]
    for name in LIVE:
        write(home / name)
    assert sh(home, "status", "--porcelain") == ""


def test_links_show_the_live_records_and_stay_out_of_git(linked: tuple[Path, Path]) -> None:
    home, tree = linked
    for name in ("inbox/backend/live.md", "inbox/all/a.md", "checkpoints/backend/c.md"):
        assert (tree / name).read_text() == "live"
    locks = tree / "locks" if (tree / "locks").is_symlink() else tree / "locks" / "live"
    assert (locks / "x.yaml").read_text() == "live"
    write(tree / "inbox" / "frontend" / "new.md", "from the agent")
    write(tree / "checkpoints" / "decisions" / "d.md", "d")
    assert (home / "inbox" / "frontend" / "new.md").read_text() == "from the agent"
    assert (home / "checkpoints" / "decisions" / "d.md").exists()
    for place in linked:
        assert sh(place, "status", "--porcelain", "--untracked-files=all") == ""
    sh(tree, "add", "-A")
    assert sh(tree, "status", "--porcelain") == ""


def test_linking_again_changes_nothing_and_mends(linked: tuple[Path, Path]) -> None:
    home, tree = linked
    before = sorted(path for path in tree.rglob("*") if path.is_symlink())
    assert before
    assert worktree.link(home, tree, MAILBOXES) == ()
    assert sorted(path for path in tree.rglob("*") if path.is_symlink()) == before
    before[0].unlink()
    before[-1].unlink()
    before[-1].symlink_to("nowhere")
    assert worktree.link(home, tree, MAILBOXES) == ()
    assert sorted(path for path in tree.rglob("*") if path.is_symlink() and path.exists()) == before


def test_links_survive_a_move_of_the_parent(linked: tuple[Path, Path]) -> None:
    home, tree = linked
    moved = home.parent.rename(home.parent.parent / "moved")
    assert (moved / tree.name / "inbox" / "backend" / "live.md").read_text() == "live"


def test_what_git_throws_away_never_reaches_the_live_records(linked: tuple[Path, Path]) -> None:
    home, tree = linked
    write(tree / "untracked")
    sh(tree, "stash", "-q", "-u")
    assert alive(home)
    assert (tree / "inbox" / "backend" / "live.md").exists()
    write(home / "untracked")
    sh(home, "stash", "-q", "-u")
    assert alive(home)
    sh(tree, "clean", "-ffdxq")
    assert alive(home)
    assert worktree.link(home, tree, MAILBOXES) == ()
    sh(tree, "stash", "-q", "--all")
    assert alive(home)
    assert worktree.link(home, tree, MAILBOXES) == ()
    assert (tree / "inbox" / "backend" / "live.md").exists()
    sh(tree, "checkout", "-q", "--detach")
    sh(tree, "reset", "-q", "--hard")
    worktree.remove(Git(home), tree)
    assert not tree.exists()
    assert alive(home)


def test_forced_removal_leaves_the_live_records(linked: tuple[Path, Path]) -> None:
    home, tree = linked
    write(tree / "untracked")
    with pytest.raises(Refused, match="contains modified or untracked files"):
        worktree.remove(Git(home), tree)
    assert (tree / "inbox" / "backend" / "live.md").exists()
    worktree.remove(Git(home), tree, force=True)
    assert alive(home) and not tree.exists()
    assert sh(home, "branch", "--list", "agent/backend")


def test_real_files_are_left_and_named(home: Path) -> None:
    worktree.hide(home / ".git")
    tree = home.parent / "tree"
    worktree.add(Git(home), tree, "b", "main")
    write(tree / "inbox" / "backend" / "mine.md", "mine")
    write(tree / "locks", "a file")
    (tree / "checkpoints").symlink_to(home.parent)
    faults = worktree.link(home, tree, MAILBOXES)
    assert len(faults) == 3
    assert "inbox/backend is a real folder" in faults[0]
    assert "locks is a real file" in faults[1]
    assert "checkpoints is a link to" in faults[2]
    assert (tree / "inbox" / "backend" / "mine.md").read_text() == "mine"
    assert (tree / "inbox" / "all").is_symlink()


def test_home_is_never_linked_to_itself(home: Path) -> None:
    (home.parent / "same").symlink_to(home)
    assert worktree.link(home, home.parent / "same", MAILBOXES) == ()
    assert not (home / "inbox").exists()


def test_unfinished_names_what_would_be_lost(linked: tuple[Path, Path]) -> None:
    home, tree = linked
    git = Git(home)
    assert not worktree.unfinished(git, tree, "main").any
    write(tree / "tab\tand\nline é")
    sh(tree, "commit", "-q", "--allow-empty", "-m", "nothing")
    write(tree / "b")
    sh(tree, "add", "b")
    sh(tree, "commit", "-q", "-m", "work \x1b[31mred")
    found = worktree.unfinished(git, tree, "main")
    assert found.dirty == ("tab\tand\nline é",)
    assert [subject.split()[0] for subject in found.unmerged] == ["work", "nothing"]
    assert "\x1b" not in found.words and "1 uncommitted change" in found.words and "2 unmerged commits" in found.words
    write(home / "meanwhile")
    sh(home, "add", "meanwhile")
    sh(home, "commit", "-q", "-m", "meanwhile")
    sh(home, "cherry-pick", "agent/backend")
    assert worktree.unfinished(git, tree, "main").unmerged == ("nothing",)
    assert len(worktree.unfinished(git, tree, "gone").unmerged) >= 3


def test_unfinished_tells_an_operation(home: Path) -> None:
    tree = rebasing(home)
    found = worktree.unfinished(Git(home), tree, "main")
    assert found.operation == "rebase" and found.any and "a" in found.dirty
    listed = next(one for one in worktree.all_of(Git(home)) if one.path == tree)
    assert listed.branch == "" and worktree.half_done_branch(listed) == "other"


def test_a_hostile_environment_changes_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = home.parent / "decoy"
    other.mkdir()
    sh(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / "index"))
    worktree.add(Git(home), home.parent / "tree", "b", "main")
    assert worktree.link(home, home.parent / "tree", MAILBOXES) == ()
    assert [tree.branch for tree in worktree.all_of(Git(home))] == ["main", "b"]
    assert os.listdir(other) == [".git"]


def test_hide_that_fails_leaves_nothing_behind(home: Path) -> None:
    exclude = home / ".git" / "info" / "exclude"
    before = exclude.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3, hard))
    try:
        with pytest.raises(OSError, match="large"):
            worktree.hide(home / ".git")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(exclude.parent) == ["exclude"] and exclude.read_bytes() == before
