"""An owner's gits that take stock of packs, beside a ledger that is written and packs that are joined all the time."""

import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import tiers
from support import git

from coord.git import history, joining, maintain, others
from coord.git.ledger import REF, Ledger
from coord.git.repo import Git
from coord.model import ids
from coord.model.errors import CoordError
from coord.model.records import Change, Event

# Plain git drops what nobody refers to: the one all of it, the other what a gc packed while the index held it.
PRUNE, REPACK = ("gc", "-q", "--prune=now"), ("repack", "-a", "-d", "-q")
COMMANDS = (
    ("gc", "-q"),
    ("repack", "-A", "-d", "-q"),
    ("fsck", "--strict", "--full", "--no-dangling", "--no-progress"),
    ("rev-list", "--objects", "--all", "--quiet"),
    ("clone", "-q", "--mirror", ".", "../mirror"),
    ("commit-graph", "write", "--no-progress"),
    ("cat-file", "--batch-all-objects", "--batch-check", "--unordered"),
)
# What git says beside any git that commits: the ledger went on while gc wrote the branches down; a file that one was
# writing had its last name when prune, which had listed it, looked at it.
HARMLESS = re.compile(
    r"error: cannot lock ref 'refs/heads/coord/ledger': is at|error: Could not stat '\.git/objects/(pack|..)/tmp_\w+'$"
)
# A clone copies what it has listed, "similar to running cp -r src dst while modifying src" (git-clone): what a git that
# commits names for a moment only may be gone by then, and no clone comes of it. A pack never may.
PASSED = re.compile(r"fatal: failed to copy file to '\.\./mirror/objects/(pack|..)/(tmp_\w+|pack-\w+\.keep)'")
PATIENCE = 5.0
WITHIN = 60.0
# In a process of its own, as the daemon lets it be done: a look at other gits and what follows from it lie close together,
# and here threads would wait for each other between the two.
JOIN = f"""
import sys
from contextlib import suppress
from pathlib import Path
from coord.git import joining
from coord.model.errors import CoordError
common, over = Path(sys.argv[1]), Path(sys.argv[2])
while not over.exists():
    before = set(common.glob("objects/pack/*.pack"))
    with suppress(CoordError, FileNotFoundError):  # a gc took away what was to be packed: the next one does it
        joining.at_once(common, {PATIENCE})
        if set(common.glob("objects/pack/*.pack")) - before:
            print("joined", flush=True)
"""


class Meanwhile:
    """A ledger that is written, joins that follow one another, and an owner; what any of them complains of is kept."""

    def __init__(self, top: Path, seed: int) -> None:
        self.top = top
        self.chance = random.Random(seed)
        self.over = threading.Event()
        self.writing = threading.Lock()
        self.complaints: list[str] = []
        self.told: set[str] = set()
        self.joined = 0

    @contextmanager
    def going(self, join: Callable[["Meanwhile"], None]) -> Iterator[None]:
        """Write, and JOIN, until the block ends."""
        acts = (partial(self._repeat, self._write), partial(join, self))
        threads = [threading.Thread(target=act) for act in acts]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.over.set()
            for thread in threads:
                thread.join()

    def owner(self, *words: str) -> None:
        """Run git as its owner does: it may neither fail nor complain."""
        # What is committed after a fsck took stock it calls missing, whoever commits.
        with self.writing if words[0] == "fsck" else nullcontext():
            done = subprocess.run(["git", *words], cwd=self.top, check=False, capture_output=True, text=True)
        said = [line for line in done.stderr.splitlines() if not HARMLESS.match(line)]
        raced = words[0] == "clone" and bool(said) and all(PASSED.match(line) for line in said)
        if (done.returncode or said) and not raced:
            self.complaints.append(f"git {' '.join(words)}: {done.returncode}, {said}")
        if words[0] == "clone":
            subprocess.run(["rm", "-rf", str(self.top.with_name("mirror"))], check=True)
        time.sleep(self.chance.random() * 0.1)  # else there is never a moment in which packs may go

    def _repeat(self, act: Callable[[], None]) -> None:
        while not self.over.is_set():
            act()

    def _write(self) -> None:
        book, now = Ledger(Git(self.top)), datetime.now(UTC)
        identifier = ids.ulid(now, self.chance.randbytes(10))
        changes = (Change(f"inbox/a/{identifier}-x.md", identifier.encode()),)
        event = Event(id=identifier, kind="mail.sent", agent="a", subject="x", at=now, changes=changes)
        try:
            with self.writing:
                book.append([event], parent=book.tip(), now=now)
            self.told.add(identifier)
        except CoordError as error:  # as a committer does, who tries again
            assert error.retryable, error

    def join_apart(self) -> None:
        """Let another process join packs until it is over."""
        end = self.top.with_name("over")
        words = [sys.executable, "-c", JOIN, str(self.top / ".git"), str(end)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            self.over.wait()
            end.touch()
            self.joined = process.communicate()[0].count("joined")
        assert process.returncode == 0

    def join_here(self) -> None:
        """Join packs in this process, into which faults were planted."""

        def act() -> None:
            with suppress(CoordError, FileNotFoundError):
                joining.at_once(self.top / ".git", PATIENCE)

        self._repeat(act)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    monkeypatch.setattr(maintain, "tend", lambda _: None)
    top = tmp_path.resolve() / "project"
    git(tmp_path, "init", "-q", "-b", "main", str(top))
    git(top, "config", "gc.auto", "0")
    git(top, "commit", "-q", "--allow-empty", "-m", "start")
    seen = Meanwhile(top, tiers.seed())
    seen._write()
    return seen


def assert_kept(here: Meanwhile, added: list[str]) -> None:
    assert history.ids_in(Git(here.top), None, REF) == here.told
    lines = "".join(f"{name}\n" for name in added)
    done = subprocess.run(
        ["git", "cat-file", "--batch-check"], cwd=here.top, input=lines, capture_output=True, text=True, check=True
    )
    assert "missing" not in done.stdout
    found = git(here.top, "fsck", "--strict", "--full", "--no-dangling", "--no-progress")
    assert not found


@pytest.mark.parametrize("dropping", [(), (REPACK,), (REPACK, PRUNE)], ids=["nothing", "packed", "all"])
def test_no_git_of_the_owners_complains_and_nothing_is_lost(
    here: Meanwhile, dropping: tuple[tuple[str, ...], ...]
) -> None:
    indexed, loose = list[str](), list[str]()
    with here.going(Meanwhile.join_apart):
        for number in range(tiers.rounds(40, 5_000)):
            (here.top / "added").write_text(f"{number}\n")
            here.owner("add", "added")
            indexed.append(git(here.top, "hash-object", "added"))
            (here.top / "loose").write_text(f"never in the index {number}\n")
            loose.append(git(here.top, "hash-object", "-w", "loose"))
            here.owner(*here.chance.choice((*COMMANDS, *dropping)))
    print(f"{here.joined} joins, {len(here.told)} commits, {len(loose)} objects of each kind")
    assert not here.complaints, "\n".join(here.complaints)
    assert here.joined > 0
    assert_kept(here, ([] if PRUNE in dropping else loose) + ([] if dropping else indexed))


@pytest.mark.parametrize("command", [COMMANDS[0], COMMANDS[2]])
def test_packs_that_go_without_a_look_are_noticed(
    here: Meanwhile, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr(others, "taking_stock", lambda _: False)
    deadline = time.monotonic() + WITHIN
    with here.going(Meanwhile.join_here):
        while not here.complaints:
            assert time.monotonic() < deadline, "nothing was noticed"
            here.owner(*command)
