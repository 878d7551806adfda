"""What tests said of branches that were to be merged: each run with its log, and which steps are flaky."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

from coord.git import gate, merge, remote
from coord.model import mailboxes
from coord.model.errors import Refused
from coord.model.times import parse_time
from coord.model.values import frozen
from coord.model.verdicts import Run, flaky
from coord.service import branches, merges
from coord.service.command import command, shown
from coord.service.coord import Coord
from coord.service.merging.verdicts import Kept
from coord.service.merging.waiting import GUARD


@frozen
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


@frozen
class Flake:
    """A step that failed on trees which passed at another time, and how often."""

    step: str
    times: int


@frozen
class Runs:
    """Runs of the test, the oldest first; `tail` is the end of the last one's log where one request was asked for."""

    runs: tuple[Tested, ...]
    flaky: tuple[Flake, ...]
    tail: str = ""


@frozen
class Retest:
    """A branch that is to be tested again, here or where it is pushed to, and how many runs count no longer."""

    branch: str
    commits: tuple[str, ...]
    forgotten: int


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


@command("merge retest", writes=True, example="coord merge retest")
def retest(
    coord: Coord, branch: Annotated[str, "the branch that requests are merged into; default: the base branch"] = ""
) -> Retest:
    """Have the branch that requests are merged into tested again: what was said of it counts no longer.

    For the owner and the coordinator, where a base was red for a reason that is no more: a
    service that was down, a full disk. The queue goes on by itself; `coord merge log` still
    shows the runs.

    Raises:
        Refused: you are neither.
    """
    who = coord.me()
    those = dict.fromkeys((coord.config.coordinator, mailboxes.OWNER))
    if who not in those:
        raise Refused(f"{who} cannot have the base tested again", hint=f"ask {' or '.join(those)}")
    name, here = branches.located(coord, branch or branches.base(coord))
    far = coord.git.tip(remote.ref(coord.config.merge.push, name)) if coord.config.merge.push else None
    commits = tuple(dict.fromkeys(filter(None, (here, far))))
    with coord.exclusive(GUARD):
        trees = merge.trees(coord.git, commits).values()
        kept = Kept(coord.private / "verdicts.jsonl")
        forgotten = sum(kept.forget(tree) for tree in dict.fromkeys(trees))
        if forgotten:
            coord.record(
                coord.event("merge.retest", f"{name} at {here[:10]} is to be tested again", agent=who, head=here)
            )
    return Retest(name, commits, forgotten)


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
