"""Looking at the files of OS locks without entering: who is inside, and who died there."""

import fcntl
import os
from pathlib import Path
from urllib.parse import quote, unquote

from coord.service.coord import Coord

_BUSY = b"busy"


def is_held(coord: Coord, name: str) -> bool:
    """Tell whether a process is in the critical section NAME now."""
    return _look(coord.private / "guards" / f"{quote(name, safe='')}.lock")[0]


def abandoned(coord: Coord) -> list[str]:
    """Return the sections whose file says that somebody is inside though the kernel says that nobody is."""
    found = []
    for lock in sorted((coord.private / "guards").glob("*.lock")):
        held, mark = _look(lock)
        if not held and mark == _BUSY:
            found.append(unquote(lock.stem))
    return found


def _look(lock: Path) -> tuple[bool, bytes]:
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False, b""
    try:
        # Shared and let go at once: who comes meanwhile waits microseconds.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False, os.pread(fd, len(_BUSY), 0)
    except BlockingIOError:
        return True, b""
    except IsADirectoryError:
        return False, b""
    finally:
        os.close(fd)
