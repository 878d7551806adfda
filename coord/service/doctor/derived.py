"""The index, asked through a copy: opening the file itself would write beside it."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from coord.git import history
from coord.index import Index
from coord.model import keys
from coord.service.coord import Coord
from coord.service.doctor import patient
from coord.service.doctor.finding import Finding, place
from coord.service.doctor.kept import Kept

_PARTS = ("", "-wal", "-shm")
_TRIES = 3


def index(coord: Coord) -> Iterator[Finding]:
    """Find an index that is missing, cannot be read, or says otherwise than the ledger."""
    if os.path.lexists(coord.index.path) and not coord.index.path.is_file():
        return  # it is in the index's place, which is another check's matter
    if not coord.index.path.exists():
        # Its lock file is made with it and stays: without one nobody has asked anything yet.
        was = _part(coord.index.path, ".lock").exists()
        fault, code = "it was removed" if was else "", "index-missing"
    else:
        # A copy that was made while somebody wrote may be torn: what is found once only is no fault.
        faults = [_fault(coord)]
        while faults[-1] and len(faults) < _TRIES:
            faults.append(_fault(coord))
        fault, code = faults[-1], "index-damaged"
    if fault:
        yield Finding(
            code=code,
            what=fault,
            where=place(coord, coord.index.path),
            why="the log, ids, tokens and what was retired are looked up in it",
            next="it is put aside and made anew from the ledger",
            mend=partial(anew, coord),
        )


def anew(coord: Coord, kept: Kept) -> None:
    """Put the index aside and make it again from the ledger."""
    coord.index.close()
    for suffix in _PARTS:
        kept.move(_part(coord.index.path, suffix))
    coord.indexed().close()


def _fault(coord: Coord) -> str:
    with tempfile.TemporaryDirectory(prefix="coord-") as folder:
        copy = Path(folder) / coord.index.path.name
        for suffix in _PARTS[:2]:
            if _part(coord.index.path, suffix).exists():
                shutil.copyfile(_part(coord.index.path, suffix), _part(copy, suffix))
        try:
            with closing(sqlite3.connect(copy)) as connection:
                (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            return f"SQLite cannot read it: {error}"
        if said != "ok":
            return f"SQLite finds it damaged: {said}"
        return _disagrees(coord, Index(copy, coord.git)) if patient.readable_tip(coord) else ""


def _disagrees(coord: Coord, asked: Index) -> str:
    try:
        asked.sync()
        with closing(sqlite3.connect(asked.path)) as connection:
            (tip,) = connection.execute('SELECT "commit" FROM tip').fetchone() or ("",)
        tree = history.tree(coord.git, tip) if tip else {}
        rows = {key: blob for folder in keys.FOLDERS for key, blob in asked.live(folder).items()}
    finally:
        asked.close()
    if any(asked.path.parent.glob("*.damaged*")):
        return "it lacks tables, or is in another version's format"
    wrong = [key for key in sorted(rows.keys() | tree.keys()) if keys.is_record(key) and rows.get(key) != tree.get(key)]
    return f"it says otherwise than the ledger of {len(wrong)} records, first {wrong[0]}" if wrong else ""


def _part(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.name}{suffix}")
