"""Killed while it brings a worktree along: the next call finishes, and leaves nothing that stops a git."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest
import tiers
from support import eventually, git

from coord.git import indexlock
from coord.service import keepup, restoring, worktrees
from coord.service.coord import Coord

As = Callable[..., Coord]

BRING = """
import sys
from pathlib import Path
from coord.service import keepup
from coord.service.coord import Coord
coord = Coord.open(Path(sys.argv[1]), who="owner")
print("ready", flush=True)
keepup.bring(coord, "backend")
"""


def commit(top: Path, names: list[str], text: str) -> str:
    for name in names:
        (top / name).write_text(text)
    git(top, "add", *names)
    git(top, "commit", "-qm", text.partition("\n")[0])
    return git(top, "rev-parse", "HEAD")


def cut_short(repo: Path, private: Path, chance: random.Random) -> None:
    """Begin to bring the worktree along, and kill that with its gits at some moment."""
    note = repo / ".git/coord" / keepup.FOLDER / "backend.json"
    with subprocess.Popen([sys.executable, "-c", BRING, str(repo)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        if chance.random() < 0.5:
            time.sleep(chance.uniform(0, 0.4))
        else:
            eventually(lambda: note.exists() or process.poll() is not None, what="beginning")
            time.sleep(chance.uniform(0, 0.03))
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        for child in family:
            with suppress(psutil.NoSuchProcess):
                child.kill()
    eventually(lambda: "another process" not in indexlock.busy(private), what="git has ended")


@pytest.mark.parametrize("how", ["merge", "rebase"])
def test_killed_at_any_moment_it_is_before_or_after(repo: Path, coord_for: As, how: str) -> None:
    with (repo / ".coord.yaml").open("a") as file:
        file.write(f"worktrees: {{follow: {how}}}\n")
    git(repo, "commit", "-qam", "configured")
    place = Path(worktrees.add(coord_for("owner"), ("backend",)).trees[0].path)
    private = Path(git(place, "rev-parse", "--absolute-git-dir"))
    update = partial(keepup.update, coord_for("owner"), ("backend",))
    chance, cut, own = random.Random(tiers.seed()), 0, 0
    for number in range(tiers.rounds(20, 400)):
        tip = commit(repo, [f"f{name}" for name in range(60)], f"round {number}\n" * 400)
        head = git(place, "rev-parse", "HEAD")
        if how == "rebase" or number % 2:
            head, own = commit(place, ["mine"], f"own {number}\n"), own + 1
        cut_short(repo, private, chance)
        cut += bool(keepup.half_done(coord_for("owner")))
        (found,) = update().items
        assert found.state in ("brought", "current"), found
        assert git(place, "status", "--porcelain") == "" and keepup.half_done(coord_for("owner")) == ()
        assert [path.name for path in private.glob("*.lock") if path.name != "coord.lock"] == []
        assert git(place, "merge-base", "main", "HEAD") == tip
        assert (place / "f7").read_bytes() == (repo / "f7").read_bytes()
        if how == "rebase":
            assert git(place, "rev-list", "--count", "main..HEAD") == str(own)
            assert head in [one.commit for one in restoring.restore(coord_for("owner")).items]
        else:
            assert git(place, "merge-base", "--is-ancestor", head, "HEAD") == ""
    print(f"cut short {cut} times")
    assert cut


def test_a_git_that_outlives_its_caller_keeps_the_lock(repo: Path, coord_for: As) -> None:
    with (repo / ".coord.yaml").open("a") as file:
        file.write("worktrees: {follow: merge}\n")
    place = Path(worktrees.add(coord_for("owner"), ("backend",)).trees[0].path)
    private = Path(git(place, "rev-parse", "--absolute-git-dir"))
    tip = commit(repo, ["new"], "new\n")
    asked, go, hook = repo / ".git/asked", repo / ".git/go", repo / ".git/hooks/reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    wait = f"touch '{asked}'; until test -e '{go}'; do sleep 0.02; done"
    hook.write_text(f'#!/bin/sh\ntest "$1" = prepared && grep -q refs/heads/agent/backend && {{ {wait}; }}\nexit 0\n')
    hook.chmod(0o755)
    with subprocess.Popen([sys.executable, "-c", BRING, str(repo)], stdout=subprocess.DEVNULL) as process:
        eventually(asked.exists, what="a branch that is about to move")
        process.kill()
    held = indexlock.busy(private)
    go.touch()
    assert "another process" in held
    eventually(lambda: "another process" not in indexlock.busy(private), what="git has ended")
    (found,) = keepup.update(coord_for("owner"), ("backend",)).items
    assert found.state == "current" and git(place, "rev-parse", "HEAD") == tip
    assert git(place, "status", "--porcelain") == "" and (place / "new").read_text() == "new\n"


def test_where_work_lies_in_the_way_of_what_was_begun_it_is_stuck_and_the_others_follow(
    repo: Path, coord_for: As
) -> None:
    owner = coord_for("owner")
    place = Path(worktrees.add(owner, ("backend", "frontend")).trees[0].path)
    old, tip = git(place, "rev-parse", "HEAD"), commit(repo, ["new"], "new\n")
    note = repo / ".git/coord" / keepup.FOLDER / "backend.json"
    note.parent.mkdir(exist_ok=True)
    note.write_text(json.dumps({"old": old, "new": tip}))
    git(place, "update-ref", "refs/heads/agent/backend", tip)  # so it was left
    (place / "new").write_text("mine\n")
    stuck, brought = keepup.update(owner, ("backend", "frontend")).items
    assert (stuck.state, brought.state) == ("stuck", "brought") and "new" in stuck.why
    (place / "new").unlink()
    assert keepup.update(owner, ("backend",)).items[0].state == "current"
    assert (place / "new").read_text() == "new\n" and git(place, "status", "--porcelain") == ""
