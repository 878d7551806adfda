"""What the index names, asked of git only when it may have changed."""

import os
import subprocess
from pathlib import Path

import pytest
from support import git

from coord.git.discovery import find
from coord.git.repo import Git
from coord.git.tracked import Tracked


def test_what_is_added_or_taken_out_is_seen_at_once(repo: Path) -> None:
    tracked = Tracked(find(repo), Git(repo))
    assert tracked.below("inbox") == frozenset()
    (repo / "inbox" / "GUIDE.md").write_text("ours")
    assert tracked.below("inbox") == frozenset()
    git(repo, "add", "-f", "inbox/GUIDE.md")
    assert tracked.below("inbox") == {"inbox/GUIDE.md"}
    assert tracked.below("web_app") == {"web_app/index.html"}
    git(repo, "rm", "-q", "--cached", "inbox/GUIDE.md")
    assert tracked.below("inbox") == frozenset()


def test_a_repository_without_an_index_tracks_nothing_and_git_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q")
    tracked = Tracked(find(tmp_path), Git(tmp_path))
    with monkeypatch.context() as without:
        without.setenv("PATH", "")
        assert tracked.below("inbox") == frozenset()
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "GUIDE.md").write_text("ours")
    git(tmp_path, "add", "inbox")
    assert tracked.below("inbox") == {"inbox/GUIDE.md"}


def test_an_index_that_did_not_change_is_not_asked_again(repo: Path) -> None:
    tracked = Tracked(find(repo), Git(repo))
    before = tracked.below("web_app")
    (repo / ".git" / "HEAD").rename(repo / ".git" / "HEAD.away")  # git would find no repository any more
    assert tracked.below("web_app") is before
    (repo / ".git" / "HEAD.away").rename(repo / ".git" / "HEAD")


def test_a_name_is_told_byte_for_byte(repo: Path) -> None:
    blob = git(repo, "hash-object", "-w", "README.md")
    subprocess.run(  # no file: not every file system has such names
        ["git", "update-index", "-z", "--index-info"],
        cwd=repo,
        check=True,
        input=b"100644 %s\tinbox/\xff\0" % blob.encode(),
    )
    assert Tracked(find(repo), Git(repo)).below("inbox") == {os.fsdecode(b"inbox/\xff")}
