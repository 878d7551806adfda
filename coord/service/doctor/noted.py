"""The journal: what was begun and not finished, and what in it cannot be read."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial

from coord.model.errors import Corrupt
from coord.model.eventline import Noted
from coord.model.untrusted import several
from coord.service import watching
from coord.service.coord import Coord
from coord.service.doctor import pending
from coord.service.doctor.finding import Finding, counted, place
from coord.service.doctor.kept import Kept
from coord.stores import oslock
from coord.stores.base import LEDGER
from coord.stores.journal import FORMAT

_PATIENCE = timedelta(minutes=1)


def state(coord: Coord) -> Iterator[Finding]:
    """Find a state of the journal that cannot be read: nothing is committed then."""
    path = coord.private / "journal" / pending.STATE
    try:
        pending.read(coord)
    except Corrupt as fault:
        ours = not _is_newer(coord)
        yield Finding(
            code="journal-state",
            what=fault.message.rpartition("/journal/")[2],  # it was read from a copy elsewhere
            where=place(coord, path),
            why="nothing can be committed: what is sent waits here",
            next="it is put aside; what the ledger holds already is then found by its ids" if ours else fault.hint,
            mend=partial(_without_state, coord) if ours else None,
        )


def garbage(coord: Coord) -> Iterator[Finding]:
    """Find lines in the journal that are no events: torn by a crash, or scribbled over."""
    with suppress(Corrupt):
        found = pending.read(coord)
        torn = not found.events and not found.damaged and pending.size(coord) and _rests(coord)
        if found.damaged or torn:
            yield Finding(
                code="journal-garbage",
                what=f"{counted(range(found.damaged or 1), 'line')} that cannot be read",
                where=place(coord, coord.private / "journal"),
                why="an event that was acknowledged may have been there: its files are there all the same",
                next="the journal is copied aside, what is whole is committed, and the rest passed over",
                mend=partial(_pass_over, coord),
            )


def unfinished(coord: Coord) -> Iterator[Finding]:
    """Find events that were noted, and neither published nor committed by whoever should have."""
    with suppress(Corrupt):
        found = pending.read(coord)
        half = [noted for noted in found.unfinished if _is_stuck(coord, noted)]
        if half:
            yield Finding(
                code="half-done",
                what=f"{counted(half, 'action')} begun by a process that died before all files were in place",
                where=several(f"{noted.event.kind} ({noted.event.subject})" for noted in half),
                why="a message may be in one mailbox and not in the other",
                next="they are finished as they were noted",
                mend=partial(_settle, coord),
            )
        waiting = [noted for noted in found.events if noted not in half and _is_stuck(coord, noted)]
        if waiting:
            yield Finding(
                code="uncommitted",
                what=f"{counted(waiting, 'event')} noted and not in the ledger, with nobody about to commit",
                where=several(f"{noted.event.kind} ({noted.event.subject})" for noted in waiting),
                why="clones and the log do not have them, and they would go with .git/coord",
                next="they are committed",
                mend=partial(_settle, coord),
            )


def _is_stuck(coord: Coord, noted: Noted) -> bool:
    """Tell whether nobody will see to an event soon: its writer is dead and no daemon runs, or it is old."""
    alive = oslock.is_alive(noted.process)
    if alive:
        return False
    if alive is False and watching.find(coord).state != "running":
        return True
    return coord.now() - noted.event.at > _PATIENCE


def _is_newer(coord: Coord) -> bool:
    """Tell whether a later version of coord wrote the journal's state or its events."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        if json.loads((coord.private / "journal" / pending.STATE).read_bytes())["format"] > FORMAT:
            return True
    try:
        pending.read(coord, state=False)
    except Corrupt:
        return True
    return False


def _rests(coord: Coord) -> bool:
    """Tell whether nobody has written to the journal for a while, so that its last line is not on its way."""
    found = max((entry.stat().st_mtime for entry in os.scandir(coord.private / "journal")), default=0.0)
    return found < time.time() - _PATIENCE.total_seconds()


def _without_state(coord: Coord, kept: Kept) -> None:
    with coord.store.exclusive(LEDGER):
        kept.move(coord.private / "journal" / pending.STATE)
    coord.committer.settle()


def _pass_over(coord: Coord, kept: Kept) -> None:
    for segment in sorted((coord.private / "journal").glob("*.log")):
        kept.copy(segment)
    # A mark for nobody: with its line break the torn line is whole, and known for garbage.
    coord.journal.done("")
    coord.committer.settle()


def _settle(coord: Coord, _kept: Kept) -> None:
    coord.committer.settle()
