"""What dead processes left that says they live: the daemon's note, sections nobody left, tests that go on."""

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from coord.git import gate
from coord.model.errors import CoordError
from coord.model.records import Process
from coord.model.untrusted import several
from coord.service import watching
from coord.service.coord import Coord
from coord.service.doctor import guards
from coord.service.doctor.finding import Finding, counted, place
from coord.service.doctor.kept import Kept
from coord.stores import oslock
from coord.stores.base import LEDGER

_PATIENCE, _PAUSE = 5.0, 0.02


def daemon(coord: Coord) -> Iterator[Finding]:
    """Find a daemon that is noted as running and is dead."""
    note = coord.private / watching.IDENTITY
    try:
        alive = oslock.is_alive(Process(**json.loads(note.read_bytes())["process"]))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return
    except (OSError, ValueError, KeyError, TypeError, CoordError):
        alive = False
    if alive is False:
        yield Finding(
            code="daemon-dead",
            what="the daemon that is noted as running is dead",
            where=place(coord, note),
            why="nothing happens by itself: no merges, no expiry, no routing of mail written by hand",
            next="the note is put aside; then start a daemon: coord watch --detach",
            mend=partial(_forget, note),
        )


def sections(coord: Coord) -> Iterator[Finding]:
    """Find OS locks whose holder died inside the section: nobody has looked after what it had begun."""
    names = guards.abandoned(coord)
    if names:
        yield Finding(
            code="stale-lock",
            what=f"{counted(names, 'section')} entered by a process that died inside",
            where=several(names),
            why="what they had begun may be half done until somebody enters there next",
            next="each is entered, what was begun is finished, and it is left in good order",
            mend=partial(_enter, coord, names),
        )


def gates(coord: Coord) -> Iterator[Finding]:
    """Find merge tests that still run though the daemon that waited for them is dead."""
    found = gate.leftovers(coord.private / "gates")
    if found:
        yield Finding(
            code="test-left-running",
            what=f"{counted(found, 'merge test')} still running, with nobody waiting for it",
            where=several(f"process {one.pid}" for one in found),
            why="they keep the machine busy and their worktree taken",
            next="they are ended; the merge is tested again when its turn comes",
            mend=partial(_end, coord, found),
        )


def _enter(coord: Coord, names: list[str], _kept: Kept) -> None:
    if LEDGER in names:
        with coord.store.exclusive(LEDGER):
            coord.store.sweep()
        coord.committer.settle()
    for name in names:
        if name != LEDGER:
            with coord.exclusive(name):
                continue


def _forget(note: Path, kept: Kept) -> None:
    kept.move(note)


def _end(coord: Coord, found: tuple[gate.Leftover, ...], _kept: Kept) -> None:
    for one in found:
        one.kill()
    deadline = time.monotonic() + _PATIENCE
    while gate.leftovers(coord.private / "gates") and time.monotonic() < deadline:
        time.sleep(_PAUSE)
