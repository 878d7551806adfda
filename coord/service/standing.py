"""Where an agent's work stands: what git says of its worktree now, and the leases it holds."""

from collections.abc import Iterable
from pathlib import Path

from coord.git import discovery, history, worktree
from coord.git.repo import Git
from coord.model import leases
from coord.model.errors import CoordError
from coord.model.records import Lock
from coord.model.regex import regex
from coord.model.untrusted import clean_line
from coord.model.values import frozen
from coord.service import branches
from coord.service.coord import Coord
from coord.service.leasebook import Book

MOST = 200
_ROOM = 8_000
_REMAINDER = "… and "
_COMMIT = regex(r"[0-9a-f]{7,64}")


@frozen
class Standing:
    """A worktree as it is now; `branch` is "" when detached, `commit` before the first one."""

    path: Path
    branch: str
    commit: str
    dirty: tuple[str, ...]
    operation: str


@frozen
class Commits:
    """How many commits there are, and the newest of them, a line each."""

    count: int
    lines: tuple[str, ...]


def of(coord: Coord, agent: str) -> Standing:
    """Look at AGENT's worktree, or, where it has none, at the one the caller stands in."""
    path = _place(coord, agent)
    git = Git(path)
    head = git.run("symbolic-ref", "--quiet", "--short", "HEAD", check=False)
    return Standing(
        path=path,
        branch=head.out.decode(errors="replace").strip(),
        commit=git.tip("HEAD") or "",
        dirty=tuple(_text(name) for name in worktree.dirty(path)),
        operation=worktree.operation(worktree.private(git)),
    )


def _place(coord: Coord, agent: str) -> Path:
    own = coord.worktree_of(agent)
    try:
        found = discovery.find(own)
    except CoordError:
        return coord.place.top
    return own if (found.common, found.top) == (coord.place.common, own) else coord.place.top


def touched(coord: Coord, now: Standing) -> tuple[str, ...]:
    """Return the files that the branch changed since it left the base branch."""
    tip = coord.git.tip(branches.ref(branches.seen_base(coord)))
    if not tip or not now.commit:
        return ()
    # Without a common ancestor git refuses, and nothing can be told.
    done = coord.git.run("diff", "--name-only", "-z", "--no-renames", f"{tip}...{now.commit}", check=False)
    return tuple(name for name in done.out.decode(errors="replace").split("\0") if name) if done.status == 0 else ()


def added(coord: Coord, old: str, new: str) -> Commits | None:
    """Return the commits between OLD and NEW, or None where OLD (anybody's text) is no ancestor of NEW."""
    if not _COMMIT.fullmatch(old) or not new or not history.is_ancestor(coord.git, old, new):
        return None
    return commits(coord, old, new)


def commits(coord: Coord, old: str, new: str, *, limit: int = 6) -> Commits:
    """Return the commits that NEW has and OLD has not, newest first, the first LIMIT described."""
    count = int(coord.git.text("rev-list", "--count", f"{old}..{new}"))
    found = coord.git.run("log", "-z", f"-{limit}", "--format=%h %an: %s", f"{old}..{new}", "--").out
    lines = (clean_line(line, 120) for line in found.decode(errors="replace").split("\0") if line)
    return Commits(count, tuple(lines))


def held(coord: Coord, agent: str) -> tuple[Lock, ...]:
    """Return the live leases of AGENT.

    Raises:
        BadRecord: a lease on file cannot be read, and may be anybody's.
    """
    return tuple(lock for lock in leases.live(Book.read(coord).held, coord.now()) if lock.holder == agent)


def bounded(names: Iterable[str]) -> tuple[str, ...]:
    """Return as many names as a record's front matter has room for; a last entry counts those left out."""
    found = tuple(names)
    room = _ROOM
    for position, name in enumerate(found):
        room -= len(name.encode("unicode_escape"))
        if position == MOST or room < 0:
            return (*found[:position], f"{_REMAINDER}{len(found) - position} more")
    return found


def is_remainder(name: str) -> bool:
    """Tell whether an entry of a list that `bounded` made stands for those left out."""
    return name.startswith(_REMAINDER)


def _text(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
