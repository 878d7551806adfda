"""What a commit says of the leases it was made under: in every way that git makes one, and beside the owner's hooks."""

import subprocess
from pathlib import Path

import pytest
from overtaking import PATH, Open, commit, guarded, have, judged, message, token_of, write
from support import git

from coord.git import commits
from coord.git.repo import Git
from coord.model import leasetrailers
from coord.model.errors import Refused
from coord.service import locks
from coord.service.guard import guarding, placing


@pytest.fixture
def trees(repo: Path, coord_for: Open) -> dict[str, Path]:
    return guarded(repo, coord_for)


def test_what_rewrites_commits_keeps_what_they_were_made_under(coord_for: Open, trees: dict[str, Path]) -> None:
    tree = trees["frontend"]
    (one,) = locks.acquire(coord_for("frontend"), (PATH,)).locks
    write(tree)
    assert commit(tree).returncode == 0
    before = message(tree)
    assert commit(tree, "--amend", "--no-edit").returncode == 0
    assert message(tree) == before
    (two,) = locks.acquire(coord_for("frontend"), ("src/other.py",)).locks
    write(tree, "src/other.py")
    assert commit(tree, "--amend", "--no-edit", "-a").returncode == 0
    assert leasetrailers.tokens(message(tree)) == (one.token, two.token)
    assert message(tree).count("Coord-Agent") == 1
    write(tree, "src/other.py", "last = 1\n")
    assert commit(tree, "-am", "second").returncode == 0
    git(tree, "commit", "--allow-empty", "-qm", "empty")
    assert "Coord-" not in message(tree)
    git(tree, "reset", "-q", "--hard", "HEAD~")
    locks.release(coord_for("frontend"))
    write(trees["backend"], "apps_script/chefs.js")
    assert commit(trees["backend"], "-nam", "elsewhere").returncode == 0
    git(tree, "rebase", "-q", git(trees["backend"], "rev-parse", "HEAD"))
    assert leasetrailers.tokens(message(tree, "HEAD~")) == (one.token, two.token)
    assert leasetrailers.tokens(message(tree)) == (two.token,)
    git(tree, "-c", "sequence.editor=sed -i '2s/pick/squash/'", "-c", "core.editor=true", "rebase", "-qi", "HEAD~2")
    assert git(tree, "rev-list", "--count", "main..HEAD") == "2"
    assert leasetrailers.tokens(message(tree)) == (one.token, two.token)
    picked = git(tree, "rev-parse", "HEAD")
    git(tree, "reset", "-q", "--hard", "main")
    git(tree, "cherry-pick", picked)
    assert leasetrailers.tokens(message(tree)) == (one.token, two.token)
    assert judged(coord_for, tree).passed == ()
    have(coord_for, "backend", "src/other.py")
    (found,) = judged(coord_for, tree).passed
    assert (found.path, found.token, found.agent) == ("src/other.py", two.token, "frontend")


def test_a_message_that_is_made_anew_leaves_the_ledger_to_tell(coord_for: Open, trees: dict[str, Path]) -> None:
    tree = trees["frontend"]
    (one,) = locks.acquire(coord_for("frontend"), (PATH,)).locks
    write(tree)
    assert commit(tree).returncode == 0
    locks.release(coord_for("frontend"))
    have(coord_for, "backend")
    assert commit(tree, "--amend", "-m", "other words").returncode == 0
    assert "Coord-" not in message(tree)
    assert [found.token for found in judged(coord_for, tree).passed] == [one.token]


def test_of_a_merge_only_what_it_settles_is_signed(repo: Path, coord_for: Open, trees: dict[str, Path]) -> None:
    tree = trees["frontend"]
    write(trees["backend"], "web_app/index.html")
    write(trees["backend"], PATH, "theirs = 1\n")
    assert commit(trees["backend"]).returncode == 0
    git(repo, "merge", "-q", git(trees["backend"], "rev-parse", "HEAD"))
    locks.acquire(coord_for("frontend"), (".",))
    (lock,) = locks.list_(coord_for("owner")).locks
    write(tree)
    assert commit(tree).returncode == 0
    subprocess.run(["git", "merge", "-q", "main"], cwd=tree, capture_output=True, check=False)
    (tree / PATH).write_text("both = 1\n")
    git(tree, "add", PATH)
    done = commit(tree, "--no-edit", "--cleanup=strip")
    assert done.returncode == 0, done.stderr
    assert message(tree).endswith(f"Coord-Lease: {lock.token} **\nCoord-Agent: frontend")
    span = commits.between(Git(tree), git(tree, "rev-parse", "HEAD"), ("main",))
    assert [one.paths for one in span] == [(PATH,), (PATH,)]
    git(repo, "commit", "--allow-empty", "-qm", "nothing")
    git(tree, "merge", "-q", "main")
    assert "Coord-" not in message(tree)


EDITORS = {
    "a message": "echo words > $1.new; cat $1 >> $1.new; mv $1.new $1",
    "nothing": "true",
    "all gone": ": > $1",
}


@pytest.mark.parametrize("mode", ["plain", "verbose", "template", "semicolon"])
@pytest.mark.parametrize("editor", EDITORS)
def test_an_editor_finds_git_s_own_page_and_an_empty_one_commits_nothing(
    coord_for: Open, trees: dict[str, Path], tmp_path: Path, editor: str, mode: str
) -> None:
    tree = trees["frontend"]
    locks.acquire(coord_for("frontend"), (PATH,))
    write(tree)
    script = tmp_path / "editor"
    script.write_text(f"#!/bin/sh\n{EDITORS[editor]}\n")
    script.chmod(0o755)
    (tmp_path / "template").write_text("# a hint\n\n")
    if mode == "semicolon":
        git(tree, "config", "core.commentChar", ";")
    words = {"verbose": ["-v"], "template": ["-t", str(tmp_path / "template")]}.get(mode, [])
    before = git(tree, "rev-parse", "HEAD")
    done = commit(tree, "-a", *words, GIT_EDITOR=str(script))
    if editor == "a message":
        assert done.returncode == 0, done.stderr
        token = token_of(coord_for, "frontend")
        assert message(tree) == f"words\n\nCoord-Lease: {token} {PATH}\nCoord-Agent: frontend"
    else:
        assert done.returncode != 0
        assert git(tree, "rev-parse", "HEAD") == before


def test_a_trailer_joins_those_that_are_there(coord_for: Open, trees: dict[str, Path]) -> None:
    tree = trees["frontend"]
    git(tree, "config", "trailer.where", "start")
    git(tree, "config", "trailer.separators", "=#")
    locks.acquire(coord_for("frontend"), ("src/**/a b[1].py", PATH))
    write(tree)
    write(tree, "src/a b1.py")
    git(tree, "add", "-A", "src")
    assert commit(tree, "-sm", "one\n\nbody\n\n---\nmore").returncode == 0
    signed, *own = message(tree).splitlines()[-4:]
    assert signed.startswith("Signed-off-by: ")
    assert sorted(own) == sorted(
        [f"Coord-Lease: {1} src/**/a%20b%5B1%5D.py", f"Coord-Lease: {2} {PATH}", "Coord-Agent: frontend"]
    )


@pytest.mark.parametrize("layout", ["plain", "husky", "hooksPath"])
def test_the_owner_s_own_hook_for_messages_stays_and_sees_the_trailers(
    repo: Path, coord_for: Open, trees: dict[str, Path], layout: str
) -> None:
    placing.uninstall(coord_for("owner"))
    folder = {"plain": repo / ".git/hooks", "husky": repo / ".husky/_", "hooksPath": repo.parent / "hooks"}[layout]
    folder.mkdir(parents=True, exist_ok=True)
    if layout != "plain":
        git(repo, "config", "core.hooksPath", str(folder))
    hook_file = folder / "commit-msg"
    text = f'#!/usr/bin/env sh\ngrep -q Coord-Lease "$1" && echo seen > {repo}/seen\ngrep -q words "$1"\n'
    hook_file.write_text(text)
    hook_file.chmod(0o755)
    shared = layout == "hooksPath"
    placing.install(coord_for("owner"), shared=shared)
    placing.install(coord_for("owner"), shared=shared)
    assert hook_file.read_text().count("coord guard sign") == 1
    locks.acquire(coord_for("frontend"), (PATH,))
    write(trees["frontend"])
    assert commit(trees["frontend"], "-am", "refused by it").returncode == 1
    assert commit(trees["frontend"], "-am", "words").returncode == 0
    assert (repo / "seen").exists()
    placing.uninstall(coord_for("owner"), shared=shared)
    assert hook_file.read_text() == text


def test_only_a_message_that_git_makes_is_signed(
    repo: Path, coord_for: Open, trees: dict[str, Path], tmp_path: Path
) -> None:
    tree = trees["frontend"]
    locks.acquire(coord_for("frontend"), (PATH,))
    write(tree)
    git(tree, "add", PATH)
    for name in ("README.md", str(tmp_path / "none"), str(coord_for("owner").home / ".git/COMMIT_EDITMSG")):
        with pytest.raises(Refused, match="no message of a commit"):
            guarding.sign(coord_for("frontend", tree), name)
    (repo / ".git/hooks/pre-commit").unlink()
    (repo / "locks/broken.yaml").write_text("{")
    done = commit(tree, "-m", "x")
    (repo / "locks/broken.yaml").unlink()
    assert done.returncode == 0
    assert "broken.yaml" in done.stderr
