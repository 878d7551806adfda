"""Make bytes outlive a power cut, and say why they could not be.

fsync on macOS stops at the drive's own cache; F_FULLFSYNC goes through it.
Source: the fsync(2) page of macOS. The capabilities are module constants and
parameters, so that each branch runs on every system.
"""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from coord.model.errors import Unavailable

FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)
BEGIN_WRITING: Callable[[int, int, int, int], None] | None = getattr(os, "posix_fadvise", None)
DATA_SYNC: Callable[[int], None] | None = getattr(os, "fdatasync", None)

_NEXT_STEP = {
    errno.ENOSPC: "free some disk space, then run it again",
    errno.EDQUOT: "free some of your disk quota, then run it again",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f), then run it again",
    errno.EIO: "the disk reports faults: look at the system's log before anything else",
    errno.EMFILE: "raise the limit of open files (ulimit -n), then run it again",
    errno.ENFILE: "the system is out of open files: stop something, then run it again",
    errno.EACCES: "give this user the right to write there, then run it again",
    errno.EPERM: "give this user the right to write there, then run it again",
    errno.EROFS: "the file system is mounted read-only: mount it writable, then run it again",
    errno.EISDIR: "something else is in that place: coord doctor --fix",
    errno.ENOTDIR: "something else is in that place: coord doctor --fix",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def sync_file(fd: int, *, full_sync: int | None = FULL_SYNC) -> None:
    """Return once the file's bytes and size are on the disk itself.

    A file system that refuses FULL_SYNC (network ones do) gets a plain fsync.
    """
    if full_sync is not None:
        with suppress(OSError):
            fcntl.fcntl(fd, full_sync)
            return
    os.fsync(fd)


def begin_sync(fd: int, *, begin: Callable[[int, int, int, int], None] | None = BEGIN_WRITING) -> None:
    """Let the disk begin on a file that will be synced soon; many begun first take a third of the time.

    Linux starts to write back what it is told is not needed in memory, and keeps what is not written yet.
    """
    if begin is not None:
        begin(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def sync_data(fd: int, *, data_sync: Callable[[int], None] | None = DATA_SYNC) -> None:
    """Return once the file's bytes are on the disk; its times may follow later."""
    (data_sync or sync_file)(fd)


def sync_folder(path: Path) -> None:
    """Return once the names in a folder are on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync_names(fd)
    finally:
        os.close(fd)


def sync_names(folder: int) -> None:
    """Do the same for an open folder; a file system that cannot sync folders has nothing to wait for."""
    try:
        sync_file(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def make_folder(path: Path) -> None:
    """Make a folder and those above it, durably; nothing when it is there."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def replace(path: Path, data: bytes, *, mode: int | None = None, sync: bool = True) -> None:
    """Put DATA at PATH: a reader, or a crash, finds the old bytes or the new, never a mixture.

    Durably, unless SYNC is false: then a power cut may leave less.

    For one writer at a time: the temporary name beside PATH is fixed, so that a crash leaves at most one.
    MODE is what the file may be used for by whom; without it, that is as for any new file.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
    try:
        if mode is not None:
            os.fchmod(fd, mode)
        write_whole(fd, data)
        if sync:
            sync_file(fd)
    finally:
        os.close(fd)
    temporary.replace(path)
    if sync:
        sync_folder(path.parent)


def write_whole(fd: int, data: bytes) -> None:
    """Write all of DATA; a file system that takes only part of it says why on the next call."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


@contextmanager
def faults(doing: str) -> Iterator[None]:
    """Turn an OSError inside into Unavailable that says what was being done and the next step."""
    try:
        yield
    except OSError as error:
        hint = _NEXT_STEP.get(error.errno or 0, "see to the cause named above, then run it again")
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise Unavailable(f"cannot {doing}: {reason}", hint=hint, errno=error.errno) from error
