"""Plays of a merge queue: random branches, leases, gates, outside commits and deaths, each act held against an oracle.

One act follows the other, and a gate waits while there is a file `hold`, so that a seed brings the same play again.
"""

import os
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import psutil
import queueoracle
from doomed import Ended, Warm
from queueground import Ground, Place
from queuejudge import Judge
from queueoracle import EVERYTHING, SHARED, SLOTS, Base, Changes, Grant, Oracle, Step, Wish
from roles import Plan
from support import eventually, git

from coord.model.errors import CoordError
from coord.model.records import MergeRequest, Priority
from coord.service import locks, merges
from coord.service.coord import Coord
from coord.service.merging.landing import Landing

AGENTS = ("backend", "frontend", "security")
PRIORITIES: tuple[Priority, ...] = ("low", "normal", "normal", "high", "urgent")
PATIENCE = 60.0
_FAVOURED = 60
_REPRODUCIBLE = "write rename replace unlink mkdir flock fork_exec"


class Play:
    """One repository with a queue, and its oracle; every act is a method, drawn by `step`."""

    def __init__(self, home: Path, warm: Warm, seed: str, favoured: Collection[str] = (), mutant: str = "") -> None:
        self.home, self.warm, self.mutant = home, warm, mutant
        self.chance = Random(seed)
        self.weights = [self._weight(act.__name__.strip("_"), weight, favoured) for act, weight in self.acts]
        self.ground = Ground.drawn(self.chance, tested=bool(favoured or mutant))
        if "approve" in favoured:
            self.ground = replace(self.ground, fencing="review")
        self.place = Place(home, self.ground)
        self.hold = self.place.hold
        self.story = [f"{self.ground}"]
        self.count = 0
        self.dirty = False
        self.branches: dict[str, tuple[Step, ...]] = {}
        self.begun: dict[str, queueoracle.Content] = {}
        self.coords = {who: Coord.open(home, who=who) for who in (*AGENTS, "owner")}
        self.owner = self.coords["owner"]
        self.landing = Landing(self.owner)
        self.oracle = Oracle([Base(git(home, "rev-parse", self.ground.into))], fencing=self.ground.fencing)
        self.judge = Judge(self.owner, self.ground.into, self.oracle, self.place.log if self.ground.gated else None)

    @staticmethod
    def _weight(act: str, weight: int, favoured: Collection[str]) -> int:
        """Return how often an act comes; no fault is planted in other processes, which are left out where some are."""
        if act in favoured:
            return _FAVOURED
        return 0 if favoured and act in ("die", "race") else weight

    def step(self) -> None:
        """Do one act, and hold what came of it against the oracle."""
        (act,) = self.chance.choices([act for act, _ in self.acts], self.weights)
        self.tell(act.__name__.strip("_"))
        act(self)
        self.judge.look(str(self.place.version))

    def tell(self, words: str) -> None:
        self.story.append(words)

    # ---- branches and requests ----

    def _changes(self, content: queueoracle.Content) -> Changes:
        """Draw what a commit changes: slots of shared files, files of its own, good ones, bad ones, and halves."""
        self.count += 1
        value = f"{self.count} good"
        places = [f"own/{self.count}"]
        kind = self.chance.random()
        if kind < 0.1:
            value = f"{self.count} bad"
        elif kind < 0.3:
            side = self.chance.choice(("left", "right"))
            places = [f"own/{side}.{self.chance.randrange(2)}"]
        elif kind < 0.75:
            slots = [f"{path}#{slot}" for path in SHARED for slot in range(SLOTS)]
            places += self.chance.sample(slots, self.chance.randint(1, 2))
        changes = {place: (content.get(place, ""), value) for place in places}
        own = [place for place in content if place.startswith("own/")]
        if own and self.chance.random() < 0.1:
            gone = self.chance.choice(own)
            changes.setdefault(gone, (content[gone], ""))
        return changes

    def _tokens(self, agent: str, changes: Changes) -> tuple[int, ...]:
        """Return the tokens that an agent's guard would note: the last lease that it was granted on each path."""
        paths = {queueoracle.path_of(place) for place in changes}
        own = [
            [grant.token for grant in self.oracle.grants if grant.holder == agent and grant.covers(path)]
            for path in paths
        ]
        found = {tokens[-1] for tokens in own if tokens}
        if self.chance.random() < 0.1:
            found = {10_000 + self.count}  # a number that no lease bears
        return tuple(sorted(found))

    def _commit(self, ref: str, base: str, content: queueoracle.Content, agent: str, changes: Changes) -> Step:
        """Commit changes upon a commit that holds CONTENT, without a checkout."""
        tokens = self._tokens(agent, changes) if agent else ()
        trailers = [*(f"Coord-Lease: {token}" for token in tokens), *([f"Coord-Agent: {agent}"] if agent else [])]
        message = "\n".join([f"change {self.count}", "", *trailers, ""])
        texts = queueoracle.files(queueoracle.applied(content, changes))
        # Written long ago, so that no lease that its author had decides what it was made under; committed now, since
        # git tells what a branch has by when it was committed.
        who = "Owner <owner@example.com>"
        lines = [f"commit {ref}", "mark :1", f"author {who} 1700000000 +0000"]
        lines += [f"committer {who} {int(time.time())} +0000"]
        lines += [f"data {len(message.encode())}", message, f"from {base}"]
        for path in sorted({queueoracle.path_of(place) for place in changes}):
            text = texts.get(path)
            lines += [f"D {path}"] if text is None else [f"M 644 inline {path}", f"data {len(text)}", text]
        stream = "\n".join([*lines, "", "get-mark :1", ""])
        words = ["git", "fast-import", "--quiet", "--force"]
        done = subprocess.run(words, cwd=self.home, check=True, input=stream, text=True, capture_output=True)
        return Step(done.stdout.strip(), agent, changes, tokens)

    def _branch(self) -> None:
        """Somebody commits on a new branch, from the base as it is or was, or goes on with one; and asks for it."""
        agent = self.chance.choice(AGENTS)
        mine = [name for name in self.branches if name.startswith(agent)]
        if mine and self.chance.random() < 0.25:
            name = self.chance.choice(mine)
            steps = self.branches[name]
            base, content = steps[-1].commit, dict(self._seen(name))
        else:
            name, steps = f"{agent}/{self.count}", ()
            seen = self.oracle.base if self.chance.random() < 0.6 else self.chance.choice(self.oracle.past[-4:])
            base, content = seen.commit, seen.content
            self.begun[name] = content
        made = self._commit(f"refs/heads/{name}", base, content, agent, self._changes(content))
        self.branches[name] = (*steps, made)
        self._ask(agent, name)

    def _seen(self, name: str) -> queueoracle.Content:
        content = self.begun[name]
        for step in self.branches[name]:
            content = queueoracle.applied(content, step.changes)
        return content

    def _ask(self, agent: str, name: str) -> None:
        queued = list(self.judge.queue())
        after = self.chance.sample(queued, 1) if queued and self.chance.random() < 0.2 else []
        priority = self.chance.choice(PRIORITIES)
        replaced = [one.id for one in self.judge.queue().values() if (one.branch, one.state) == (name, "queued")]
        try:
            made = merges.request(
                self.coords[agent],
                branch=name,
                into=self.ground.into,
                priority=priority,
                after=tuple(after),
            )
        except CoordError as fault:
            self.tell(f"  refused: {fault.message}")
            return
        self._asked(made, replaced)

    def _asked(self, made: MergeRequest, replaced: Sequence[str]) -> None:
        self.tell(f"  {made.id} {made.branch} {made.priority} after {made.after}: {self.branches[made.branch][-1]}")
        steps = self.branches[made.branch]
        self.oracle.wishes[made.id] = Wish(made.id, made.branch, made.agent, steps, made.after)
        for old in replaced:
            self.oracle.ended.setdefault(old, "replaced")
            self.oracle.replaces(old, made.id)

    def _retry(self) -> None:
        went = [name for name, kind in self.oracle.ended.items() if kind in ("merge.failed", "merge.conflict")]
        if not went:
            return
        old = self.oracle.wishes[self.chance.choice(went)]
        replaced = [one.id for one in self.judge.queue().values() if (one.branch, one.state) == (old.branch, "queued")]
        made = merges.retry(self.coords[old.agent], old.id)
        self._asked(made, [*replaced, old.id])

    def _cancel(self) -> None:
        free = [one for one in self.judge.queue().values() if one.state != "landing"]
        if free:
            one = self.chance.choice(free)
            merges.cancel(self.coords[one.agent], one.id)
            self.oracle.ended[one.id] = "merge.cancelled"

    def _approve(self) -> None:
        """Holders who are asked for a look at a request take it, and agree to all that their leases overtook."""
        for one in list(self.judge.queue().values()):
            wish = self.oracle.wishes[one.id]
            stale = self.oracle.overtaken(wish, partial(self.judge.lacks, wish))
            if stale and self.chance.random() < 0.7:
                holder = stale[0].holder
                merges.approve(self.coords[holder], one.id)
                self.oracle.agreed |= {(one.id, holder, grant.token) for grant in stale if grant.holder == holder}
                self.tell(f"  {holder} agrees to {one.id}")

    # ---- leases ----

    def _lease(self) -> None:
        """Somebody gets a lease, where nobody has it, and keeps it for a while or gives it back at once."""
        agent = self.chance.choice(AGENTS)
        scope = self.chance.choice((*SHARED, EVERYTHING))
        try:
            (lock,) = locks.acquire(self.coords[agent], (scope,)).locks
        except CoordError:
            locks.release(self.coords[self.chance.choice(AGENTS)])
            return
        grant = Grant(scope, agent, lock.token)
        if grant not in self.oracle.grants:
            self.oracle.grants.append(grant)
        self.tell(f"  {grant}")
        if self.chance.random() < 0.6:
            locks.release(self.coords[agent])

    # ---- the base and the owner's checkout ----

    def _outside(self) -> None:
        """Somebody commits on the base by hand; what is bad in it already may be mended by that."""
        content = self.oracle.base.content
        changes = dict(self._changes(content))
        if queueoracle.is_red(content) and self.chance.random() < 0.6:
            changes = {place: (value, "") for place, value in content.items() if self._is_to_blame(place, value)}
        self._by_hand(changes)

    @staticmethod
    def _is_to_blame(place: str, value: str) -> bool:
        return ("bad" in value and "#" not in place) or place.startswith("own/right.")

    def _by_hand(self, changes: Changes) -> None:
        if self.dirty:
            return
        made = self._commit("refs/heads/by-hand", self.oracle.base.commit, self.oracle.base.content, "", changes)
        git(self.home, "branch", "-qD", "by-hand")
        ref = f"refs/heads/{self.ground.into}"
        at_home = self.ground.into == "main"
        words = (
            ("merge", "-q", "--ff-only", made.commit)
            if at_home
            else ("update-ref", ref, made.commit, self.oracle.base.commit)
        )
        done = subprocess.run(["git", *words], cwd=self.home, check=False, capture_output=True)
        if done.returncode == 0:  # else coord is at work there at this moment
            self.oracle.outside[made.commit] = changes
        self.tell(f"  {made}: {done.stderr!r}")

    def _soil(self) -> None:
        """The owner edits without committing, or takes that back."""
        place = self.home / SHARED[0]
        if self.ground.into == "main" and not self.dirty:
            self.dirty = True
            place.write_text(f"{place.read_text()}mine\n")
        else:
            self._clean()

    def _clean(self) -> None:
        if self.dirty:
            assert (self.home / SHARED[0]).read_text().endswith("mine\n"), "the owner's work is gone"
            git(self.home, "checkout", "-q", "--", SHARED[0])
            self.dirty = False

    # ---- the queue at work ----

    def _advance(self) -> None:
        """The queue goes a few steps on; where gates are not held, they come to their end meanwhile."""
        self.owner.reload()
        for _ in range(self.chance.randint(1, 6)):
            self._once()

    def _once(self) -> bool:
        """Take one step; tell whether anything came of it."""
        self.landing.tend()
        ended = self.landing.gates.ended
        moved = self.landing.advance(self.ground.into)
        if self.landing.running and not self.hold.exists():
            eventually(lambda: self.landing.gates.collect() or not self.landing.running, within=PATIENCE, what="a test")
        return moved or self.landing.gates.ended > ended

    def _hold(self) -> None:
        """Tests go on or stand still from now on."""
        if self.hold.exists():
            self.hold.unlink()
        else:
            self.hold.touch()

    def _other_test(self) -> None:
        """The owner changes the test."""
        self.place.version += 1
        self.place.configure()
        self.owner.reload()

    def _die(self) -> None:
        """One daemon ends, and the next dies at some point of its work, with what it runs or without."""
        with self._another() as begin:
            point = self.chance.randint(1, 90)
            ended = begin(point=point, only=_REPRODUCIBLE, family=self.chance.random() < 0.5)
            self.tell(f"  at point {point}: {'died' if ended.killed else 'lived'}")
            assert ended.status == 0 or ended.killed, f"the worker ended with {ended.status}"

    def _race(self) -> None:
        """Another daemon is stopped before some git that it starts, and the base moves meanwhile."""
        with self._another() as begin:
            ended = begin(point=self.chance.randint(1, 30), only="fork_exec", deed="stop")
            if ended.stopped:
                self._outside()
                ended = self.warm.end("on", within=PATIENCE)
            assert ended.status == 0, f"the worker ended with {ended.status}"

    @contextmanager
    def _another(self) -> Iterator[Callable[..., Ended]]:
        """Let another process be the daemon, and wait until nothing is left of it but tests."""
        self.landing.stop()
        self.owner.committer.settle()
        yield lambda **more: self.warm.run(Plan(role="merge", times=12, mutant=self.mutant, **more))
        eventually(lambda: not list(self._gits()), within=PATIENCE, what="the end of what it had begun")
        self.landing = Landing(self.owner)

    def _gits(self) -> Iterator[psutil.Process]:
        """Yield what a dead worker left running, but tests."""
        for process in psutil.process_iter():
            try:
                where = process.cwd()
                if (
                    where == os.fspath(self.home)
                    and process.name() == "git"
                    and process.status() != psutil.STATUS_ZOMBIE
                ):
                    yield process
            except (psutil.Error, OSError):
                continue

    def finish(self) -> None:
        """Take all obstacles away, let the queue come to rest, and prove that nothing is left undone or lying about."""
        self.tell("at the end")
        self.hold.unlink(missing_ok=True)
        self._clean()
        if queueoracle.is_red(self.oracle.base.content):
            self._by_hand(
                {one: (old, "") for one, old in self.oracle.base.content.items() if self._is_to_blame(one, old)}
            )
        deadline = time.monotonic() + PATIENCE
        while self._once():
            self.judge.look(str(self.place.version))
            assert time.monotonic() < deadline, "it never comes to rest"
        self.landing.stop()
        self.judge.look(str(self.place.version))
        self.judge.finish()

    acts: tuple[tuple[Callable[["Play"], None], int], ...] = (
        *((_branch, 30), (_advance, 34), (_lease, 12), (_outside, 7), (_hold, 6), (_retry, 4), (_cancel, 3)),
        *((_approve, 4), (_soil, 3), (_other_test, 2), (_die, 6), (_race, 3)),
    )
