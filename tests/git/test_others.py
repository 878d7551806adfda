"""Whose git is it that lives, and does it take stock of packs?"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import eventually, git

from coord.git import others


@pytest.fixture
def top(tmp_path: Path) -> Path:
    made = tmp_path.resolve() / "project"
    git(tmp_path, "init", "-q", "-b", "main", str(made))
    git(made, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "start")
    git(made, "worktree", "add", "-q", "../tree")
    git(tmp_path, "clone", "-q", "--bare", "project", "bare")
    git(tmp_path, "init", "-q", "elsewhere")
    return made


@contextmanager
def running(cwd: Path, *words: str, **environment: str) -> Iterator[None]:
    """A git that waits for its input."""
    command = ["env", *(f"{name}={value}" for name, value in environment.items()), "git", *words]
    with subprocess.Popen(command, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        eventually(lambda: others.living(cwd, 1e11, harmless=()) or _is_git(process.pid), what="starting")
        yield
        process.kill()


def _is_git(pid: int) -> bool:
    return Path(f"/proc/{pid}/comm").read_text() == "git\n" if Path("/proc").exists() else True


def test_the_repository_around_a_place(top: Path, tmp_path: Path) -> None:
    common = top / ".git"
    (top / "deep/er").mkdir(parents=True)
    inside = (top, top / "deep/er", common, common / "objects/pack", common / "worktrees/tree", tmp_path / "tree")
    assert {others.common_around(place) for place in inside} == {common}
    assert others.common_around(tmp_path / "bare/refs") == tmp_path / "bare"
    assert others.common_around(tmp_path) is None
    assert others.common_around(tmp_path / "not there") is None


@pytest.mark.parametrize("options", [(), ("-c", "a.b=c"), ("--no-pager",), ("--namespace", "x")])
@pytest.mark.parametrize("place", ["project", "tree", "project/.git"])
def test_a_git_that_takes_stock_is_seen_wherever_it_stands(
    top: Path, tmp_path: Path, options: tuple[str, ...], place: str
) -> None:
    assert not others.taking_stock(top / ".git")
    with running(tmp_path / place, *options, "pack-objects", "--stdout"):
        eventually(lambda: others.taking_stock(top / ".git"), what="seeing it")
        assert not others.taking_stock(tmp_path / "elsewhere/.git")


def test_its_repository_may_be_named(top: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    for words in (("-C", str(top)), ("--git-dir", str(top / ".git"))):
        with running(elsewhere, *words, "pack-objects", "--stdout"):
            eventually(lambda: others.taking_stock(top / ".git"), what="seeing it")
    with running(elsewhere, "pack-objects", "--stdout", GIT_DIR=str(top / ".git")):
        eventually(lambda: others.taking_stock(top / ".git"), what="seeing it")
        assert not others.taking_stock(elsewhere / ".git")


def test_a_git_that_looks_again_when_it_misses_a_pack_is_passed_over(top: Path) -> None:
    with running(top, "cat-file", "--batch"):
        assert not others.taking_stock(top / ".git")
        assert others.living(top / ".git", 1e11) is None
        assert others.living(top / ".git", 1e11, harmless=()) is not None
    with running(top, "hash-object", "--stdin-paths"):
        assert not others.taking_stock(top / ".git")
        assert others.living(top / ".git", 1e11) is not None
        assert others.living(top / ".git", 0.0) is None
