"""What coord stands on: git, and the file system that the repository lies in."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import psutil

from coord.git import repo
from coord.service.coord import Coord
from coord.service.doctor.finding import Finding

_LEAST = 256 << 10  # bytes: a message, its commit, and git's own files beside it
_NETWORK = ("nfs", "cifs", "smb", "afpfs", "webdav", "davfs", "ncpfs", "9p", "afs", "ceph", "glusterfs", "lustre")
_NETWORK_BY_FUSE = ("sshfs", "rclone", "s3fs", "davfs", "glusterfs", "macfuse", "osxfuse")
_SYNCED = ("dropbox", "onedrive", "icloud", "mobile documents", "google drive", "googledrive", "cloudstorage")


def old_git(_coord: Coord) -> Iterator[Finding]:
    """Find a git that lacks what coord needs."""
    have = repo.version()
    if have < repo.OLDEST:
        need = ".".join(map(str, repo.OLDEST))
        yield Finding(
            code="git-too-old",
            what=f"git {'.'.join(map(str, have))} is older than {need}",
            where="git",
            why="merges cannot be predicted with it, and what it writes is not all synced to disk",
            next=f"install git {need} or newer",
        )


def network(coord: Coord) -> Iterator[Finding]:
    """Find a repository on a file system that other machines share."""
    for path in _places(coord):
        kind = _file_system(path)
        if _is_network(kind.lower()):
            yield Finding(
                code="network-file-system",
                what=f"this is a network file system ({kind})",
                where=str(path),
                why="locks there do not hold between machines, and what was synced may be lost all the same",
                next="move the repository to a local disk, and share it with git push and fetch",
            )


def read_only(coord: Coord) -> Iterator[Finding]:
    """Find a repository on a file system that is mounted read-only."""
    for path in _places(coord):
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            yield Finding(
                code="read-only",
                what="the file system is mounted read-only",
                where=str(path),
                why="what is there can be read; nothing can be sent, leased or mended",
                next=f"mount it writable: sudo mount -o remount,rw {shlex.quote(str(_mount(path)))}",
            )


def full(coord: Coord) -> Iterator[Finding]:
    """Find a repository on a file system without room."""
    for path in _places(coord):
        found = os.statvfs(path)
        free = found.f_bavail * found.f_frsize
        no_names = found.f_files > 0 and not found.f_favail
        if (free < _LEAST or no_names) and not found.f_flag & os.ST_RDONLY:
            yield Finding(
                code="disk-full",
                what="it has no room for another file" if no_names else f"{free:,} bytes are free there",
                where=str(path),
                why="nothing can be sent or leased, or it is noted and cannot be committed",
                next="free some space on that disk, then run: coord doctor --fix",
            )


def synced(coord: Coord) -> Iterator[Finding]:
    """Find a repository that a program copies to other machines behind git's back."""
    for path in _places(coord):
        found = [part for part in path.parts if part.lower().startswith(_SYNCED)]
        if found:
            yield Finding(
                code="synced-folder",
                what=f"{found[0]} is a folder that another program keeps in step with a cloud",
                where=str(path),
                why="it replaces files while git and coord write them, and brings back what was removed",
                next="move the repository out of it, and share it with git push and fetch",
            )


def letter_case(coord: Coord) -> Iterator[Finding]:
    """Find a file system on which two names that differ in letter case are one file."""
    head = coord.place.common / "HEAD"
    try:
        folds = head.samefile(head.with_name("hEAD"))
    except OSError:
        return
    if not folds:
        return
    told = coord.form.fold_case
    yield Finding(
        code="case-insensitive",
        what="the file system takes upper and lower case for the same"
        + ("" if told else ", and git was not told (core.ignorecase)"),
        where=str(coord.home),
        why="leases on README and readme are the same file"
        + (": coord minds it" if told else ", and coord would grant both"),
        next="nothing to do" if told else "run `git config core.ignorecase true`",
        warning=told,
    )


def _places(coord: Coord) -> list[Path]:
    """Return where the files are and where git's own are, once where one lies in the other."""
    home, common = (Path(os.path.realpath(path)) for path in (coord.home, coord.place.common))
    return [home] if common.is_relative_to(home) else [home, common]


def _is_network(kind: str) -> bool:
    return kind.startswith(_NETWORK) or kind.removeprefix("fuse.") in _NETWORK_BY_FUSE


def _mount(path: Path) -> Path:
    return next(one for one in (path, *path.parents) if one.is_mount())


def _file_system(path: Path) -> str:
    mounts = [part for part in psutil.disk_partitions(all=True) if path.is_relative_to(part.mountpoint)]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else ""
