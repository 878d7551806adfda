"""Folders below home, opened one by one without following links.

A path is only as safe as its weakest part: somebody may swap a folder for a link
between a check and its use. An open descriptor cannot be swapped, so every step
starts from one (openat and its kin).
"""

import errno
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

from coord.model.errors import CoordError, Corrupt
from coord.model.keys import DEAD
from coord.stores import durable

Parts = Sequence[str]

_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_NO_FOLDER = (errno.ENOTDIR, errno.ELOOP)
NO_FILE = (errno.ENOENT, errno.ELOOP, errno.ENXIO)


def enter(home: Path, parts: Parts, made: list[Parts] | None = None) -> int:
    """Open a folder below HOME; the caller closes it. With MADE, make what is missing and add it there.

    Raises:
        FileNotFoundError: a folder is missing and MADE is None.
        Corrupt: a link or a file is in a folder's place.
    """
    folder = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    for depth, name in enumerate(parts, 1):
        outer = folder
        try:
            if made is not None and _make(outer, name):
                made.append(parts[:depth])
                durable.sync_names(outer)
            folder = os.open(name, _FOLDER, dir_fd=outer)
        except OSError as error:
            if error.errno not in _NO_FOLDER:
                raise
            path = home.joinpath(*parts[:depth])
            raise Corrupt(f"{path} is no real folder", hint="move it away: coord follows no links there") from error
        finally:
            os.close(outer)
    return folder


def unmake(home: Path, made: Sequence[Parts]) -> None:
    """Remove again the folders that `enter` made, as far as nobody uses them yet."""
    for *parents, name in reversed(made):
        with suppress(OSError, CoordError):
            folder = enter(home, parents)
            try:
                os.rmdir(name, dir_fd=folder)
            finally:
                os.close(folder)


def read(folder: int, name: str) -> bytes | None:
    """Return a regular file's bytes; None for whatever else bears the name.

    Raises:
        OSError: it cannot be opened; ENOENT when it is not there, ELOOP when it is a link.
    """
    fd = os.open(name, _READ, dir_fd=folder)
    try:
        if not S_ISREG(os.fstat(fd).st_mode):
            return None
        chunks = []
        while chunk := os.read(fd, 1 << 20):
            chunks.append(chunk)
        return b"".join(chunks)
    finally:
        os.close(fd)


def regular(path: Path, limit: int) -> bytes:
    """Return at most LIMIT bytes of a regular file; nobody waits at what else bears its name, as a FIFO.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    with os.fdopen(os.open(path, _READ), "rb") as file:
        if not S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "no regular file", str(path))
        return file.read(limit)


def create(path: str | Path, data: bytes, folder: int | None = None, *, sync: bool = True) -> None:
    """Write a new file, durably unless SYNC is false, relative to FOLDER where one is given."""
    fd = os.open(path, _CREATE, 0o644, dir_fd=folder)
    try:
        durable.write_whole(fd, data)
        if sync:
            durable.sync_file(fd)
    finally:
        os.close(fd)


def each(folder: int, names: Iterable[str], work: Callable[[int], None]) -> None:
    """Do WORK with every regular file of an open folder that is among NAMES."""
    for name in names:
        try:
            fd = os.open(name, _READ, dir_fd=folder)
        except OSError as error:
            if error.errno in NO_FILE:
                continue
            raise
        try:
            if S_ISREG(os.fstat(fd).st_mode):
                work(fd)
        finally:
            os.close(fd)


def walk(prefix: str, folder: int) -> list[str]:
    """List the keys of the regular files below an open folder, which it closes, in the order of their text."""
    found: list[str] = []
    try:
        with os.scandir(folder) as entries:
            kinds = {
                entry.name + "/" * entry.is_dir(follow_symlinks=False): entry.is_file(follow_symlinks=False)
                for entry in entries
            }
        for name in sorted(kinds):
            key = sys.intern(f"{prefix}/{name}".rstrip("/"))  # the same ones again and again: each is kept once
            if name.startswith(".") and key != DEAD:
                continue
            if kinds[name]:
                found.append(key)
            elif name.endswith("/"):
                try:
                    inner = os.open(name[:-1], _FOLDER, dir_fd=folder)
                except OSError as error:
                    if error.errno not in (errno.ENOENT, *_NO_FOLDER):  # gone, or swapped for a link, meanwhile
                        raise
                else:
                    found += walk(key, inner)
    finally:
        os.close(folder)
    return found


def _make(folder: int, name: str) -> bool:
    """Make a folder; False when something of that name is there."""
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        with suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=folder)
            return True
    return False
