"""Counting bytes: what lay in the live folders must afterwards be in a live file, in the ledger, or put aside."""

import os
import stat
from pathlib import Path

from support import git

from coord.service.doctor import patient


def contents(folder: Path, *, links: bool = True) -> set[bytes]:
    """The contents of all files below a folder, also under hidden names, and with LINKS behind links."""
    return {
        path.read_bytes()
        for top, _, names in os.walk(folder, followlinks=links)
        for name in names
        if (path := Path(top) / name).is_file()
    }


def live(home: Path) -> set[bytes]:
    return set().union(*(contents(home / folder) for folder in ("inbox", "locks", "checkpoints")))


def in_ledger(home: Path) -> set[str]:
    """The objects that can be reached from the ledger."""
    tip = patient.readable_tip(patient.opened(home))
    listed = git(home, "rev-list", "--objects", tip).splitlines() if tip else []
    return {line.split(" ")[0] for line in listed}


def lost(home: Path, before: set[bytes]) -> set[bytes]:
    """What of BEFORE is nowhere any more."""
    coord, held = patient.opened(home), in_ledger(home)
    rest = before - live(home) - contents(home / ".git/coord/kept", links=False)
    return {data for data in rest if coord.blob_id(data) not in held}


def everything(home: Path) -> dict[str, tuple[str, bytes]]:
    """All there is beside and below HOME: kinds, rights and contents."""
    found = {}
    for top, folders, names in os.walk(home.parent):
        for name in (*folders, *names):
            path = Path(top) / name
            status = path.lstat()
            kind = stat.filemode(status.st_mode)
            content = (
                os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
            )
            found[str(path)] = (kind, content)
    return found
