"""Whether the clocks go evenly, noted beside the guards: a command lives too short to see them jump."""

import os
from contextlib import suppress
from datetime import UTC, datetime

from coord.service import clock
from coord.service.clock import Pace
from coord.service.coord import Coord
from coord.stores import oslock

_NOTE = "clocks"
_OFTEN_ENOUGH = 1.0
_ROUNDED = 0.001


def look(coord: Coord, *, keep: bool = False) -> Pace:
    """Read both clocks and compare them with the last look that was kept; KEEP this one, if it brings anything new.

    To keep a look is for who holds the guard of the leases. A note from another boot, or a
    damaged one, is not believed: then this is the first look.
    """
    last = _noted(coord)
    wall, monotonic = clock.read(coord.clock)
    if last is None or monotonic < last.monotonic - _ROUNDED:
        pace = Pace.at(wall, monotonic)
    else:
        pace = last.then(wall, monotonic, coord.config.watch.scan_every)
    if keep and (last is None or pace.until != last.until or not 0 <= monotonic - last.monotonic < _OFTEN_ENOUGH):
        _keep(coord, pace)
    return pace


def _noted(coord: Coord) -> Pace | None:
    try:
        with open(coord.private / _NOTE, encoding="ascii") as file:
            wall, monotonic, before, until, boot = file.readline().split()
        if boot != oslock.me().boot:
            return None
        return Pace(_moment(wall), float(monotonic), _moment(before), float(until))
    except (OSError, ValueError, OverflowError):
        return None


def _moment(milliseconds: str) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


def _keep(coord: Coord, pace: Pace) -> None:
    # In place and not synced, like the last token: what matters is gone with the boot.
    # Of one width, so that a shorter note leaves no end of a longer one.
    wall, before = (round(moment.timestamp() * 1000) for moment in (pace.wall, pace.before))
    text = f"{wall:020} {pace.monotonic:020.6f} {before:020} {pace.until:020.6f} {oslock.me().boot}\n"
    with suppress(OSError):  # a look that could not be kept costs a grace, not the command
        fd = os.open(coord.private / _NOTE, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            os.pwrite(fd, text.encode(), 0)
        finally:
            os.close(fd)
