"""Who may read and write: too few rights stop coord, too many let strangers in."""

import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from coord.model import keys
from coord.service.coord import Coord
from coord.service.doctor.finding import Finding, place
from coord.service.doctor.kept import Kept

_FOLDER, _FILE = 0o700, 0o400  # records are replaced, never written to


def unusable(coord: Coord) -> Iterator[Finding]:
    """Find folders and files that coord cannot read or write."""
    for path in _paths(coord):
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            continue
        needed = _FOLDER if stat.S_ISDIR(status.st_mode) else _FILE
        own = status.st_uid == os.geteuid()
        if (status.st_mode & needed == needed) if own else os.access(path, _access(needed)):
            continue
        yield Finding(
            code="no-access",
            what=f"its rights ({stat.filemode(status.st_mode)}, user {status.st_uid}) keep coord out",
            where=place(coord, path),
            why="what is in there is not seen, or cannot be changed: mail looks as if it were not there",
            next="its owner gets the rights back"
            if own
            else f"give it to this user: sudo chown {os.geteuid()} '{path}'",
            mend=partial(_change, path, status.st_mode | needed) if own else None,
        )


def open_to_all(coord: Coord) -> Iterator[Finding]:
    """Find private state that every user of the machine may write."""
    private = coord.private
    found = [private, *sorted(private.iterdir())] if private.is_dir() else []
    for path in found:
        status = os.lstat(path)
        if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_IWOTH:
            own = status.st_uid == os.geteuid()
            yield Finding(
                code="world-writable",
                what=f"every user of this machine may write there ({stat.filemode(status.st_mode)})",
                where=place(coord, path),
                why="anybody could put events, locks or bells there in the name of others",
                next="others lose that right" if own else f"run: sudo chmod o-w '{path}'",
                mend=partial(_change, path, status.st_mode & ~stat.S_IWOTH) if own else None,
            )


def _change(path: Path, mode: int, _kept: Kept) -> None:
    path.chmod(stat.S_IMODE(mode))


def _access(needed: int) -> int:
    return os.R_OK | os.W_OK | os.X_OK if needed == _FOLDER else os.R_OK


def _paths(coord: Coord) -> Iterator[Path]:
    """Yield what must be usable, outer folders first; what is not there is another check's matter."""
    common = coord.place.common
    private = (
        coord.private / name
        for name in ("", "journal", "guards", "bells", "tmp", "waiting", "seen", "gates", "sessions")
    )
    gits = (common / name for name in ("", "objects", "objects/pack", "refs/heads", "refs/heads/coord"))
    for path in (coord.home, *gits, *private):
        if os.path.lexists(path):
            yield path
    for folder in keys.FOLDERS:
        if os.path.lexists(coord.home / folder):
            yield coord.home / folder
        for top, inner, names in os.walk(coord.home / folder):
            yield from (Path(top) / name for name in (*inner, *names))
