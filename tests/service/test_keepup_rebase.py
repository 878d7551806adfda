"""Worktrees that keep up by a rebase: commits as they were upon the new base, or nothing at all."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sacred import picture
from support import git, gits

from coord.service import keepup, merges, restoring, worktrees
from coord.service.coord import Coord
from coord.service.session import sessions
from coord.stores import oslock

As = Callable[..., Coord]


@pytest.fixture
def place(repo: Path, coord_for: As) -> Path:
    """Backend's worktree in a repository where worktrees are rebased."""
    with (repo / ".coord.yaml").open("a") as file:
        file.write("worktrees: {follow: rebase}\n")
    git(repo, "commit", "-qam", "configured")
    return Path(worktrees.add(coord_for("owner"), ("backend",)).trees[0].path)


def commit(top: Path, name: str, text: str = "x\n", words: str = "") -> str:
    (top / name).parent.mkdir(parents=True, exist_ok=True)
    (top / name).write_text(text)
    git(top, "add", name)
    subprocess.run(
        ["git", "commit", "-qF", "-"], cwd=top, check=True, text=True, input=words or f"{name} here", env=os.environ
    )
    return git(top, "rev-parse", "HEAD")


def updated(coord_for: As) -> keepup.Update:
    (one,) = keepup.update(coord_for("owner"), ("backend",)).items
    return one


def kept(coord_for: As) -> list[str]:
    return [one.commit for one in restoring.restore(coord_for("owner")).items]


def facts(place: Path, commit: str) -> str:
    """All of a commit but what a rebase gives anew."""
    return git(place, "log", "-1", "--format=%an|%ae|%ad|%B", "--date=raw", commit)


def test_commits_are_as_they_were_upon_the_new_base(
    repo: Path, coord_for: As, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_AUTHOR_DATE", "@1700000000 +0530")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Zoë Ägent")
    words = "two\n\nwhy: é\n\nCoord-Lease: 7 src/**\n"
    own = [commit(place, "one"), commit(place, "two", words=words), commit(place, "one", "changed\n")]
    monkeypatch.delenv("GIT_AUTHOR_NAME")
    tip = commit(repo, "base.txt")
    found = updated(coord_for)
    assert found.state == "brought" and found.head == git(place, "rev-parse", "agent/backend")
    new = git(place, "rev-list", "--reverse", f"{tip}..HEAD").split()
    assert git(place, "rev-list", "--parents", "-1", new[0]).split()[1] == tip
    assert [facts(place, one) for one in new] == [facts(place, one) for one in own]
    assert (place / "base.txt").exists() and (place / "one").read_text() == "changed\n"
    assert git(place, "status", "--porcelain") == ""
    assert kept(coord_for) == [own[-1]]
    assert updated(coord_for).state == "current" and kept(coord_for) == [own[-1]]


def test_it_gives_the_commits_that_git_rebase_gives(repo: Path, coord_for: As, place: Path) -> None:
    lines = "".join(f"{number}\n" for number in range(30))
    commit(repo, "text", lines)
    git(place, "merge", "-q", "--ff-only", "main")
    commit(place, "text", lines.replace("3\n", "three\n"))
    picked = commit(place, "picked")
    git(place, "commit", "-q", "--allow-empty", "-m", "began empty")
    git(place, "mv", "text", "renamed")
    git(place, "commit", "-qm", "renamed")
    git(repo, "cherry-pick", picked)
    commit(repo, "text", lines.replace("29\n", "twenty-nine\n"))
    git(repo, "worktree", "add", "-q", "--detach", "../byhand", "agent/backend")
    git(repo.parent / "byhand", "rebase", "-q", "main")
    assert updated(coord_for).state == "brought"
    form = ("log", "--format=%T %an %s", "main..HEAD")
    assert git(place, *form) == git(repo.parent / "byhand", *form)


def test_a_conflict_leaves_all_as_it_was_and_is_told(repo: Path, coord_for: As, place: Path) -> None:
    """Each of the two changes is on the base by now, so that a merge would be clean, and a rebase is not."""
    commit(place, "both", "first\n")
    head = commit(place, "both", "second\n")
    commit(repo, "both", "second\n")
    before, refs = picture(place), git(repo, "for-each-ref", "refs/heads/agent", "refs/coord")
    found = updated(coord_for)
    assert found.state == "stuck" and "conflicts in both" in found.why and "(both here)" in found.why
    assert picture(place) == before and git(place, "rev-parse", "HEAD") == head
    assert git(repo, "for-each-ref", "refs/heads/agent", "refs/coord") == refs
    owner = coord_for("owner")
    assert keepup.follow(owner, "backend")
    keepup.follow(owner, "backend")
    letters = [path.read_text() for path in (repo / "inbox/backend").glob("*.md")]
    assert len(letters) == 1 and "cannot follow" in letters[0] and "git rebase main" in letters[0]


@pytest.mark.parametrize("how", ["pushed", "another branch", "a tag"])
def test_what_others_have_is_not_rewritten(repo: Path, coord_for: As, place: Path, how: str) -> None:
    head = commit(place, "mine")
    commit(place, "more")
    where = {
        "pushed": "refs/remotes/origin/agent/backend",
        "another branch": "refs/heads/built-on-it",
        "a tag": "refs/tags/v1",
    }
    git(repo, "update-ref", where[how], head)
    commit(repo, "base.txt")
    before = picture(place)
    found = updated(coord_for)
    assert (found.state, where[how] in found.why) == ("stuck", True), found
    assert picture(place) == before and not kept(coord_for)


def test_what_waits_to_be_merged_is_not_rewritten(repo: Path, coord_for: As, place: Path) -> None:
    commit(place, "mine")
    merges.request(coord_for("backend"))
    commit(repo, "base.txt")
    before = picture(place)
    assert (updated(coord_for).state, updated(coord_for).why) == ("waits", "agent/backend waits to be merged as it is")
    assert picture(place) == before and not kept(coord_for)


def test_a_resolution_is_not_lost_where_there_are_merges(repo: Path, coord_for: As, place: Path) -> None:
    commit(repo, "both", "base\n")
    commit(place, "both", "mine\n")
    subprocess.run(["git", "merge", "-q", "main"], cwd=place, check=False, capture_output=True)
    (place / "both").write_text("resolved\n")
    git(place, "commit", "-qam", "resolved")
    tip = commit(repo, "base.txt")
    assert updated(coord_for).state == "brought"
    assert git(place, "log", "-1", "--format=%P").split()[1] == tip and (place / "both").read_text() == "resolved\n"
    assert not kept(coord_for)


@pytest.mark.parametrize("state", ["dirty", "rebase", "bisect", "at work"])
def test_who_is_at_work_is_left_alone(repo: Path, coord_for: As, place: Path, state: str) -> None:
    owner = coord_for("owner")
    commit(place, "mine")
    commit(place, "more")
    match state:
        case "dirty":
            (place / "mine").write_text("more\n")
        case "rebase":
            subprocess.run(
                ["git", "-c", "sequence.editor=sed -i s/^pick/edit/", "rebase", "-q", "-i", "HEAD~1"],
                cwd=place,
                check=True,
                capture_output=True,
            )
        case "bisect":
            git(place, "bisect", "start")
        case _:
            with sessions.opened(owner, "claude", "s1", timeout=5) as one:
                one.session = replace(one.session, agent="backend", process=oslock.process_of(os.getpid()))
    commit(repo, "base.txt")
    before = picture(place)
    assert not keepup.follow(owner, "backend")
    assert picture(place) == before and not kept(coord_for)


def test_signatures_are_made_anew_or_nothing_is_rewritten(
    repo: Path, coord_for: As, place: Path, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    (tmp_path / "signers").write_text(f"* {key.with_suffix('.pub').read_text()}")
    git(repo, "config", "gpg.format", "ssh")
    git(repo, "config", "user.signingKey", str(key))
    git(repo, "config", "gpg.ssh.allowedSignersFile", str(tmp_path / "signers"))
    git(repo, "config", "commit.gpgSign", "true")
    commit(place, "mine")
    git(repo, "config", "commit.gpgSign", "false")
    commit(repo, "base.txt")
    found = updated(coord_for)
    assert found.state == "stuck" and "signed" in found.why
    git(repo, "config", "commit.gpgSign", "true")
    assert updated(coord_for).state == "brought"
    assert git(place, "log", "-1", "--format=%G?") == "G"


def test_too_many_commits_are_counted_not_read(repo: Path, coord_for: As, place: Path) -> None:
    first = git(place, "rev-parse", "HEAD")
    made = "".join(
        f"commit refs/heads/made\ncommitter a <a> 1700000000 +0000\ndata 0\n{f'from {first}' if not number else ''}\n"
        for number in range(201)
    )
    subprocess.run(["git", "fast-import", "--quiet"], cwd=place, input=made, text=True, check=True, env=os.environ)
    git(place, "reset", "-q", "--hard", "made")
    git(repo, "branch", "-D", "made")
    commit(repo, "base.txt")
    with gits() as ran:
        found = updated(coord_for)
    assert (found.state, found.why) == ("stuck", "it has 201 commits of its own, too many to replay")
    assert not [words for words in ran if "--batch" in words]
