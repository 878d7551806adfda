"""A repository in which workers are killed, healed by the next start, and held to what they said."""

import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from accounts import Accounts, Said
from doomed import Warm
from leftovers import leftovers
from owner import LEDGER, commit_by_hand, is_in
from roles import Plan

from coord.service.coord import Coord

HEALED_WITHIN = 2.0
_BUSY = 5  # so many times as long may healing take as the same work without, where that is slow
_TIDY_WITHIN = 10.0
# The worker's seed where its points are gone through in turn, so that they are the same each time.
_FIXED = 1


class Ground:
    """One warm interpreter for workers that die and one for those that do not; MUTANT is planted in the former."""

    role = "send"
    ref = LEDGER  # what others may move, too

    def __init__(self, repo: Path, warm: list[Warm], chance: random.Random, mutant: str = "") -> None:
        self.repo = repo
        self.doomed, self.other = warm
        self.chance = chance
        self.mutant = mutant
        self.books = Accounts(repo)
        self.coord = Coord.open(repo, who="frontend")
        self.said: Said = []
        self.by_hand: list[str] = []
        self.deaths = 0
        self.fixed = False
        self.prepare()
        began = time.monotonic()
        self.points = self.work()
        self.seconds = time.monotonic() - began
        assert self.points, "nothing was done"

    def prepare(self) -> None:
        """Make what there is to do, by a process that lives on."""

    def work(self) -> int:
        """Let a worker do all there is to do, undisturbed; return how many points that had."""
        ended = self.doomed.run(self.plan())
        assert ended.status == 0, f"{self.role} ended with {ended.status}"
        return ended.points

    def plan(self, *, seed: int | None = None, **more: Any) -> Plan:
        """Plan a worker; its SEED decides what exactly it does."""
        seed = self.chance.randrange(1 << 30) if seed is None else seed
        return Plan(role=self.role, who="backend", mutant=self.mutant, seed=seed, **more)

    def count(self, only: str) -> int:
        """Tell how many points of one name there are in undisturbed work, which is always alike from now on."""
        self.fixed = True
        self.prepare()
        ended = self.doomed.run(self.plan(only=only, seed=_FIXED))
        assert ended.status == 0, f"{self.role} ended with {ended.status}"
        return ended.points

    def round(self, point: int = 0, only: str = "") -> None:
        """Kill a worker before the POINT given; else before any, or by the clock, alone or with the gits it runs."""
        self.prepare()
        beside = not point and self.chance.random() < 0.5
        if beside:
            self.other.start(Plan(role="send", who="security", seed=self.chance.randrange(1 << 30)))
        family = not point and self.chance.random() < 0.5
        by_clock = not point and self.chance.random() < 0.3
        chosen = 0 if by_clock else point or self.chance.randint(1, self.points)
        seed = _FIXED if point else None
        self.doomed.start(self.plan(times=1 if point else 2, point=chosen, only=only, family=family, seed=seed))
        self.kill(family, after=self.chance.uniform(0, self.seconds) if by_clock else None)
        if beside:
            assert self.other.end().status == 0, "a bystander failed"
        self.heal()
        self.audit()

    def overtake(self, point: int) -> None:
        """Stop a worker before it starts its git number POINT, commit by hand, and let it go on."""
        self.prepare()
        ended = self.doomed.run(self.plan(point=point, only="fork_exec", deed="stop", seed=_FIXED))
        if ended.stopped:
            self.by_hand.append(commit_by_hand(self.repo, self.ref))
            ended = self.doomed.end("on")
        assert ended.status == 0, f"{self.role} ended with {ended.status}"
        self.work()
        self.audit()

    def kill(self, family: bool, after: float | None) -> None:
        """Wait until the worker died by itself, or kill it AFTER so many seconds."""
        if after is not None:
            time.sleep(after)
        ended = self.doomed.end("" if after is None else "slaughter" if family else "kill")
        assert ended.status == 0 or ended.killed, f"{self.role} ended with {ended.status}"
        self.deaths += ended.killed

    def heal(self) -> None:
        """Start the worker again and let it do its work, in time."""
        took = self.timed()
        if took > HEALED_WITHIN:
            # The machine may be busy with other things: then what needs no healing takes long now, too.
            limit = max(HEALED_WITHIN, *(_BUSY * self.calm() for _ in range(3)))
            assert took < limit, f"the next start took {took:.2f} s, more than {limit:.2f} s"

    def calm(self) -> float:
        """Tell how many seconds work of the same kind takes that nobody disturbed."""
        self.prepare()
        return self.timed()

    def timed(self) -> float:
        """Tell how many seconds the work takes."""
        began = time.monotonic()
        self.work()
        return time.monotonic() - began

    def tidy(self, *, within: float = _TIDY_WITHIN) -> None:
        """Let a daemon look at everything once, and prove that nothing is left of the dead."""
        self.doomed.start(replace(self.plan(), role="watch"))
        deadline = time.monotonic() + within
        while (left := leftovers(self.repo)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not left, f"nobody tidied up {left}"
        self.doomed.end("term")

    def listen(self) -> Said:
        """Return what workers said since the last time, and keep it for the audit."""
        heard = [*self.doomed.heard(), *self.other.heard()]
        self.said += heard
        return heard

    def audit(self) -> None:
        """Hold all that was said against files and ledger."""
        self.listen()
        said, self.said = self.said, []
        self.books.audit(said)
        for commit in self.by_hand[-1:]:
            assert is_in(self.repo, commit, self.ref), f"{self.ref} lost a commit that was made by hand"
