"""A lock file that a killed git left, on a reference or anything else.

Git takes `<name>.lock` with O_EXCL and closes it before it is done, so neither an open
file nor an OS lock tells who owns it. The proof used: the file stayed the same while we
watched, and no git is alive in this repository that was there before it. Programs with
a git of their own (an editor's) go unnoticed; they hold a reference for microseconds.
"""

import os
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import psutil

from coord.git import discovery
from coord.model.errors import CoordError, Unavailable

_WATCH = 1.0
# A clock that was set forward makes an owner look younger than its lock.
_SLACK = 10.0
# Gits that may live for long and take no lock at all, and those that take none on a reference (what `gc` begins for
# that are its children).
READERS = frozenset(["cat-file", "check-attr", "check-ignore", "credential-cache--daemon", "fsck", "fsmonitor--daemon"])
_PACKERS = frozenset(
    ["commit-graph", "gc", "maintenance", "multi-pack-index", "pack-objects", "prune", "prune-packed", "repack"]
)
_OFF_REFERENCES = READERS | _PACKERS


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
        owner = living(common, before=min(seen[1] / 1e9 + _SLACK, time.time() - watch), harmless=harmless)
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


def living(common: Path, before: float, *, harmless: Collection[str] = READERS) -> tuple[int, str] | None:
    """Return a git in the repository COMMON that was there BEFORE (seconds since 1970) and lives, and what it does.

    HARMLESS are commands that are passed over.
    """
    for process in psutil.process_iter(["pid", "name", "cmdline", "create_time", "status"]):
        found = process.info
        name = found["name"] or ""
        if not (name == "git" or name.startswith("git-")) or found["status"] == psutil.STATUS_ZOMBIE:
            continue
        words = (found["cmdline"] or [])[1:]
        old = (found["create_time"] or 0.0) <= before
        if old and _verb(words) not in harmless and not _elsewhere(process, common):
            return found["pid"], " ".join(words)[:60]
    return None


def _verb(words: Sequence[str]) -> str:
    """Return what a git was told to do, behind the options of git itself."""
    valued = False
    for word in words:
        if not valued and not word.startswith("-"):
            return word
        valued = not valued and word in ("-c", "-C")
    return ""


def _elsewhere(process: "psutil.Process", common: Path) -> bool:
    """Tell whether a git surely works on another repository, or not at all any more."""
    try:
        if any(word.startswith("--git-dir") for word in process.cmdline()):
            return False
        here = Path(process.cwd())
        if named := process.environ().get("GIT_DIR"):  # as git tells its hooks and helpers
            return not Path(os.path.realpath(here / named)).is_relative_to(os.path.realpath(common))
        return discovery.find(here).common != common
    except (psutil.NoSuchProcess, CoordError):
        return True
    except (psutil.Error, OSError):
        return False  # another user's: nothing is known of it
