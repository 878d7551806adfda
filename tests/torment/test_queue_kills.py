"""The daemon killed at every step of a merge, by name: the next one goes on as if nothing had been."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import tiers
from doomed import Warm, warmed
from leftovers import leftovers
from queueing import branch, configure
from roles import Plan
from support import at_rest, eventually, git

from coord.git import history
from coord.git.slot import Slot
from coord.model.records import MergeRequest
from coord.service import mail, merges, verify
from coord.service.coord import Coord

_PATIENCE = 60.0
_PLANTED_TIDY = 10.0  # what nobody ever sweeps is not waited for as long
_POINTS = "write rename replace unlink mkdir rmdir flock fork_exec fsync ftruncate"
GATE = "test: '! ls bad* 2>/dev/null'"
WORK = ("good", "bad", "fine")
PARTS = tiers.rounds(1, 8)
SAMPLE = 6
ROUNDS = tiers.rounds(1, 20)


class Ground:
    """A repository whose daemons die; each round brings three requests, of which the second fails its test."""

    def __init__(self, repo: Path, warm: Warm, mutant: str = "") -> None:
        self.repo, self.warm, self.mutant = repo, warm, mutant
        self.tidy_within = _PLANTED_TIDY if mutant else _PATIENCE
        configure(repo, GATE)
        self.coord = Coord.open(repo, who="backend")
        self.refs = set(self._refs())
        self.number = 0
        self.deaths = 0
        self.before: list[str] = []
        self.asked: list[MergeRequest] = []
        self.ledger = self.coord.ledger.tip()

    def prepare(self) -> None:
        self.number += 1
        # Batches would shrink from failure to failure, until nothing is stacked any more.
        (self.repo / ".git/coord/batches.json").unlink(missing_ok=True)
        names = [f"{word}{self.number}" for word in WORK]
        self.before = self._files()
        self.tip = git(self.repo, "rev-parse", "main")
        for name in names:
            branch(self.repo, f"work/{name}", {name: f"{name}\n"})
        self.asked = [merges.request(self.coord, branch=f"work/{name}") for name in names]
        self.coord.settle()
        self.ledger = self.coord.ledger.tip()

    def steps(self) -> list[str]:
        """Let a daemon merge undisturbed, and return the steps that it took."""
        self.prepare()
        self.watch(step="none of them")
        self.audit()
        return self.warm.steps()

    def round(self, step: str, *, family: bool) -> bool:
        """Kill a daemon, with all that it runs or alone, before a step; let the next one heal that.

        Returns whether it died: a step that comes often in one run may come less often in another.
        """
        self.prepare()
        self._start(step, family=family)
        eventually(lambda: self._is_done() or not self._lives(), within=_PATIENCE, what="death")
        ended = self.warm.end("term")
        assert ended.status == 0 or ended.killed, f"the daemon ended with {ended.status}"
        self.deaths += ended.killed
        self.assert_before_or_after()
        self.watch()
        self.audit()
        return ended.killed

    def watch(self, step: str = "") -> None:
        """Be watched by a daemon until it has merged and tidied up."""
        self._start(step)
        eventually(self._is_done, within=_PATIENCE, what="the end of all merges")
        left = f"nothing left but {leftovers(self.repo)}"
        eventually(lambda: not leftovers(self.repo), within=self.tidy_within, what=left)
        ended = self.warm.end("term")
        assert ended.status == 0, f"the daemon ended with {ended.status}"

    def _start(self, step: str, *, family: bool = False) -> None:
        self.warm.heard()
        self.warm.start(Plan(role="watch", only=_POINTS, step=step, family=family, mutant=self.mutant))
        said: list[list[str]] = []

        def watches() -> bool:
            said.extend(self.warm.heard())
            return any(what == "watch" for what, *_ in said)

        eventually(watches, within=_PATIENCE, what="the daemon watches")

    def _lives(self) -> bool:
        return not self.warm.has_ended()

    def _is_done(self) -> bool:
        return not (merges.waiting(self.coord) or self.coord.journal.size())

    def _files(self) -> list[str]:
        return git(self.repo, "ls-tree", "--name-only", "main").splitlines()

    def _refs(self) -> list[str]:
        return git(self.repo, "for-each-ref", "--format=%(refname)").splitlines()

    def assert_before_or_after(self) -> None:
        """Prove that the base is what it was, or holds some of what may land, in its order, and nothing else."""
        good, _, fine = (f"{word}{self.number}" for word in WORK)
        allowed = [sorted([*self.before, *more]) for more in ((), (good,), (good, fine))]
        assert sorted(self._files()) in allowed, f"between: {set(self._files()) - set(self.before)}"

    def audit(self) -> None:
        """Prove that what is good has landed once, that what is bad went back once, and that nothing is left."""
        good, bad, fine = self.asked
        trailer = "--format=%(trailers:key=Coord-Merge,valueonly,separator=)"
        merged = Counter(git(self.repo, "log", "--first-parent", trailer, f"{self.tip}..main").split())
        assert merged == {good.id: 1, fine.id: 1}, f"merged: {merged}"
        assert set(self._files()) == {*self.before, *(f"{word}{self.number}" for word in ("good", "fine"))}
        tip = self.coord.ledger.tip()
        assert tip is not None
        entries = list(history.entries(self.coord.git, since=self.ledger, until=tip))
        ends = Counter(
            (entry.kind, *entry.cause) for entry in entries if entry.kind in ("merge.landed", "merge.failed")
        )
        assert ends == {("merge.landed", good.id): 1, ("merge.landed", fine.id): 1, ("merge.failed", bad.id): 1}, ends
        told = Counter(item.message.subject.split(":")[0] for item in mail.read(self.coord, limit=1000).items)
        assert told == {"merged": 2, "not merged": 1}, f"the author was told {told}"
        assert not git(self.repo, "status", "--porcelain"), "the owner's checkout did not come along"
        assert set(self._refs()) == self.refs | {
            f"refs/heads/work/{word}{n + 1}" for word in WORK for n in range(self.number)
        }
        assert len(git(self.repo, "worktree", "list").splitlines()) == 1
        self._no_test_runs()
        verify.verify(self.coord)

    def _no_test_runs(self) -> None:
        for place in (self.repo / ".git/coord/gates").glob("*"):
            slot = Slot.take(place)
            assert slot is not None, "a test is still running"
            slot.leave()


@contextmanager
def farm(repo: Path, mutant: str = "") -> Iterator[Ground]:
    with warmed(repo, "doomed") as (warm,):
        yield Ground(repo, warm, mutant)
    at_rest(repo)


def by_name(steps: Sequence[str]) -> Counter[str]:
    """Return how often each step was taken."""
    return Counter(step.rpartition("#")[0] for step in steps)


@pytest.mark.timeout(0 if tiers.LONG else 600)
@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_any_step_of_a_merge_it_is_finished_by_the_next_daemon(repo: Path, part: int) -> None:
    chance = random.Random(tiers.seed() + part)
    with farm(repo) as ground:
        steps = by_name(ground.steps())
        assert len(steps) > 80 and any("git update-ref" in name for name in steps), sorted(steps)
        always = steps & by_name(ground.steps())  # the others come as time has it
        names = sorted(steps)[part::PARTS] if tiers.LONG else chance.sample(sorted(always), SAMPLE)
        rounds, lived = [name for name in names for _ in range(ROUNDS)], list[str]()
        for name in rounds:
            family = chance.random() < 0.5
            for step in (f"{name}#{chance.randint(1, always[name] or 1)}", f"{name}#1"):
                try:
                    if ground.round(step, family=family):
                        break
                except AssertionError as fault:
                    fault.add_note(f"killed before {step}")
                    raise
            else:
                lived.append(name)
        print(f"{ground.deaths} deaths in {len(rounds)} rounds before {len(names)} of {len(steps)} steps")
        print(f"not come to: {sorted(set(lived))}")
        assert ground.deaths > sum(name in always for name in rounds) * 0.8


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("mutant", "where", "complaint"),
    [
        ("merged again", "landed", "^merged: "),
        ("removed before noted", "landed", "merge.landed"),
        ("never swept", "moved", "nothing left but"),
    ],
)
def test_a_planted_fault_is_found(repo: Path, mutant: str, where: str, complaint: str) -> None:
    with farm(repo, mutant) as ground:
        names = [step for step in ground.steps() if f"telling.{where}" in step]
        with pytest.raises(AssertionError, match=complaint):
            for step in names:
                ground.round(step, family=False)
