"""How much watching the system allows: inotify's two limits, which all programs of a user share."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from coord.model import keys
from coord.model.values import frozen
from coord.service import watching
from coord.service.coord import Coord
from coord.service.doctor.finding import Finding

PROC = Path("/proc")
# The daemon watches each of the three folders by an instance of its own.
_INSTANCES = len(keys.FOLDERS)
_SPARE = 64  # folders that may yet be made


@frozen
class _Used:
    instances: int
    watches: int


def inotify(coord: Coord) -> Iterator[Finding]:
    """Find too few watches or instances left for a daemon, where none runs that has them already."""
    if watching.find(coord).state == "running":
        return
    used = _used()
    folders = sum(len(inner) + 1 for folder in keys.FOLDERS for _, inner, _ in os.walk(coord.home / folder))
    for name, have, need in (
        ("max_user_instances", used.instances, _INSTANCES),
        ("max_user_watches", used.watches, folders + _SPARE),
    ):
        limit = _limit(name)
        if limit is not None and limit - have < need:
            yield Finding(
                code="inotify-limit",
                what=f"{name} is {limit}, of which {have} are in use: the daemon needs {need}",
                where=f"fs.inotify.{name}",
                why="the daemon cannot start watching the folders, so nothing happens by itself",
                next=f"stop what watches so much, or run: sudo sysctl fs.inotify.{name}={limit * 2 + need}",
            )


def _limit(name: str) -> int | None:
    try:
        return int((PROC / "sys/fs/inotify" / name).read_text())
    except (OSError, ValueError):
        return None


def _used() -> _Used:
    """Count what this user's processes use, as far as they can be looked into."""
    instances = watches = 0
    for process in PROC.glob("[0-9]*"):
        for told in _told(process):
            instances += 1
            watches += told.count("inotify wd:")
    return _Used(instances, watches)


def _told(process: Path) -> Iterator[str]:
    """Yield what the system tells of each inotify instance of a process; it may end at any moment."""
    try:
        numbers = os.listdir(process / "fd") if process.stat().st_uid == os.geteuid() else []
    except OSError:
        return
    for number in numbers:
        with suppress(OSError):
            if str((process / "fd" / number).readlink()) == "anon_inode:inotify":
                yield (process / "fdinfo" / number).read_text()
