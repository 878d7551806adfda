"""A lock file that a killed git left, on a reference or anything else.

Git takes `<name>.lock` with O_EXCL and closes it before it is done, so neither an open
file nor an OS lock tells who owns it. The proof used: the file stayed the same while we
watched, and no git is alive in this repository that was there before it. Programs with
a git of their own (an editor's) go unnoticed; they hold a reference for microseconds.
"""

import time
from collections.abc import Collection, Sequence
from pathlib import Path

from coord.git import others
from coord.model.errors import Unavailable

_WATCH = 1.0
# A clock that was set forward makes an owner look younger than its lock.
_SLACK = 10.0
_OFF_REFERENCES = others.READERS | others.PACKERS  # what `gc` begins for that are its children


def remove(lock: Path, common: Path, watch: float = _WATCH, *, harmless: Collection[str] = _OFF_REFERENCES) -> bool:
    """Remove LOCK, of the repository COMMON, when its owner is dead; tell whether what it locks is free now.

    HARMLESS are the git commands that never take such a lock: by default those that take none on a reference.

    The caller is the only one that would remove it (it holds the ledger's guard).

    Raises:
        Unavailable: a git that may own it is alive, or the lock changed hands meanwhile.
    """
    return remove_all([lock], common, watch, harmless=harmless)


def remove_all(
    locks: Sequence[Path], common: Path, watch: float = _WATCH, *, harmless: Collection[str] = _OFF_REFERENCES
) -> bool:
    """Do the same for locks that one git takes together, in the time that one needs; False where none is there."""
    first = {lock: seen for lock in locks if (seen := _look(lock)) is not None}
    if not first:
        return False
    time.sleep(watch)
    for lock, seen in first.items():
        now = _look(lock)
        if now is None:
            continue
        if now != seen:
            raise Unavailable(f"{lock} is in use by other gits", hint="try again")
        owner = others.living(common, before=min(seen[1] / 1e9 + _SLACK, time.time() - watch), harmless=harmless)
        if owner is not None:
            raise Unavailable(
                f"{lock} may belong to `git {owner[1]}` (process {owner[0]}), which is running",
                hint=f"wait for it, or end it and remove {lock}",
            )
        lock.unlink(missing_ok=True)
    return True


def _look(lock: Path) -> tuple[int, int] | None:
    try:
        found = lock.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_ino, found.st_mtime_ns
