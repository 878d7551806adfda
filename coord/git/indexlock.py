"""Git's own lock on a worktree's index, held in a way that outlives no holder.

While `index.lock` exists no git writes the index. Ours is a hard link to a file of our own,
and that file carries an OS lock which git's processes started for us inherit: so it is
provable that an `index.lock` is ours, and that all who held it are dead.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coord.model.errors import AtWork, Conflict, Unavailable

_OWN = "coord.lock"


@contextmanager
def hold(private: Path) -> Iterator[int]:
    """Hold the index of the worktree whose own folder is PRIVATE; yields the descriptor for children to inherit.

    One that a dead holder left is taken over.

    Raises:
        AtWork: another of us is at work there, or its git still is.
        Conflict: somebody else's git is.
    """
    lock = private / "index.lock"
    fd = _own(private)
    try:
        if fd is None:
            raise AtWork(f"{private} is being updated by another process", hint="try again")
        try:
            os.link(private / _OWN, lock)
        except FileExistsError:
            if not _is_ours(private):
                raise Conflict(
                    f"git is at work in {private}: {lock} exists", hint="try again when it is done"
                ) from None
        except OSError as error:
            raise Unavailable(
                f"{lock} cannot be made: {error.strerror}", hint="see whether the disk is full"
            ) from error
        try:
            yield fd
        finally:
            if _is_ours(private):
                lock.unlink()
    finally:
        if fd is not None:
            os.close(fd)


def busy(private: Path) -> str:
    """Say who holds the index, or "" where it is free or only a dead holder of ours is left. Changes nothing."""
    if not os.path.lexists(private / "index.lock"):
        return ""
    if not _is_ours(private):
        return f"git is at work there, or was killed: {private / 'index.lock'} exists"
    return "it is being updated by another process" if is_taken(private) else ""


def is_taken(private: Path) -> bool:
    """Tell whether another of us holds the index, or one of its gits does that outlived it. Changes nothing."""
    if not _is_ours(private):
        return False
    fd = _own(private)
    if fd is not None:
        os.close(fd)
    return fd is None


def _own(private: Path) -> int | None:
    fd = os.open(private / _OWN, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def _is_ours(private: Path) -> bool:
    try:
        return (private / "index.lock").samefile(private / _OWN)
    except FileNotFoundError:
        return False
