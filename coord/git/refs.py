"""References read from git's files, without a process, where these say plainly what git would.

None says that git must be asked: a reference that leads to another, another way to store them, a name that the
file system may spell otherwise.
"""

import os
import re
from pathlib import Path

from coord.model.regex import regex

HEADS = "refs/heads/"
_LOOSE = regex(rb"([0-9a-f]{40}(?:[0-9a-f]{24})?)\n")
# What no file system and no git reads in two ways.
_PLAIN = regex(r"refs/heads(?:/[A-Za-z0-9_](?:\.?[A-Za-z0-9_@+=-])*)+")
_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


def read(common: Path, ref: str) -> str | None:
    """Return the commit that REF names in the repository at COMMON."""
    try:
        found = _LOOSE.fullmatch((common / ref).read_bytes())
    except _ABSENT:
        packed = common / "packed-refs"
        lines = packed.read_bytes() if packed.exists() else b""
        found = re.search(rb"^([0-9a-f]{40,64}) %s$" % re.escape(os.fsencode(ref)), lines, re.MULTILINE)
    except OSError:
        return None
    return found[1].decode() if found else None


def exact(common: Path, ref: str) -> str | None:
    """Return the commit of a branch that is called REF letter by letter, and leads to no other."""
    if not _PLAIN.fullmatch(ref) or ref.endswith(".lock"):
        return None
    folder = common
    for part in ref.split("/"):
        try:
            listed = part in os.listdir(folder)
        except OSError:
            listed = False
        folder /= part
        if not listed:
            if os.path.lexists(folder):
                return None
            break
        if folder.is_symlink():
            return None
    return read(common, ref)


def head(folder: Path) -> tuple[str, str] | None:
    """Return what HEAD says in a worktree's own folder: a branch, or "" and the commit at which it is detached."""
    file = folder / "HEAD"
    try:
        data = b"" if file.is_symlink() else file.read_bytes()
    except OSError:
        return None
    if (found := _LOOSE.fullmatch(data)) is not None:
        return "", found[1].decode()
    name = os.fsdecode(data.removeprefix(b"ref: ").removesuffix(b"\n"))
    if data != os.fsencode(f"ref: {name}\n") or not name.startswith(HEADS):
        return None
    return name.removeprefix(HEADS), ""
