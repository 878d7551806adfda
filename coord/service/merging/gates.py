"""The gates at work: what is wanted is started, what tells nothing more is ended, verdicts are kept."""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from coord.git import gate
from coord.git.gate import Result, Running
from coord.model.times import format_duration, format_time
from coord.model.values import frozen
from coord.model.verdicts import Run, Verdicts
from coord.service.coord import Coord
from coord.service.merging.verdicts import Kept


@frozen
class Wanted:
    """A commit to be tested, and whose batch asks for that."""

    commit: str
    tree: str
    into: str
    batch: str
    members: tuple[str, ...]


@dataclass(slots=True)
class _Started:
    wanted: Wanted
    gate: str
    running: Running


class Gates:
    """The gates that this process runs."""

    def __init__(self, coord: Coord) -> None:
        self.coord = coord
        self.folder = coord.private / "gates"
        self._kept = Kept(coord.private / "verdicts.jsonl")
        self._at_work: list[_Started] = []
        self._ending: list[Running] = []
        self._looked = False
        self.ended = 0

    @property
    def gate(self) -> str:
        """The name of the gate as it is configured now, by its content; "" where there is none."""
        steps = self.coord.config.merge.gate
        if not steps:
            return ""
        facts = [[one.name, one.run, one.timeout.total_seconds(), one.cwd, sorted(one.env)] for one in steps]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]

    @property
    def busy(self) -> bool:
        """Whether any gate is at work."""
        return bool(self._at_work or self._ending)

    def verdicts(self) -> Verdicts:
        """Return all that is known, after taking in what has ended."""
        self.collect()
        return self._kept.read()

    def collect(self) -> bool:
        """Note the verdicts of gates that ended; True where there were any."""
        self._ending = [running for running in self._ending if running.poll() is None]
        ended = [(one, result) for one in self._at_work if (result := one.running.poll()) is not None]
        for one, result in ended:
            self._at_work.remove(one)
            self._kept.add(self._judged(one, result))
            self.ended += 1
        return bool(ended)

    def at_work(self, into: str) -> list[Wanted]:
        """Return what is being tested for a branch."""
        return [one.wanted for one in self._at_work if one.wanted.into == into]

    @property
    def room(self) -> int:
        """How many more gates may be started now."""
        return max(self.coord.config.merge.parallel - len(self._at_work), 0)

    def want(self, into: str, wanted: Sequence[Wanted]) -> bool:
        """Have exactly these tested for a branch, as far as there is room; True where a test was begun."""
        self._end_leftovers()
        trees = {one.tree for one in wanted}
        for one in list(self._at_work):
            if one.wanted.into == into and (one.wanted.tree not in trees or one.gate != self.gate):
                self._end(one)
        under_way = {one.wanted.tree for one in self._at_work if one.wanted.into == into}
        begun = False
        for one_more in wanted:
            if one_more.tree not in under_way and self.room:
                self._start(one_more)
                under_way.add(one_more.tree)
                begun = True
        return begun

    def keep(self, batches: Collection[str]) -> None:
        """End the gates of all other batches."""
        for one in list(self._at_work):
            if one.wanted.batch not in batches:
                self._end(one)

    def stop(self) -> None:
        """End all gates; what they tested is tested again when a daemon runs again."""
        for one in [*self._at_work]:
            self._end(one)
        while self._ending:
            self._ending.pop().stop()

    def _start(self, wanted: Wanted) -> None:
        run = self.coord.new_id()
        steps = [
            gate.Step(one.name, one.run, one.timeout, log_of(self.coord, run, one.name), dict(one.env), one.cwd)
            for one in self.coord.config.merge.gate
        ]
        running = gate.start(self.coord.git, wanted.commit, steps, folder=self.folder)
        self._at_work.append(_Started(wanted, self.gate, running))

    def _end(self, one: _Started) -> None:
        self._at_work.remove(one)
        one.running.end()
        self._ending.append(one.running)

    def _end_leftovers(self) -> None:
        """A daemon before this one may have started tests and be gone; their verdicts died with it."""
        if not self._looked:
            for leftover in gate.leftovers(self.folder):
                leftover.kill()
            self._looked = True

    def _judged(self, one: _Started, result: Result) -> Run:
        wanted = one.wanted
        return Run(
            tree=wanted.tree,
            gate=one.gate,
            passed=result.passed,
            step=result.step.name,
            what=_words(result),
            commit=wanted.commit,
            seconds=round(result.seconds, 3),
            at=format_time(self.coord.now()),
            log=str(result.step.log),
            batch=wanted.batch,
            into=wanted.into,
            members=wanted.members,
        )


_NOT_RUN = "could not be run: no such command, or no right to run it; see `merge.test`"


def _words(result: Result) -> str:
    """Say how a gate ended."""
    after = f"after {format_duration(timedelta(seconds=max(1, round(result.seconds))))}"
    words = {
        "timeout": f"took too long and was ended {after}",
        "flood": f"wrote more than a gigabyte and was ended {after}",
        "error": _NOT_RUN if result.status is not None else "was ended from outside, or could not be begun",
        "passed": f"passed {after}",
    }
    return words.get(result.reason, f"failed with status {result.status} {after}")


def log_of(coord: Coord, run: str, step: str) -> Path:
    """Return where the output of a step goes in one run of the gate."""
    return coord.private / "logs" / f"gate-{run}-{step}.log"
