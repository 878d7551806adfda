"""Keeping the repository small, so that the user's own git never stops to do it because of coord."""

import fcntl
import os
import subprocess
import threading
from pathlib import Path

from coord.git.repo import Git

PACKS = 40  # git gc --auto runs at 50
LOOSE_IN_ONE_OF_256 = 20  # git gc --auto runs at 6,700 loose objects, 27 in a folder
# No --write-midx: beside a gc it may name packs that the gc has just taken away, and `git fsck` fails.
COMMAND = ("repack", "-d", "--quiet", "--geometric=2")
_KEPT_BY = b"fast-import"
_LIMIT = 600.0


def needs_repack(common: Path) -> bool:
    """Tell whether packs or loose objects have become many; runs no git.

    Loose objects are estimated from one folder, as git does.
    """
    objects = common / "objects"
    suffixes = [name.rpartition(".")[2] for name in _names(objects / "pack")]
    fixed = sum(suffixes.count(kind) for kind in ("keep", "promisor", "mtimes"))
    return suffixes.count("pack") - fixed > PACKS or len(_names(objects / "17")) > LOOSE_IN_ONE_OF_256


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
    """Remove what killed fast-imports left older than BEFORE (seconds since 1970); return how many files.

    These are their crash reports, and their marks that a pack is still in use, which would keep it for ever.
    """
    left = [*common.glob("fast_import_crash_*"), *(common / "objects" / "pack").glob("pack-*.keep")]
    removed = 0
    for file in left:
        try:
            if file.stat().st_mtime < before and (file.suffix != ".keep" or file.read_bytes() == _KEPT_BY):
                file.unlink()
                removed += 1
        except FileNotFoundError:
            continue
    return removed


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
