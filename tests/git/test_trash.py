import os
import stat
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from coord.git import trash
from coord.git.repo import Git
from coord.model.errors import Refused

AT = datetime(2026, 11, 22, 12, 3, 11, tzinfo=UTC)


def sh(cwd: Path, *args: str, status: int = 0) -> str:
    done = subprocess.run(["git", *args], cwd=cwd, check=False, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A linked worktree on its branch `work`, one commit ahead of main."""
    home = tmp_path.resolve() / "home"
    home.mkdir()
    sh(home, "init", "-q", "-b", "main", f"--object-format={getattr(request, 'param', 'sha1')}")
    sh(home, "config", "user.name", "t")
    sh(home, "config", "user.email", "t@example.invalid")
    (home / "a").write_text("a\n")
    (home / "gone").write_text("gone\n")
    (home / ".gitignore").write_text("*.o\n")
    sh(home, "add", "-A")
    sh(home, "commit", "-q", "-m", "start")
    made = home.parent / "the tree"
    sh(home, "worktree", "add", "-q", "-b", "work", str(made))
    (made / "b").write_text("b\n")
    sh(made, "add", "-A")
    sh(made, "commit", "-q", "-m", "work")
    return made


def picture(top: Path) -> dict[str, tuple[str, bytes]]:
    """Every file with its kind, its executable bit and its bytes; ignored ones left out."""
    found = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if name.split("/", maxsplit=1)[0] == ".git" or name.endswith(".o") or (path.is_dir() and not path.is_symlink()):
            continue
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            found[name] = ("link", os.fsencode(path.readlink()))
        else:
            found[name] = ("x" if mode & 0o100 else "-", path.read_bytes())
    return found


def disturb(tree: Path) -> None:
    (tree / "a").write_text("staged\n")
    sh(tree, "add", "a")
    (tree / "a").write_text("then changed\n")
    (tree / "gone").unlink()
    (tree / "b").chmod(0o755)
    (tree / "deep" / "er").mkdir(parents=True)
    (tree / "deep" / "er" / 'line\nbreak "é" \udcff').write_bytes(b"\0\r\nuntracked\n")
    (tree / "link").symlink_to("no\nwhere")
    (tree / "intended").write_text("later")
    sh(tree, "add", "-N", "intended")
    (tree / "x.o").write_text("ignored")


def keep(tree: Path, label: str = "backend") -> str:
    """Keep TREE, and see that it stays as it was to the byte."""
    private = Path(sh(tree, "rev-parse", "--absolute-git-dir"))
    before = (picture(tree), (private / "index").read_bytes(), sorted(os.listdir(private)))
    ref = trash.keep(Git(tree), tree, label, AT)
    assert (picture(tree), (private / "index").read_bytes(), sorted(os.listdir(private))) == before
    assert sh(tree, "fsck", "--strict", "--no-dangling") == ""
    return ref


def restored(tree: Path, ref: str) -> dict[str, tuple[str, bytes]]:
    place = tree.parent / "restored"
    sh(tree, "worktree", "add", "-q", "--detach", str(place), ref)
    return picture(place)


def test_everything_comes_back_byte_for_byte(tree: Path) -> None:
    disturb(tree)
    ref = keep(tree)
    assert ref == "refs/coord/trash/20261122T120311Z-backend"
    assert restored(tree, ref) == picture(tree)
    assert sh(tree, "rev-parse", f"{ref}^1") == sh(tree, "rev-parse", "work")
    assert sh(tree, "show", f"{ref}^2:a") == "staged"
    assert sh(tree, "log", "-1", "--format=%s", ref) == "coord: kept from work"


def test_git_stash_apply_understands_it(tree: Path) -> None:
    disturb(tree)
    before = picture(tree)
    ref = keep(tree)
    sh(tree, "reset", "-q", "--hard")
    sh(tree, "clean", "-fdq")
    sh(tree, "stash", "apply", "-q", "--index", ref)
    assert picture(tree) == before


def test_a_clean_worktree_keeps_its_tip_and_names_never_collide(tree: Path) -> None:
    first, second = keep(tree, "../Back end"), keep(tree, "../Back end")
    assert first == "refs/coord/trash/20261122T120311Z-back-end"
    assert second == f"{first}-2"
    assert sh(tree, "rev-parse", first) == sh(tree, "rev-parse", second) == sh(tree, "rev-parse", "work")


def conflict(tree: Path, *command: str) -> None:
    home = tree.parent / "home"
    (home / "a").write_text("main\n")
    sh(home, "commit", "-qam", "main")
    (tree / "a").write_text("work\n")
    sh(tree, "commit", "-qam", "work on a")
    sh(tree, *command, status=1)


@pytest.mark.parametrize("tree", ["sha1", "sha256"], indirect=True)
@pytest.mark.parametrize("command", [("merge", "-q", "main"), ("rebase", "-q", "main"), ("cherry-pick", "main")])
def test_a_conflicted_worktree_is_kept(tree: Path, command: tuple[str, ...]) -> None:
    conflict(tree, *command)
    (tree / "untracked").write_text("u")
    ref = keep(tree)
    assert restored(tree, ref) == picture(tree)
    assert b"<<<<<<<" in picture(tree)["a"][1]
    assert f"{command[0]} in progress" in sh(tree, "log", "-1", "--format=%s", ref)
    for commit in ("main", "work"):
        sh(tree, "merge-base", "--is-ancestor", commit, ref)


def test_autostashed_work_of_a_rebase_is_kept(tree: Path) -> None:
    home = tree.parent / "home"
    (home / "a").write_text("main\n")
    sh(home, "commit", "-qam", "main")
    (tree / "a").write_text("work\n")
    sh(tree, "commit", "-qam", "work on a")
    (tree / "b").write_text("not committed anywhere\n")
    sh(tree, "rebase", "-q", "--autostash", "main", status=1)
    ref = keep(tree)
    held = sh(tree, "rev-list", "--parents", "-1", f"{ref}^2").split()[2:]
    assert "not committed anywhere" in [sh(tree, "show", f"{commit}:b") for commit in held]


def test_without_an_index_the_files_are_kept(tree: Path) -> None:
    disturb(tree)
    (Path(sh(tree, "rev-parse", "--absolute-git-dir")) / "index").unlink()
    ref = trash.keep(Git(tree), tree, "x", AT)
    assert restored(tree, ref) == picture(tree)


def test_an_edit_in_the_same_second_is_not_missed(tree: Path) -> None:
    sh(tree, "config", "core.trustctime", "false")
    index = Path(sh(tree, "rev-parse", "--absolute-git-dir")) / "index"
    for text in ("1\n", "2\n"):
        (tree / "b").write_text(text)
        os.utime(tree / "b", (1_700_000_000, 1_700_000_000))
        if text == "1\n":
            sh(tree, "add", "b")
            os.utime(index, (1_700_000_000, 1_700_000_000))
    ref = trash.keep(Git(tree), tree, "x", AT)
    assert sh(tree, "show", f"{ref}:b") == "2"


def test_a_lock_on_the_index_does_not_matter(tree: Path) -> None:
    disturb(tree)
    (Path(sh(tree, "rev-parse", "--absolute-git-dir")) / "index.lock").touch()
    assert restored(tree, keep(tree)) == picture(tree)


@pytest.mark.parametrize("commits", [False, True])
def test_a_repository_inside_is_refused_not_lost(tree: Path, commits: bool) -> None:
    inner = tree / "deep" / "inner\n"
    inner.mkdir(parents=True)
    sh(inner, "init", "-q")
    (inner / "work").write_text("w")
    if commits:
        sh(inner, "add", "work")
        sh(inner, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", "x")
    with pytest.raises(Refused, match="inner"):
        trash.keep(Git(tree), tree, "x", AT)
    assert sh(tree, "for-each-ref", trash.PREFIX) == ""


def test_work_in_a_submodule_is_refused_not_lost(tree: Path) -> None:
    source = tree.parent / "source"
    source.mkdir()
    sh(source, "init", "-q")
    sh(source, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "--allow-empty", "-m", "x")
    sh(tree, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(source), "sub")
    ref = keep(tree)
    assert sh(tree, "ls-tree", ref, "sub").startswith("160000 commit")
    (tree / "sub" / "work").write_text("w")
    with pytest.raises(Refused, match="sub is a repository of its own"):
        trash.keep(Git(tree), tree, "x", AT)


def test_before_the_first_commit_it_is_refused(tmp_path: Path) -> None:
    sh(tmp_path, "init", "-q")
    with pytest.raises(Refused, match="no commit yet"):
        trash.keep(Git(tmp_path), tmp_path, "x", AT)


def test_a_hostile_environment_changes_nothing(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disturb(tree)
    with monkeypatch.context() as hostile:
        hostile.setenv("GIT_DIR", "/nonsense")
        hostile.setenv("GIT_INDEX_FILE", "/nonsense")
        hostile.setenv("GIT_AUTHOR_NAME", "stranger")
        ref = trash.keep(Git(tree), tree, "x", AT)
    assert sh(tree, "log", "-1", "--format=%an", ref) == "coord"
    assert restored(tree, ref) == picture(tree)
