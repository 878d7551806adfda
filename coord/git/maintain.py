"""Keeping the repository small, so that the user's own git never stops to do it because of coord.

The ledger itself asks for it after each batch, whoever writes: under load the daemon makes
dozens of packs a second, and without a daemon every command makes one.
"""

import fcntl
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from coord.git import packs

PACKS = 20  # git gc --auto runs at more than 50, and joining takes a while
CROWDED = 45
PROGRAM = "coord.git.joining"
KEPT_BY = b"fast-import"
# In the lock: its holder waits for other gits, or the last one failed.
WAITING, FAILED = b"waiting", b"failed"
_PAUSE = 60.0
_LONGEST_BRAKE = 2.0
_POLL = 0.005
_LEFT_BEHIND = 3_600.0
# Others' gits name theirs alike, and one that fetches over a slow line may pause for long.
_LEFT_BY_ANY = 86_400.0
_HALF_WRITTEN = ("tmp_pack_*", "tmp_idx_*", "tmp_rev_*", ".tmp-*-pack-*")


def needs_repack(common: Path) -> bool:
    """Tell whether packs have become many; runs no git."""
    return len(packs.joinable(common)) > PACKS


def tend(common: Path) -> None:
    """Begin to make the repository smaller, if it is time to; waits for nothing and never fails."""
    if not needs_repack(common) or _failed_just_now(lock_of(common)):
        return
    with suppress(OSError):  # a full disk, say: whoever writes next begins it
        if join_in_background(common):
            sweep(common, time.time() - _LEFT_BEHIND)


def make_room(common: Path, limit: float = _LONGEST_BRAKE) -> None:
    """Where packs come faster than they are joined, wait until that is done, for LIMIT seconds at most."""
    if len(packs.joinable(common)) < CROWDED:
        return
    lock, deadline = lock_of(common), time.monotonic() + limit
    while time.monotonic() < deadline and is_joining(common) and lock.read_bytes() != WAITING:
        time.sleep(_POLL)


def join_in_background(common: Path) -> bool:
    """Start to join small packs, without waiting for it, unless it is being done; tell whether it was started.

    The new process inherits the OS lock, so it counts as running exactly as long as it lives,
    whatever becomes of its parent.
    """
    lock = lock_of(common)
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        silent = subprocess.DEVNULL
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", PROGRAM, str(common)],
            cwd=common,
            stdin=silent,
            stdout=silent,
            stderr=silent,
            pass_fds=(descriptor,),
            start_new_session=True,
        )
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
    """Return the file whose OS lock is held by whoever joins packs."""
    return common / "coord" / "guards" / "repack.lock"


def is_joining(common: Path) -> bool:
    """Tell whether packs are being joined now."""
    try:
        descriptor = os.open(lock_of(common), os.O_RDONLY | os.O_CLOEXEC)
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


def _failed_just_now(lock: Path) -> bool:
    try:
        return lock.read_bytes() == FAILED and abs(time.time() - lock.stat().st_mtime) < _PAUSE
    except OSError:
        return False
