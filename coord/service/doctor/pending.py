"""What waits in the journal, read from a copy: reading the journal itself takes drained parts of it away."""

import shutil
import tempfile
from pathlib import Path

from coord.model.errors import Corrupt
from coord.service import livefolders
from coord.service.coord import Coord
from coord.stores.journal import Journal, Pending

_TRIES = 3
STATE = "state.json"


def read(coord: Coord, *, state: bool = True) -> Pending:
    """Return what waits, without STATE from the beginning of what is there.

    Raises:
        Corrupt: the journal's state is damaged, or an event is in a later version's format.
    """
    with tempfile.TemporaryDirectory(prefix="coord-") as folder:
        copy = Path(folder) / "journal"
        for left in reversed(range(_TRIES)):
            try:
                if (coord.private / "journal").is_dir():
                    shutil.copytree(coord.private / "journal", copy, dirs_exist_ok=True)
                break
            except shutil.Error:  # a segment was drained and removed meanwhile
                shutil.rmtree(copy, ignore_errors=True)
                if not left:
                    raise
        if not state:
            (copy / STATE).unlink(missing_ok=True)
        return Journal(copy).read(livefolders.EVERYTHING)


def in_flight(coord: Coord) -> set[str]:
    """Return the keys of every event that may not be published and committed yet."""
    try:
        return livefolders.touched(read(coord))
    except Corrupt:
        return livefolders.touched(read(coord, state=False))
