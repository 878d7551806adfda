"""The commit guard where something is wrong: leases hold, and only what cannot be told of them stops a commit."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hooking import hook, recorded
from overtaking import PATH, Open, commit, guarded, message, overtake, write
from support import git

from coord.model.errors import Usage
from coord.service import locks, mail
from coord.service.session.callers import Called

CONFIG = ".coord.yaml"
LEDGER = "refs/heads/coord/ledger"


@pytest.fixture
def trees(repo: Path, coord_for: Open) -> dict[str, Path]:
    return guarded(repo, coord_for)


def damage(repo: Path, how: str) -> None:
    if how == "gone":
        (repo / CONFIG).unlink()
    else:
        (repo / CONFIG).write_text({"wrong": "agents: [", "from elsewhere": "format: 9\n"}[how])


@pytest.mark.parametrize("how", ["wrong", "gone", "from elsewhere"])
def test_while_the_configuration_is_wrong_leases_hold_and_free_work_goes_on(
    repo: Path, coord_for: Open, trees: dict[str, Path], how: str
) -> None:
    (lock,) = locks.acquire(coord_for("backend"), (PATH,)).locks
    damage(repo, how)
    for tree in trees.values():
        write(tree)
    refused = commit(trees["frontend"])
    assert refused.returncode == 1
    assert f"backend holds {PATH}" in refused.stderr
    assert "going on all the same" in refused.stderr
    assert CONFIG in refused.stderr
    assert commit(trees["backend"]).returncode == 0
    assert message(trees["backend"]).endswith(f"Coord-Lease: {lock.token} {PATH}\nCoord-Agent: backend")
    git(trees["frontend"], "restore", "--staged", "--worktree", ".")
    write(trees["frontend"], "src/other.py")
    done = commit(trees["frontend"])
    assert done.returncode == 0
    assert CONFIG in done.stderr


def test_an_override_is_told_the_holder_also_then(repo: Path, coord_for: Open, trees: dict[str, Path]) -> None:
    locks.acquire(coord_for("backend"), (PATH,))
    text = (repo / CONFIG).read_text()
    damage(repo, "wrong")
    write(trees["frontend"])
    assert commit(trees["frontend"], COORD_OVERRIDE="it burns").returncode == 0
    (repo / CONFIG).write_text(text)
    assert "it burns" in mail.list_(coord_for("backend")).items[0].message.body


def test_where_a_worktree_lies_elsewhere_its_session_tells_whose_it_is_and_else_nobody(
    repo: Path, coord_for: Open
) -> None:
    text = (repo / CONFIG).read_text()
    (repo / CONFIG).write_text(f"{text}worktrees: {{path: '../trees/of-{{name}}'}}\n")
    trees = guarded(repo, coord_for)
    assert trees["backend"].name == "of-backend"
    locks.acquire(coord_for("backend"), (PATH,))
    damage(repo, "wrong")
    write(trees["backend"])
    refused = commit(trees["backend"])
    assert refused.returncode == 1
    assert "if the lease is yours, say so: COORD_AGENT=<name>" in refused.stderr
    assert commit(trees["backend"], COORD_AGENT="backend").returncode == 0
    begun = recorded("claude-2.1.330.SessionStart", trees["backend"], cwd=str(trees["backend"]))
    hook("claude", begun, trees["backend"], "backend")
    write(trees["backend"])
    done = commit(trees["backend"])
    assert done.returncode == 0, done.stderr
    (session,) = (repo / ".git/coord/sessions").glob("*.json")
    session.chmod(0o644)  # others may have written it
    write(trees["backend"])
    assert commit(trees["backend"]).returncode == 1


def test_a_name_that_is_nobodys_is_said_and_holds_nothing(repo: Path, coord_for: Open, trees: dict[str, Path]) -> None:
    locks.acquire(coord_for("backend"), (PATH,))
    write(repo)
    refused = commit(repo, COORD_AGENT="bakcend")
    assert refused.returncode == 1
    assert "bakcend" in refused.stderr
    assert f"backend holds {PATH}" in refused.stderr
    git(repo, "restore", "--staged", PATH)
    write(repo, "src/other.py")
    git(repo, "add", "src/other.py")
    done = commit(repo, "-m", "more", COORD_AGENT="bakcend")
    assert done.returncode == 0
    assert "Did you mean backend?" in done.stderr


@pytest.mark.parametrize("instead", ["nothing", "a file", "a lease that cannot be read"])
def test_where_who_holds_what_cannot_be_told_nothing_is_committed(
    repo: Path, coord_for: Open, trees: dict[str, Path], instead: str
) -> None:
    locks.acquire(coord_for("backend"), (PATH,))
    coord_for("backend").committer.settle()
    if instead == "a lease that cannot be read":
        (repo / "locks/broken.yaml").write_text("{")
    else:
        shutil.rmtree(repo / "locks")
        if instead == "a file":
            (repo / "locks").write_text("")
    write(trees["frontend"])
    refused = commit(trees["frontend"])
    assert refused.returncode == 1
    assert ("coord doctor" if instead != "a lease that cannot be read" else "mend or delete") in refused.stderr


def test_what_is_held_is_told_before_what_has_passed_on(coord_for: Open, trees: dict[str, Path]) -> None:
    overtake(coord_for, trees)
    locks.acquire(coord_for("backend"), (PATH,))
    refused = commit(trees["frontend"])
    assert refused.returncode == 1
    assert f"backend holds {PATH}" in refused.stderr
    assert "passed on" not in refused.stderr
    locks.release(coord_for("backend"))
    assert "passed on" in commit(trees["frontend"]).stderr


@pytest.mark.parametrize("what", ["a ledger that is no commit", "the contents of a lease"])
def test_a_damaged_past_is_said_and_stops_nobody(
    repo: Path, coord_for: Open, trees: dict[str, Path], what: str
) -> None:
    overtake(coord_for, trees)
    tree = trees["frontend"]
    for note in (repo / ".git/coord/edits").rglob("*.json"):
        note.write_text("{")
    refused = commit(tree)
    assert refused.returncode == 1
    assert "passed on" in refused.stderr
    ledger = git(repo, "rev-parse", LEDGER)
    spoil(repo, what)
    done = commit(tree)
    assert done.returncode == 0, done.stderr
    assert "could not look" in done.stderr
    locks.acquire(coord_for("backend"), (PATH,))
    write(tree)
    assert f"backend holds {PATH}" in commit(tree).stderr
    (repo / ".git" / LEDGER).write_text(f"{ledger}\n")


def spoil(repo: Path, what: str) -> None:
    if what == "a ledger that is no commit":
        (repo / ".git/packed-refs").unlink(missing_ok=True)
        (repo / ".git" / LEDGER).write_text(git(repo, "rev-parse", "HEAD:README.md") + "\n")
        return
    lease = next(line for line in git(repo, "log", "--raw", "--no-abbrev", LEDGER).splitlines() if "locks/" in line)
    sha = next(word for word in lease.split()[2:4] if word.strip("0"))
    for pack in [*(repo / ".git/objects/pack").glob("*.pack")]:
        aside = pack.rename(repo / pack.name)
        with aside.open("rb") as data:
            subprocess.run(["git", "unpack-objects", "-q"], cwd=repo, stdin=data, check=True)
    (repo / ".git/objects" / sha[:2] / sha[2:]).unlink()


def test_where_coord_was_never_set_up_nothing_is_made(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "other")
    with pytest.raises(Usage, match="has no"):
        Called.despite(tmp_path / "other")
    assert not (tmp_path / "other/.git/coord").exists()
