"""The owner's checkout, byte for byte: its files, and what git keeps beside them for that checkout alone."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from support import git

from coord.model import keys

Picture = Mapping[str, tuple[str, bytes]]
# What is coord's own, or is shared by all checkouts, or is history of which every command writes more.
_SHARED = ("objects", "coord", "coord.lock", "worktrees", "refs", "logs", "packed-refs", "modules", "rr-cache")


def files(top: Path) -> Picture:
    """All that lies in a checkout but the live folders: kind, and bytes or where a link leads."""
    found = {}
    for folder, below, names in os.walk(top):
        here = Path(folder)
        if here == top:
            below[:] = [name for name in below if name not in (".git", *keys.FOLDERS)]
        for name in [*names, *(name for name in below if (here / name).is_symlink())]:
            path = here / name
            if path != top / ".git" and not (here == top and name in keys.FOLDERS):
                found[str(path.relative_to(top))] = (_kind(path), _content(path))
    return found


def private(top: Path) -> Picture:
    """All that git keeps for a checkout alone: HEAD, index, what is half done; and the owner's settings and hooks."""
    own = Path(git(top, "rev-parse", "--absolute-git-dir"))
    inside = [path for path in sorted(own.rglob("*")) if path.relative_to(own).parts[0] not in _SHARED]
    found = {str(path.relative_to(own)): (_kind(path), _content(path)) for path in inside if path.is_file()}
    stash = own / "logs/refs/stash"
    return {**found, "stash": ("", stash.read_bytes() if stash.exists() else b"")}


def picture(top: Path) -> Picture:
    """Both of them."""
    return {**files(top), **{f".git/{name}": what for name, what in private(top).items()}}


def assert_as_git_would(top: Path, scratch: Path) -> None:
    """The checkout is clean, and holds what git itself checks out of the same commit."""
    assert git(top, "status", "--porcelain", "--ignore-submodules=none") == ""
    git(top, "worktree", "add", "--quiet", "--detach", str(scratch), "HEAD")
    try:
        assert files(top) == files(scratch)
    finally:
        git(top, "worktree", "remove", "--force", str(scratch))


def _kind(path: Path) -> str:
    mode = path.lstat().st_mode
    return "link" if stat.S_ISLNK(mode) else "program" if mode & stat.S_IXUSR else "file"


def _content(path: Path) -> bytes:
    return os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
