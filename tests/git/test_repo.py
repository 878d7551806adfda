import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
from support import git as sh

from coord.git import discovery, repo
from coord.model.errors import CoordError, NotFound, Refused, Unavailable, Usage


@pytest.fixture
def top(tmp_path: Path) -> Path:
    made = tmp_path.resolve() / "project"
    made.mkdir()
    sh(made, "init", "-q", "-b", "main")
    sh(made, "config", "user.name", "t")
    sh(made, "config", "user.email", "t@example.invalid")
    sh(made, "commit", "-q", "--allow-empty", "-m", "start")
    return made


def test_find_from_a_folder_below(top: Path) -> None:
    deep = top / "a" / "b"
    deep.mkdir(parents=True)
    assert discovery.find(deep) == discovery.Place(top, top / ".git", top)
    assert discovery.find(top / ".git") == discovery.Place(top, top / ".git", top)


def test_find_follows_a_symbolic_link(top: Path) -> None:
    (top.parent / "link").symlink_to(top)
    assert discovery.find(top.parent / "link") == discovery.Place(top, top / ".git", top)


def test_find_from_a_linked_worktree(top: Path) -> None:
    other = top.parent / "other tree"
    sh(top, "worktree", "add", "-q", str(other), "-b", "x")
    (other / "deep").mkdir()
    assert discovery.find(other / "deep") == discovery.Place(top, top / ".git", other)


def test_find_in_a_submodule_and_its_worktree(top: Path) -> None:
    inner = top.parent / "inner"
    shutil.copytree(top, inner)
    sh(top, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), "sub")
    common = top / ".git" / "modules" / "sub"
    assert discovery.find(top / "sub") == discovery.Place(top / "sub", common, top / "sub")
    other = top.parent / "other"
    sh(top / "sub", "worktree", "add", "-q", str(other), "-b", "x")
    assert discovery.find(other) == discovery.Place(top / "sub", common, other)


def test_find_with_core_worktree(top: Path) -> None:
    elsewhere = top.parent / "elsewhere"
    elsewhere.mkdir()
    sh(top, "config", "core.worktree", "../../elsewhere")
    assert discovery.find(top) == discovery.Place(elsewhere, top / ".git", elsewhere)


def test_find_with_a_separate_git_directory(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    sh(root, "init", "-q", f"--separate-git-dir={root / 'store'}", "tree")
    assert discovery.find(root / "tree") == discovery.Place(root / "tree", root / "store", root / "tree")
    sh(root / "tree", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "--allow-empty", "-m", "x")
    sh(root / "tree", "worktree", "add", "-q", str(root / "other"), "-b", "x")
    with pytest.raises(Refused, match="cannot be told") as caught:
        discovery.find(root / "other")
    assert "core.worktree" in caught.value.hint


def test_bare_repositories_are_refused(tmp_path: Path, top: Path) -> None:
    sh(tmp_path, "clone", "-q", "--bare", str(top), "bare")
    with pytest.raises(Refused, match="bare"):
        discovery.find(tmp_path / "bare" / "refs")
    sh(tmp_path / "bare", "worktree", "add", "-q", str(tmp_path / "other"), "-b", "x")
    with pytest.raises(Refused, match="bare"):
        discovery.find(tmp_path / "other")


def test_no_repository_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(Usage) as caught:
        discovery.find(tmp_path)
    assert "git init" in caught.value.hint


def test_a_broken_git_file_is_named(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: nowhere\n")
    with pytest.raises(Usage, match="nowhere"):
        discovery.find(tmp_path)
    (tmp_path / ".git").write_text("\0\xff\n")
    with pytest.raises(Usage, match="no git file"):
        discovery.find(tmp_path)


def test_tip_text_and_setting(top: Path) -> None:
    git = repo.Git(top)
    assert git.tip("refs/heads/main") == git.text("rev-parse", "HEAD") == sh(top, "rev-parse", "HEAD")
    assert git.tip("refs/heads/none") is None
    assert git.tip("--all") is None
    assert git.setting("user.name") == "t"
    assert git.setting("no.such") == ""


def test_peek_says_what_tip_says(top: Path) -> None:
    git, common = repo.Git(top), top / ".git"
    refs = ("refs/heads/main", "refs/heads/a/b", "refs/heads/none", "refs/heads/main/deeper", "refs/heads", "HEAD")
    sh(top, "branch", "a/b")
    for prepare in ((), ("pack-refs", "--all"), ("commit", "-q", "--allow-empty", "-m", "x")):
        if prepare:
            sh(top, *prepare)
        assert [git.peek(common, ref) for ref in refs] == [git.tip(ref) for ref in refs]
    (common / "refs/heads/main").write_text("")
    sh(top, "symbolic-ref", "refs/heads/alias", "refs/heads/a/b")
    assert git.peek(common, "refs/heads/alias") == git.tip("refs/heads/a/b")


def test_version_is_known_and_new_enough() -> None:
    assert repo.version() >= repo.OLDEST
    repo.require()
    with pytest.raises(Unavailable, match="too old"):
        repo.require((99, 0, 0))


def test_the_callers_git_variables_do_not_lead_astray(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY", "GIT_TRACE"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "forged")
    git = repo.Git(top)
    assert git.setting("user.name") == "t"
    assert git.tip("HEAD")
    assert discovery.find(top).home == top


def test_hooks_and_filters_of_the_shell_do_not_run(top: Path) -> None:
    hook = top / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch ran\nexit 1\n")
    hook.chmod(0o755)
    repo.Git(top).run("commit", "-q", "--allow-empty", "-m", "$(touch ran); `touch ran`")
    assert not (top / "ran").exists()


def test_failure_names_the_command_and_cannot_write_to_a_terminal(top: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        repo.Git(top).run("rev-parse", "--verify", "\x1b]0;owned\x07\x1b[31mred")
    assert "git rev-parse" in caught.value.message
    assert "\x1b" not in caught.value.message
    assert "\x07" not in caught.value.message
    assert repo.clean(" a\x1b[31mb\x07c\x7f\nd ") == "abc\nd"
    assert repo.Git(top).run("rev-parse", "--verify", "none", check=False).status == 128


def test_a_missing_directory_and_a_missing_git(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound, match="is gone"):
        repo.Git(tmp_path / "none").run("status")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="PATH"):
        repo.Git(top).run("status")


def test_large_input_and_output_do_not_block(top: Path) -> None:
    data = os.urandom(5_000_000)
    git = repo.Git(top)
    name = git.run("hash-object", "-w", "--stdin", stdin=data).out.decode().strip()
    assert git.run("cat-file", "blob", name).out == data


def test_a_slow_git_is_ended_with_its_children_and_its_locks(top: Path) -> None:
    slow = "alias.slow=!echo $$ >pid; sleep 100 & wait"
    began = time.monotonic()
    with pytest.raises(Unavailable, match="took longer"):
        repo.Git(top).run("-c", slow, "slow", timeout=0.3)
    assert time.monotonic() - began < 10
    with pytest.raises(ProcessLookupError):
        os.kill(int((top / "pid").read_text()), 0)


def test_an_interrupt_leaves_no_child(top: Path) -> None:
    def interrupt() -> None:
        deadline = time.monotonic() + 10
        while not (top / "pid").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        repo.Git(top).run("-c", "alias.slow=!echo $$ >new; mv new pid; exec sleep 100", "slow")
    with pytest.raises(ProcessLookupError):
        os.kill(int((top / "pid").read_text()), 0)


def test_stream_reads_as_it_comes_and_may_be_left_early(top: Path) -> None:
    git = repo.Git(top)
    with git.stream("cat-file", "--batch-check", stdin=b"HEAD\n" * 50_000) as out:
        assert b" commit " in out.readline()
    with git.stream("cat-file", "--batch-check", stdin=b"HEAD\n" * 50_000) as out:
        assert sum(1 for _ in out) == 50_000
    with pytest.raises(Unavailable, match="git log"), git.stream("log", "none..none") as out:
        assert out.read() == b""


def test_an_error_of_the_reader_is_not_hidden(top: Path) -> None:
    with pytest.raises(ZeroDivisionError), repo.Git(top).stream("log"):
        raise ZeroDivisionError
    assert issubclass(Unavailable, CoordError)


def test_its_version_is_told_to_who_has_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nonexistent")
    repo.version.cache_clear()
    assert repo.version() >= (2, 38, 0)
