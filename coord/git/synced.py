"""Making names durable: git syncs files, not the folders that name them."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path


def sync(path: Path) -> bool:
    """Make what PATH holds durable; tell whether it is there."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        # On macOS fsync stops at the drive's cache; some of its network drives know nothing more.
        with suppress(OSError):
            if full := getattr(fcntl, "F_FULLFSYNC", None):
                fcntl.fcntl(descriptor, full)
                return True
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return True
