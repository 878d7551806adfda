"""What waits in the journal, read from a copy: reading the journal itself takes drained parts of it away."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    with _copied(coord, state=state) as journal:
        return journal.read(livefolders.EVERYTHING)


def size(coord: Coord) -> int:
    """Return how many bytes wait.

    Raises:
        Corrupt: the journal's state is damaged.
    """
    with _copied(coord) as journal:
        return journal.size()


def in_flight(coord: Coord) -> set[str]:
    """Return the keys of every event that may not be published and committed yet."""
    try:
        return livefolders.touched(read(coord))
    except Corrupt:
        return livefolders.touched(read(coord, state=False))


@contextmanager
def _copied(coord: Coord, *, state: bool = True) -> Iterator[Journal]:
    with tempfile.TemporaryDirectory(prefix="coord-") as folder:
        copy = Path(folder) / "journal"
        for left in reversed(range(_TRIES)):
            try:
                if (coord.private / "journal").is_dir():
                    shutil.copytree(coord.private / "journal", copy, dirs_exist_ok=True, ignore=_no_files)
                break
            except shutil.Error:  # a segment was drained and removed meanwhile
                shutil.rmtree(copy, ignore_errors=True)
                if not left:
                    raise
        if not state:
            (copy / STATE).unlink(missing_ok=True)
        yield Journal(copy)


def _no_files(folder: str, names: Sequence[str]) -> list[str]:
    """Return what in a journal's file's place is none: another check tells of it."""
    return [name for name in names if (path := Path(folder) / name).exists() and not path.is_file()]
