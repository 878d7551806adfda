"""The owner's git, and what killed gits leave, while agents send mail and the ledger is written."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import pytest
import tiers
from accounts import Accounts, Said
from doomed import Warm, warmed
from grounds import ground
from owner import LEDGER, OPERATIONS, Operation, Owner, is_in
from roles import Plan
from support import eventually

ACKNOWLEDGED_WITHIN = 2.0
COMMITTED_WITHIN = 20.0


class Meanwhile:
    """Two workers that go on until the test ends, and an owner at work beside them."""

    def __init__(self, repo: Path, warm: list[Warm], second: str, seed: int, mutant: str = "") -> None:
        self.repo = repo
        self.warm = warm
        self.second = second
        self.owner = Owner(repo, random.Random(seed))
        self.books = Accounts(repo)
        self.said: Said = []
        self.index = self.owner.index
        for one, role, who in zip(warm, ("send", second), ("backend", "frontend"), strict=True):
            one.start(Plan(role=role, who=who, times=0, seed=seed, mutant=mutant))

    def operation(self, operation: Operation) -> None:
        """Let the owner do something: others go on meanwhile, and the index is as the owner left it."""
        self.assert_index_untouched()
        with operation(self.owner):
            self.index = self.owner.index
            self.progress()
            self.assert_index_untouched()
        self.index = self.owner.index

    def progress(self) -> None:
        """Wait until messages that were not there yet are acknowledged and committed."""
        tip = self.books.coord.ledger.tip()
        sent = self.count_sent()
        eventually(lambda: self.count_sent() > sent + 1, within=COMMITTED_WITHIN, what="sending")
        eventually(lambda: self.books.coord.ledger.tip() != tip, within=COMMITTED_WITHIN, what="committing")

    def count_sent(self) -> int:
        self.heard("")
        return sum(what == "sent" for what, *_ in self.said)

    def heard(self, wanted: str) -> bool:
        """Tell whether somebody said WANTED since the last time."""
        new = [what for one in self.warm for what in one.heard()]
        self.said += new
        return any(what == wanted for what, *_ in new)

    def assert_index_untouched(self) -> None:
        assert self.owner.index == self.index, "somebody touched the owner's index"

    def finish(self) -> None:
        """Let the workers end, and hold all they said against files and ledger."""
        self.assert_index_untouched()
        self.repo.with_name("stop").touch()
        for one, role in zip(self.warm, ("send", self.second), strict=True):
            ended = one.end("term" if role == "watch" else "")
            assert ended.status == 0, f"{role} ended with {ended.status}"
        self.books.coord.committer.settle()
        self.count_sent()
        self.books.audit(self.said)
        self.books.sound()
        for commit in self.owner.by_hand:
            assert is_in(self.repo, commit, LEDGER), "the ledger lost a commit that was made by hand"
        took = [float(words[0]) for what, *words in self.said if what == "took"]
        # On a machine that is busy with other things everything takes longer, the usual send as well.
        limit = max(ACKNOWLEDGED_WITHIN, 100 * median(took))
        assert max(took) < limit, f"a send took {max(took):.2f} s, more than {limit:.2f} s"


@contextmanager
def meanwhile(repo: Path, second: str, seed: int, mutant: str = "") -> Iterator[Meanwhile]:
    with warmed(repo, "first", "second") as warm:
        yield Meanwhile(repo, warm, second, seed, mutant)


@pytest.mark.parametrize("second", ["send", "watch"])
def test_nothing_the_owners_git_does_loses_stops_or_doubles_anything(repo: Path, second: str) -> None:
    seed, count = tiers.seed(), tiers.rounds(25, 1000)
    chance = random.Random(seed)
    with meanwhile(repo, second, seed) as here:
        while count > 0:
            for operation in chance.sample(OPERATIONS, min(count, len(OPERATIONS))):
                here.operation(operation)
            count -= len(OPERATIONS)
        here.finish()
        print(f"said: {dict(here.books.said)}; {len(here.owner.by_hand)} commits by hand on the ledger")


def respected(here: Meanwhile) -> None:
    """Keep the ledger's branch locked until somebody gave up committing on it for now."""
    with here.owner.holding(LEDGER) as lock:
        inode, tip = lock.stat().st_ino, here.books.coord.ledger.tip()
        eventually(lambda: here.heard("left") or not lock.exists(), within=COMMITTED_WITHIN, what="giving up")
        assert lock.exists(), "somebody took away the lock of a living git"
        assert (lock.stat().st_ino, here.books.coord.ledger.tip()) == (inode, tip)
    here.progress()


def test_a_lock_that_a_living_git_holds_is_respected(repo: Path) -> None:
    with meanwhile(repo, "send", tiers.seed()) as here:
        for _ in range(tiers.rounds(1, 20)):
            respected(here)
        here.finish()


def test_an_index_that_is_touched_is_seen(repo: Path) -> None:
    with meanwhile(repo, "send", 1, "index touched") as here, pytest.raises(AssertionError, match="touched the owner"):
        here.operation(Owner.pack_refs)


def test_a_living_gits_lock_that_is_taken_away_is_seen(repo: Path) -> None:
    with meanwhile(repo, "send", 1, "live locks removed") as here, pytest.raises(AssertionError, match="a living git"):
        respected(here)


@pytest.mark.parametrize("role", ["commit", "land"])
def test_whoever_is_overtaken_by_a_commit_loses_it_not(repo: Path, role: str) -> None:
    seed = tiers.seed()
    with ground(repo, role, seed) as here:
        gits = here.count("fork_exec")
        step = min(tiers.rounds(3, 1), gits)
        for point in range(1 + seed % step, gits + 1, step):
            here.overtake(point)
        assert here.by_hand
        here.books.sound()


@pytest.mark.parametrize(("mutant", "role"), [("ledger forced", "commit"), ("moved blindly", "land")])
def test_a_branch_moved_without_looking_is_seen(repo: Path, mutant: str, role: str) -> None:
    with ground(repo, role, 1, mutant) as here, pytest.raises(AssertionError, match="lost a commit"):
        for point in range(here.count("fork_exec"), 0, -1):
            here.overtake(point)
