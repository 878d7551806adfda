"""The private folder, which every other command begins in: there, and with nothing strange in coord's places."""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from coord.service.coord import Coord
from coord.service.doctor.finding import Finding, counted, place
from coord.service.doctor.kept import FOLDER, Kept
from coord.stores import durable

_FOLDERS = ("journal", "guards", "bells", "tmp", "waiting", "seen", "gates", "sessions", "edits", FOLDER)
_FILES = (
    "healed",
    "guard",
    "daemon.json",
    "index.db*",
    "journal/state.json",
    "journal/*.log",
    "guards/*.lock",
    "seen/*",
)


def missing(coord: Coord) -> Iterator[Finding]:
    """Find a repository without coord's private folder."""
    if coord.private.is_dir():
        return
    there = os.path.lexists(coord.private)
    aside = "the file is put aside, " if there else ""
    yield Finding(
        code="private-missing",
        what="a file is in the place of coord's private folder" if there else "coord's private folder is gone",
        where=place(coord, coord.private),
        why="what was sent and not yet committed was in its journal; files that are there still are not lost",
        next=f"{aside}an empty one is made, and what the files hold is recorded in the ledger",
        mend=partial(_make, coord, coord.private),
    )


def misplaced(coord: Coord) -> Iterator[Finding]:
    """Find folders in the private folder where coord keeps files, and files where it keeps folders."""
    if not coord.private.is_dir():
        return
    paths = [path for name in _FOLDERS if os.path.lexists(path := coord.private / name) and not path.is_dir()]
    paths += [path for pattern in _FILES for path in sorted(coord.private.glob(pattern)) if not path.is_file()]
    if paths:
        yield Finding(
            code="private-misplaced",
            what=f"{counted(paths, 'place')} of coord's own that something else is in",
            where=place(coord, *paths),
            why="what coord keeps there it can neither read nor write: nothing is committed, or nothing is found",
            next="what is there is put aside, and coord makes its own anew",
            mend=partial(_clear, coord, paths),
        )


def _make(coord: Coord, folder: Path, kept: Kept) -> None:
    """Make a folder that things are put aside in; what is in its place goes there as well."""
    aside = folder.with_name(f"{folder.name}.{coord.new_id()}")
    with durable.faults(f"make {folder}"):
        if os.path.lexists(folder):
            folder.rename(aside)
        durable.make_folder(folder)
    kept.move(aside)


def _clear(coord: Coord, paths: Sequence[Path], kept: Kept) -> None:
    if coord.private / FOLDER in paths:
        _make(coord, coord.private / FOLDER, kept)
    for path in paths:
        if path.name != FOLDER:
            kept.move(path)
