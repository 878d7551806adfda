"""Conflicts that were resolved once: asked for by the queue, learned ahead beside it."""

from coord.git.remembered import Memory
from coord.service.coord import Coord

GUARD = "rerere"
_AT_ONCE = 20  # merges: the queue may be waiting meanwhile


def resolved(coord: Coord, ours: str, theirs: str) -> str | None:
    """Return the tree of a merge whose conflicts are all known; what is not learned yet is learned first."""
    with coord.store.exclusive(GUARD):
        return _memory(coord).resolve(ours, theirs)


def learn(coord: Coord) -> bool:
    """Learn a few of the newest merges, where the queue is to remember any; True where there may be more."""
    if coord.config.merge.rerere == "off" or not coord.config.merge.gate:
        return False
    with coord.store.exclusive(GUARD):
        return _memory(coord).learn(_AT_ONCE) == _AT_ONCE


def _memory(coord: Coord) -> Memory:
    return Memory(coord.git, coord.place.common, coord.private / "rerere")
