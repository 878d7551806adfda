"""Bringing a checkout along, killed at any moment: the next call finishes, and no foreign byte is lost."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from everychange import HOSTILE, assert_landed, ends, made_in, write
from support import git as sh

from coord.git import checkout, indexlock
from coord.model.errors import Conflict, Refused


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return made_in(tmp_path)


STATES = ("old", "new", "missing", "empty", "part", "mine")


@pytest.mark.parametrize("seed", range(12))
def test_half_done_work_is_finished_and_foreign_bytes_stay(top: Path, seed: int) -> None:
    """Any mixture that a killed run can leave is finished; a byte of the owner's stops it."""
    chance = random.Random(seed)
    old, new = ends(top)
    sh(top, "update-ref", "refs/heads/main", new, old)
    mine = []
    for path in ("edit", HOSTILE, "gone", "fresh/new file", "added.o", "mode"):
        state = chance.choice(STATES if seed % 2 else STATES[:-1])
        target = "" if path == "gone" else sh(top, "show", f"{new}:{path}") + "\n"
        if state in ("missing", "new") and path == "gone":
            (top / path).unlink()
        elif state == "missing" or (state in ("old", "empty", "part") and path == "mode"):
            (top / path).unlink(missing_ok=True)
        elif state == "new":
            write(top / path, target).chmod(0o755 if path == "mode" else 0o644)
        elif state in ("empty", "part") and path != "gone":
            write(top / path, target[: 3 if state == "part" else 0])
        elif state == "mine":
            write(top / path, "mine")
            mine.append(path)
    if chance.random() < 0.5:
        (top / "dir/one").unlink()
    if chance.random() < 0.5:
        (top / "file").unlink()
        (top / "file").mkdir()
    if mine:
        with pytest.raises(Refused):
            checkout.bring(top, old, new)
        assert all((top / path).read_text() == "mine" for path in mine)
        sh(top, "reset", "-q", "--hard")
    else:
        checkout.bring(top, old, new)
        assert_landed(top)


BRING = """
import sys
from pathlib import Path
from coord.git import checkout
checkout.bring(Path(sys.argv[1]), *sys.argv[2:])
"""


@pytest.fixture
def big(top: Path) -> Path:
    for number in range(900):
        write(top / f"d{number % 40}/f{number}", f"{number}\n" * 50)
    sh(top, "add", "-A")
    sh(top, "commit", "-q", "-m", "old")
    sh(top, "checkout", "-q", "-B", "next")
    for number in range(0, 900, 3):
        write(top / f"d{number % 40}/f{number}", f"{number}\n" * 90)
        (top / f"d{(number + 1) % 40}/f{number + 1}").unlink()
        write(top / f"new{number % 20}/f{number}", f"new {number}\n" * 2000)
    sh(top, "rm", "-q", "dir/one")
    write(top / "edit", "edit\nnew\n")
    sh(top, "rm", "-rq", "dir")
    write(top / "dir", "a file now\n")
    sh(top, "add", "-A")
    sh(top, "commit", "-q", "-m", "new")
    sh(top, "checkout", "-q", "main")
    return top


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and the git it runs, as a crash of the machine would."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    process.kill()
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()


def test_killed_at_random_moments_it_is_finished_by_the_next_call(big: Path) -> None:
    seed = int(os.environ.get("COORD_TEST_SEED", "0")) or random.randrange(1, 1 << 32)
    print(f"replay with COORD_TEST_SEED={seed}")
    chance = random.Random(seed)
    old, new = ends(big)
    sh(big, "update-ref", "refs/heads/main", new, old)
    cut_short = 0
    for _ in range(8):
        with start(big, old, new) as process:
            deadline = time.monotonic() + chance.uniform(0.0, 0.15)
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.001)
            kill(process)
        while "another process" in indexlock.busy(big / ".git"):
            time.sleep(0.001)
        if (big / ".git/index.lock").exists():
            cut_short += 1
            continue
        assert_landed(big)
        sh(big, "reset", "-q", "--hard", old)
        sh(big, "update-ref", "refs/heads/main", new)
    print(f"cut short {cut_short} times")
    checkout.bring(big, old, new)
    assert_landed(big)
    assert cut_short


def start(big: Path, old: str, new: str) -> subprocess.Popen[bytes]:
    """Start bringing the checkout along in another process, and wait until it is at work or done."""
    process = subprocess.Popen([sys.executable, "-c", BRING, str(big), old, new])
    while process.poll() is None and "another process" not in indexlock.busy(big / ".git"):
        time.sleep(0.001)
    return process


def test_only_its_caller_killed_git_itself_goes_on(top: Path) -> None:
    old, new = ends(top)
    sh(top, "update-ref", "refs/heads/main", new, old)
    slow, go = top / ".git/slow", top / ".git/go"
    write(top / ".git/info/attributes", "edit filter=slow\n")
    sh(top, "config", "filter.slow.smudge", f"touch '{slow}'; until test -e '{go}'; do sleep 0.01; done; cat")
    with start(top, old, new) as process:
        deadline = time.monotonic() + 20
        while not slow.exists():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.kill()
    reason = indexlock.busy(top / ".git")
    go.touch()
    assert "another process" in reason
    while True:
        try:
            checkout.bring(top, old, new)
            break
        except Conflict:
            assert time.monotonic() < deadline
            time.sleep(0.005)
    assert_landed(top)


@pytest.mark.parametrize("linked", [False, True])
def test_head_that_a_killed_git_left_locked_is_free_again(top: Path, *, linked: bool) -> None:
    old, new = ends(top)
    place, private = top, top / ".git"
    if linked:
        place, private = top.parent / "linked", top / ".git/worktrees/linked"
        sh(top, "checkout", "-q", "--detach")
        sh(top, "worktree", "add", "-q", str(place), "main")
    sh(top, "update-ref", "refs/heads/main", new, old)
    (private / "HEAD.lock").touch()
    checkout.bring(place, old, new)
    assert not (private / "HEAD.lock").exists()
    sh(place, "commit", "-q", "--allow-empty", "-m", "its own")
