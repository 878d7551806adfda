"""A repository in which workers are killed, healed by the next start, and held to what they said."""

import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accounts import Accounts, Said
from doomed import Warm, warmed
from roles import Plan
from support import eventually, git

from coord.service import mail, merges
from coord.service.command import Prose
from coord.service.coord import Coord

HEALED_WITHIN = 2.0
_BRANCHES = 300
_BLOCKED = 60.0


class Ground:
    """One warm interpreter for workers that die and one for those that do not; MUTANT is planted in the former."""

    role = "send"

    def __init__(self, repo: Path, warm: list[Warm], chance: random.Random, mutant: str = "") -> None:
        self.repo = repo
        self.doomed, self.other = warm
        self.chance = chance
        self.mutant = mutant
        self.books = Accounts(repo)
        self.coord = Coord.open(repo, who="frontend")
        self.said: Said = []
        self.deaths = 0
        self.prepare()
        began = time.monotonic()
        self.points = self.work()
        self.seconds = time.monotonic() - began
        assert self.points

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

    def round(self, point: int = 0) -> None:
        """Kill a worker before the POINT given; else before any, or by the clock, alone or with the gits it runs."""
        self.prepare()
        beside = not point and self.chance.random() < 0.5
        if beside:
            self.other.start(Plan(role="send", who="security", seed=self.chance.randrange(1 << 30)))
        family = not point and self.chance.random() < 0.5
        by_clock = not point and self.chance.random() < 0.3
        chosen = 0 if by_clock else point or self.chance.randint(1, self.points)
        self.doomed.start(self.plan(times=2, point=chosen, family=family, seed=1 if point else None))
        self.kill(family, after=self.chance.uniform(0, self.seconds) if by_clock else None)
        if beside:
            assert self.other.end().status == 0, "a bystander failed"
        self.heal()
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
        began = time.monotonic()
        self.work()
        took = time.monotonic() - began
        if took > HEALED_WITHIN:
            # The machine may be busy with other things: then what needs no healing takes long now, too.
            began = time.monotonic()
            self.work()
            limit = max(HEALED_WITHIN, 20 * (time.monotonic() - began))
            assert took < limit, f"the next start took {took:.2f} s, more than {limit:.2f} s"

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


class Reading(Ground):
    """Somebody reads and acknowledges mail."""

    role = "read"

    def prepare(self) -> None:
        sent = [mail.send(self.coord, ("backend",), Prose("work"))]
        sent.append(mail.send(self.coord, ("backend",), Prose("work"), ack="required"))
        self.said += (["sent", one.message.id, *one.delivered] for one in sent)

    def heal(self) -> None:
        self.prepare()  # a command commits when it has something to note
        super().heal()


class Committing(Reading):
    """A ledger writer commits what others noted."""

    role = "commit"


class Landing(Ground):
    """Requests are merged, into the branch that is checked out or into another; the other moves by hand as well."""

    role = "land"

    def __init__(self, repo: Path, warm: list[Warm], chance: random.Random, mutant: str = "") -> None:
        self.branches = iter(range(_BRANCHES))
        self.by_hand: list[str] = []
        base = git(repo, "rev-parse", "main")
        git(repo, "branch", "trunk", base)
        commits = (
            f"commit refs/heads/work/{number}\ncommitter Owner <owner@example.com> 1700000000 +0000\ndata 4\nwork\n"
            f"from {base}\nM 644 inline work/{number}\ndata 4\nwork\n"
            for number in range(_BRANCHES)
        )
        subprocess.run(["git", "fast-import", "--quiet"], cwd=repo, check=True, input="".join(commits), text=True)
        super().__init__(repo, warm, chance, mutant)

    def prepare(self) -> None:
        into = self.chance.choice(("main", "trunk"))
        asked = merges.request(self.coord, branch=f"work/{next(self.branches)}", into=into)
        self.said.append(["landed", asked.id])
        self.coord.settle()

    def work(self) -> int:
        deadline = time.monotonic() + _BLOCKED
        points = super().work()
        while merges.waiting(self.coord):  # while a git of the dead one is at work still
            assert time.monotonic() < deadline, "the landing is blocked"
            super().work()
        return points

    def heal(self) -> None:
        if self.chance.random() < 0.5:
            tip = git(self.repo, "rev-parse", "trunk")
            self.by_hand.append(git(self.repo, "commit-tree", "-p", tip, "-m", "by hand", "trunk^{tree}"))
            git(self.repo, "update-ref", "refs/heads/trunk", self.by_hand[-1], tip)
        super().heal()

    def audit(self) -> None:
        super().audit()
        self.books.audit_branches("main", "trunk")
        for commit in self.by_hand[-1:]:
            git(self.repo, "merge-base", "--is-ancestor", commit, "trunk")


class Watching(Landing):
    """The daemon commits, takes in what hands wrote, and merges."""

    role = "watch"

    def __init__(self, repo: Path, warm: list[Warm], chance: random.Random, mutant: str = "") -> None:
        self.dropped = 0
        super().__init__(repo, warm, chance, mutant)

    def prepare(self) -> None:
        if self.chance.random() < 0.3:
            super().prepare()
        self.drop()

    def drop(self) -> None:
        """Write a message by hand, at once whole or little by little, as people do."""
        self.dropped += 1
        begun = self.repo.parent / "begun"
        begun.write_text(f"written by hand: number {self.dropped}.\n")
        begun.rename(self.repo / f"inbox/security/note {self.dropped}.md")

    def kill(self, family: bool, after: float | None) -> None:
        self.drop()
        super().kill(family, self.chance.uniform(0, self.seconds) if after is None else after)

    def work(self) -> int:
        self.listen()
        said = len(self.said)
        self.doomed.start(self.plan())

        def watches() -> bool:
            self.listen()
            return any(what == "watch" for what, *_ in self.said[said:])

        eventually(watches, within=_BLOCKED, what="the daemon watches")
        eventually(self.is_done, within=_BLOCKED, what="the daemon's work")
        ended = self.doomed.end("term")
        assert ended.status == 0, f"the daemon ended with {ended.status}"
        return ended.points

    def is_done(self) -> bool:
        waiting = list(self.repo.glob("inbox/security/note *"))
        return not (waiting or self.coord.journal.size() or merges.waiting(self.coord))

    def audit(self) -> None:
        super().audit()
        texts = [path.read_text() for path in self.repo.glob("inbox/security/**/*.md")]
        for number in range(max(1, self.dropped - 2), self.dropped + 1):
            assert sum(f"written by hand: number {number}.\n" in text for text in texts) == 1, (
                f"note {number} is not there once"
            )


GROUNDS = {one.role: one for one in (Ground, Reading, Committing, Landing, Watching)}


@contextmanager
def ground(pristine: Path, role: str, seed: int, mutant: str = "") -> Iterator[Ground]:
    """Have a copy of a repository to torment ROLE in."""
    repo = pristine.with_name(f"farm-{seed}")
    shutil.copytree(pristine, repo, symlinks=True)
    with warmed(repo, "doomed", "other") as warm:
        yield GROUNDS[role](repo, warm, random.Random(seed), mutant)
    shutil.rmtree(repo)
