"""Keeping the repository small, so that the user's own git never stops to do it because of coord.

The ledger itself asks for it after each batch, whoever writes: under load the daemon makes
dozens of packs a second, and without a daemon every command makes one.
"""

import fcntl
import os
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

from coord.git.repo import Git
from coord.model.errors import CoordError

PACKS = 20  # git gc --auto runs at more than 50, and a repack takes a while
CROWDED = 45
LOOSE_IN_ONE_OF_256 = 20  # git gc --auto runs at 6,700 loose objects, 27 in a folder
# No --write-midx: beside a gc it may name packs that the gc has just taken away, and `git fsck` fails.
COMMAND = ("repack", "-d", "-n", "--quiet", "--geometric=2")
KEPT_BY = b"fast-import"
_LIMIT = 600.0
_LONGEST_BRAKE = 2.0
_POLL = 0.005
_LEFT_BEHIND = 3_600.0
# Others' gits name theirs alike, and one that fetches over a slow line may pause for long.
_LEFT_BY_ANY = 86_400.0
_HALF_WRITTEN = ("tmp_pack_*", "tmp_idx_*", "tmp_rev_*", ".tmp-*-pack-*")


def needs_repack(common: Path) -> bool:
    """Tell whether packs or loose objects have become many; runs no git.

    Loose objects are estimated from one folder, as git does.
    """
    return packs(common) > PACKS or len(_names(common / "objects" / "17")) > LOOSE_IN_ONE_OF_256


def packs(common: Path) -> int:
    """Return how many packs a repack may join."""
    suffixes = [name.rpartition(".")[2] for name in _names(common / "objects" / "pack")]
    return suffixes.count("pack") - sum(suffixes.count(kind) for kind in ("keep", "promisor", "mtimes"))


def tend(git: Git, common: Path) -> None:
    """Begin to make the repository smaller, if it is time to; waits for nothing and never fails."""
    if not needs_repack(common):
        return
    lock = lock_of(common)
    with suppress(OSError, CoordError):  # a full disk, say: whoever writes next begins it
        lock.parent.mkdir(parents=True, exist_ok=True)
        if repack_in_background(git, lock):
            sweep(common, time.time() - _LEFT_BEHIND)


def make_room(common: Path, limit: float = _LONGEST_BRAKE) -> None:
    """Where packs come faster than a repack joins them, wait until it is done, for LIMIT seconds at most."""
    if packs(common) < CROWDED:
        return
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline and _is_held(lock_of(common)):
        time.sleep(_POLL)


def repack(git: Git) -> None:
    """Join small packs and loose objects into larger packs; safe beside any other git.

    Nothing is pruned, packs with a `.keep` stay, and old packs go only after the new one is in place.
    """
    git.run(*COMMAND, timeout=_LIMIT)


def repack_in_background(git: Git, lock: Path) -> bool:
    """Start `repack` without waiting for it, unless one runs already; tell whether it was started.

    The new process inherits an OS lock on the file LOCK, so it counts as running exactly as
    long as it lives, whatever becomes of its parent.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        silent = subprocess.DEVNULL
        process = git.start(*COMMAND, stdout=silent, stderr=silent, pass_fds=(descriptor,))
        threading.Thread(target=process.wait, daemon=True).start()  # leaves no zombie while we live
        return True
    finally:
        os.close(descriptor)


def sweep(common: Path, before: float) -> int:
    """Remove what killed gits left older than BEFORE (seconds since 1970); return how many files.

    These are fast-imports' crash reports, their marks that a pack is still in use, which would keep
    it for ever, and, a day older, packs half written, of which git itself only takes some away.
    """
    folder = common / "objects" / "pack"
    left = [(file, before) for file in (*common.glob("fast_import_crash_*"), *folder.glob("pack-*.keep"))]
    left += [(file, before - _LEFT_BY_ANY) for name in _HALF_WRITTEN for file in folder.glob(name)]
    removed = 0
    for file, limit in left:
        try:
            if file.stat().st_mtime < limit and (file.suffix != ".keep" or file.read_bytes() == KEPT_BY):
                file.unlink()
                removed += 1
        except FileNotFoundError:
            continue
    return removed


def lock_of(common: Path) -> Path:
    """Return the file whose OS lock a running repack holds."""
    return common / "coord" / "guards" / "repack.lock"


def _is_held(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
