"""What git processes that were killed left in the repository: locks, half-written packs, crash reports."""

import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from coord.git import indexlock, maintain, others, stale
from coord.service.coord import Coord
from coord.service.doctor.finding import Finding, counted, place
from coord.service.doctor.kept import Kept
from coord.stores.base import LEDGER

_REST = 60.0
_LONG = 3_600.0
# A clock that was set forward makes an owner look younger than what it made.
_SLACK = 10.0
_LOCKS = ("*.lock", "refs/**/*.lock", "worktrees/*/*.lock", "objects/info/*.lock", "objects/info/commit-graphs/*.lock")
_HALF = ("objects/pack/tmp_*", "objects/??/tmp_obj_*", "objects/tmp_obj_*")
_CRASHES = ("fast_import_crash_*", "objects/pack/pack-*.keep")


def locks(coord: Coord) -> Iterator[Finding]:
    """Find git's lock files whose owner is proven dead."""
    found = _ownerless(coord, [path for path in _matching(coord, _LOCKS, _REST) if path.name != "coord.lock"])
    found = [path for path in found if path.name != "index.lock" or not _is_busy(path)]
    if found:
        yield Finding(
            code="stale-git-lock",
            what=f"{counted(found, 'lock')} of git's whose owner is dead",
            where=place(coord, *found),
            why="git refuses to write what they lock: commits, checkouts, or the ledger itself",
            next="they are put aside",
            mend=partial(_unlock, coord, found),
        )


def halves(coord: Coord) -> Iterator[Finding]:
    """Find packs and objects that killed gits were writing."""
    found = _ownerless(coord, _matching(coord, _HALF, _REST))
    if found:
        size = sum(path.lstat().st_size for path in found if path.exists())
        yield Finding(
            code="git-leftovers",
            what=f"{counted(found, 'file')} ({size:,} bytes) that a git was writing when it was killed",
            where=place(coord, *found),
            why="nothing refers to them; they take space",
            next="they are removed, as git itself does in time",
            mend=partial(_remove, found),
        )


def crashes(coord: Coord) -> Iterator[Finding]:
    """Find crash reports and marks of killed fast-imports."""
    found = [
        path
        for path in _ownerless(coord, _matching(coord, _CRASHES, _LONG))
        if path.suffix != ".keep" or (path.exists() and path.read_bytes() == maintain.KEPT_BY)
    ]
    if found:
        yield Finding(
            code="git-crashes",
            what=f"{counted(found, 'trace')} of a fast-import that was killed",
            where=place(coord, *found),
            why="the marks keep git from ever joining those packs with others",
            next="they are put aside",
            mend=partial(_put_aside, found),
        )


def _matching(coord: Coord, patterns: Sequence[str], rest: float) -> list[Path]:
    before = time.time() - rest
    found = (path for pattern in patterns for path in sorted(coord.place.common.glob(pattern)))
    return [path for path in found if _written(path, before) < before]


def _written(path: Path, gone: float) -> float:
    """Return when a file was written last, or GONE where its git has just taken it away."""
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return gone


def _ownerless(coord: Coord, found: list[Path]) -> list[Path]:
    """Return those which no living git can have made."""
    if not found:
        return []
    ages = {path: at for path in found if (at := _written(path, 0.0))}
    if not ages or others.living(coord.place.common, before=max(ages.values()) + _SLACK) is None:
        return list(ages)
    return [path for path, at in ages.items() if others.living(coord.place.common, before=at + _SLACK) is None]


def _is_busy(lock: Path) -> bool:
    """Tell whether one of coord's own locks on an index is held: git's have no owner to ask."""
    own = lock.with_name("coord.lock")
    return own.exists() and own.samefile(lock) and bool(indexlock.busy(lock.parent))


def _unlock(coord: Coord, found: Sequence[Path], kept: Kept) -> None:
    for path in found:
        own = path.with_name("coord.lock")
        if path.name == "index.lock" and own.exists() and own.samefile(path):
            with indexlock.hold(path.parent):
                continue
        with coord.store.exclusive(LEDGER):  # whoever commits removes such locks, too
            kept.copy(path)
            stale.remove(path, coord.place.common, harmless=others.READERS)


def _remove(found: Sequence[Path], _kept: Kept) -> None:
    for path in found:
        path.unlink(missing_ok=True)


def _put_aside(found: Sequence[Path], kept: Kept) -> None:
    for path in found:
        kept.move(path)
