"""Take a file that somebody else wrote, and may be writing still, so that none of it is lost.

It is renamed beside itself before it is read: whoever opens the old name from then on begins
another file, and nothing added or written anew at that moment disappears with the old one.
"""

import fcntl
import os
import re
import signal
from pathlib import Path
from stat import S_ISREG

from coord.model.regex import regex
from coord.model.values import frozen
from coord.stores import durable, folders

_CLAIMED = regex(r"(.+)~[0-9a-f]{8}\.taken", re.DOTALL)
_LONGEST_NAME = 200  # bytes that are kept of a name; systems allow 255 with the claim's own ending
# Linux tells whether anybody has a file open for writing: fcntl(2), "Leases".
LEASE: int | None = getattr(fcntl, "F_SETLEASE", None)
_LEASE_SIGNAL: int | None = getattr(fcntl, "F_SETSIG", None)


@frozen
class Taken:
    """A file's bytes and its time, in nanoseconds since 1970."""

    data: bytes
    modified: int


def given(key: str) -> str:
    """Return the key of a file as it was before it was claimed."""
    claimed = _CLAIMED.fullmatch(key)
    return claimed[1] if claimed else key


def is_claimed(key: str) -> bool:
    """Tell whether a file has been claimed."""
    return _CLAIMED.fullmatch(key) is not None


def claim(home: Path, key: str) -> str | None:
    """Rename the file at KEY and return its key then; None where no regular file is. Claiming again changes nothing.

    Raises:
        Corrupt: a link is in the place of its folder.
        Unavailable: it cannot be renamed.
    """
    if is_claimed(key):
        return key
    *parents, name = key.split("/")
    kept = os.fsdecode(os.fsencode(name)[:_LONGEST_NAME])
    claimed = f"{kept}~{os.urandom(4).hex()}.taken"
    with durable.faults(f"take in {home}/{key}"):
        try:
            folder = folders.enter(home, parents)
            try:
                if not S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                    return None
                os.rename(name, claimed, src_dir_fd=folder, dst_dir_fd=folder)
                durable.sync_names(folder)  # else a power cut may bring it back, to be taken in a second time
            finally:
                os.close(folder)
        except FileNotFoundError:
            return None
    return "/".join([*parents, claimed])


def read(home: Path, key: str, limit: int, *, lease: int | None = LEASE) -> Taken | None:
    """Read at most LIMIT bytes of a claimed file; None where it is gone, or where somebody has it open for writing.

    Without LEASE the system cannot tell of the latter.

    Raises:
        Corrupt: a link is in the place of its folder.
        Unavailable: it cannot be read.
    """
    *parents, name = key.split("/")
    with durable.faults(f"read {home}/{key}"):
        try:
            folder = folders.enter(home, parents)
            try:
                descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            finally:
                os.close(folder)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            if not S_ISREG(os.fstat(descriptor).st_mode) or _is_written(descriptor, lease):
                return None
            return Taken(file.read(limit), os.fstat(descriptor).st_mtime_ns)


def _is_written(descriptor: int, lease: int | None) -> bool:
    if lease is None:
        return False
    try:
        if _LEASE_SIGNAL is not None:  # its default would end this process if somebody opened the file right now
            fcntl.fcntl(descriptor, _LEASE_SIGNAL, signal.SIGURG)
        fcntl.fcntl(descriptor, lease, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, lease, fcntl.F_UNLCK)
    except OSError as error:  # other faults: not the owner, or a file system without leases
        return isinstance(error, BlockingIOError)
    return False
