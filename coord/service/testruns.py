"""What tests said of branches that were to be merged: each run with its log, and which steps are flaky."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

from coord.git import gate
from coord.model.times import parse_time
from coord.model.verdicts import Run, flaky
from coord.service import merges
from coord.service.command import command, shown
from coord.service.coord import Coord
from coord.service.merging.verdicts import Kept


@dataclass(frozen=True, slots=True)
class Tested:
    """One run: what it tested (a number of requests upon a branch, 0 for the branch alone), and how it ended."""

    at: datetime
    into: str
    members: tuple[str, ...]
    batch: str
    commit: str
    passed: bool
    step: str
    what: str
    took: timedelta
    log: str


@dataclass(frozen=True, slots=True)
class Flake:
    """A step that failed on trees which passed at another time, and how often."""

    step: str
    times: int


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs of the test, the oldest first; `tail` is the end of the last one's log where one request was asked for."""

    runs: tuple[Tested, ...]
    flaky: tuple[Flake, ...]
    tail: str = ""


@command("merge log", example="coord merge log 01KAJ3X5")
def log(
    coord: Coord,
    which: Annotated[str, "a request: its id, or the id's beginning or end; default: all"] = "",
    *,
    limit: Annotated[int, "show at most this many, the newest"] = 20,
) -> Runs:
    """Show the runs of the test: what was tested together, how it ended, and where its log is.

    With a request, those that it was part of, and the end of the last log.
    """
    most = shown(limit)
    every = Kept(coord.private / "verdicts.jsonl").read().runs
    wanted = merges.show(coord, which).id if which else ""
    runs = [run for run in every if not wanted or wanted in run.members]
    steps = tuple(Flake(step, times) for step, times in flaky(every).most_common())
    tail = gate.tail(Path(runs[-1].log)) if wanted and runs and runs[-1].log else ""
    return Runs(tuple(map(_tested, runs[-most:])), steps, tail)


def _tested(run: Run) -> Tested:
    return Tested(
        at=parse_time(run.at),
        into=run.into,
        members=run.members,
        batch=run.batch,
        commit=run.commit,
        passed=run.passed,
        step=run.step,
        what=run.what,
        took=timedelta(seconds=run.seconds),
        log=run.log,
    )
