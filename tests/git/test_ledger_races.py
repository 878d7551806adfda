import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from coord.git import history
from coord.git.ledger import REF, Ledger
from coord.git.repo import Git
from coord.model import ids
from coord.model.errors import LedgerMoved
from coord.model.records import Event

APPENDER = """
import fcntl, os, sys
from datetime import UTC, datetime
from pathlib import Path
from coord.git.ledger import Ledger
from coord.git.repo import Git
from coord.model import ids
from coord.model.errors import CoordError
from coord.model.records import Change, Event
book, guard = Ledger(Git(Path.cwd())), Path(".git/guard")
count, size, guarded = map(int, sys.argv[1:])
for number in range(count):
    now = datetime.now(UTC)
    batch = [ids.ulid(now, os.urandom(10)) for _ in range(size)]
    events = [Event(id=one, kind="mail.sent", agent="a", subject="x", at=now,
                    changes=(Change(f"inbox/a/{one}-x.md", one.encode()),)) for one in batch]
    while True:
        try:
            with guard.open("w") as held:
                fcntl.flock(held, fcntl.LOCK_EX if guarded else fcntl.LOCK_UN)
                book.append(events, parent=book.tip(), now=now)
            break
        except CoordError as error:
            assert error.retryable, error
    print(*batch, sep="\\n", flush=True)
"""


def appender(top: Path, count: int, size: int, guarded: bool = False) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", APPENDER, str(count), str(size), str(int(guarded))]
    return subprocess.Popen(command, cwd=top, stdout=subprocess.PIPE, text=True)


def sh(cwd: Path, *args: str, stdin: str = "") -> str:
    done = subprocess.run(["git", *args], cwd=cwd, check=True, capture_output=True, text=True, input=stdin)
    return done.stdout.strip()


@pytest.fixture
def top(tmp_path: Path) -> Path:
    made = tmp_path.resolve() / "project"
    made.mkdir()
    sh(made, "init", "-q", "-b", "main")
    sh(made, "config", "user.name", "t")
    sh(made, "config", "user.email", "t@example.invalid")
    (made / "file").write_text("code\n")
    sh(made, "add", "file")
    sh(made, "commit", "-q", "-m", "start")
    return made


def fsck(top: Path) -> None:
    done = subprocess.run(["git", "fsck", "--strict", "--full"], cwd=top, capture_output=True, text=True, check=False)
    found = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("dangling")]
    assert (done.returncode, found) == (0, [])


@contextmanager
def meanwhile(top: Path, *commands: tuple[str, ...]) -> Iterator[list[int]]:
    """Run plain git commands over and over while the block runs."""
    over, rounds = threading.Event(), [0]

    def loop() -> None:
        while not over.is_set():
            for command in commands:
                subprocess.run(["git", *command], cwd=top, capture_output=True, check=False)
            rounds[0] += 1

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield rounds
    finally:
        over.set()
        thread.join()


def outside(top: Path) -> int:
    """Commit to the ledger with plain git, as a person might; tell how often git let it."""
    git, made = Git(top), 0
    for _ in range(10):
        tip = git.tip(REF) or "none"
        commit = git.run("commit-tree", f"{tip}^{{tree}}", "-p", tip, "-m", "by hand", check=False).out.decode().strip()
        made += bool(commit) and git.run("update-ref", REF, commit, tip, check=False).status == 0
    return made


def check(top: Path, said: list[str], by_hand: int) -> None:
    found = [entry.id for entry in history.entries(Git(top))]
    assert sorted(one for one in found if one) == sorted(said)
    assert found.count("") == by_hand
    assert {key[8:34] for key in history.tree(Git(top), REF)} == set(said)
    fsck(top)


def test_two_writers_without_a_guard_and_an_outsider_lose_nothing(top: Path) -> None:
    index = (top / ".git/index").read_bytes()
    with meanwhile(top, ("gc", "-q")) as rounds:
        writers = [appender(top, 25, 3) for _ in range(2)]
        by_hand = 0
        while any(writer.poll() is None for writer in writers):
            by_hand += outside(top)
        said = [one for writer in writers for one in writer.communicate()[0].split()]
    assert rounds[0] > 0
    assert by_hand > 0
    assert [writer.returncode for writer in writers] == [0, 0]
    check(top, said, by_hand)
    assert (top / ".git/index").read_bytes() == index


@pytest.mark.parametrize("storm", [("gc", "-q", "--prune=now"), ("pack-refs", "--all")], ids=["prune", "pack-refs"])
def test_guarded_writers_lose_nothing_in_a_storm(top: Path, storm: tuple[str, ...]) -> None:
    with meanwhile(top, storm) as rounds:
        writers = [appender(top, 40, 3, guarded=True) for _ in range(2)]
        said = [one for writer in writers for one in writer.communicate()[0].split()]
    assert rounds[0] > 0
    assert [writer.returncode for writer in writers] == [0, 0]
    check(top, said, by_hand=0)


def test_two_creators_at_once_lose_nothing(top: Path) -> None:
    for _ in range(5):
        subprocess.run(["git", "update-ref", "-d", REF], cwd=top, check=True)
        writers = [appender(top, 1, 1) for _ in range(2)]
        said = {writer.communicate()[0].strip() for writer in writers}
        assert history.ids_in(Git(top), None, REF) == said
        assert len(said) == 2


def children_of(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def test_kill_at_random_moments_and_the_next_append_works(top: Path) -> None:
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(10**9)))
    print(f"SEED={seed}")
    chance, said = random.Random(seed), set[str]()
    for _ in range(12):
        writer = appender(top, 10_000, 20)
        assert writer.stdout is not None
        said.add(writer.stdout.readline().strip())
        time.sleep(chance.random() * 0.05)
        children = children_of(writer.pid)
        os.kill(writer.pid, signal.SIGKILL)
        for child in children if chance.random() < 0.7 else []:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        said |= {line for line in writer.communicate()[0].split("\n") if len(line) == ids.LENGTH}
    book = Ledger(Git(top))
    now = datetime.now(UTC)
    last = Event(id=ids.ulid(now, os.urandom(10)), kind="mail.sent", agent="a", subject="x", at=now)
    deadline = time.monotonic() + 10
    while True:
        try:
            book.append([last], parent=book.tip(), now=now)
            break
        except LedgerMoved:  # an orphaned git may still finish its work
            assert time.monotonic() < deadline
    assert history.ids_in(Git(top), None, REF) >= said | {last.id}
    assert int(sh(top, "rev-list", "--count", REF)) % 20 == 1
    fsck(top)
