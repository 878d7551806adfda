"""Before a file is edited: whose it is, and a lease for who edits what is free.

Whose it is, is decided first and by looking alone, as `coord lock check` does: whatever
fails afterwards (a full disk, a guard that nobody gives back), a conflict has been seen.
"""

import os
import shlex
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from coord.git import discovery
from coord.model import leases, quoting, scope, scopetext, times
from coord.model.errors import CoordError, Corrupt, LeaseHeld, Usage
from coord.model.records import Lock
from coord.model.regex import regex
from coord.model.values import frozen
from coord.service import locks
from coord.service.coord import Coord
from coord.service.guard import editnotes
from coord.service.locks import Verdict

_FOLDER = "locks"
# No file can be called so: a null byte, and halves of characters that stand for no byte.
_NO_PATH = regex("[\x00\ud800-\udc7f\udd00-\udfff]")
# What a file's name may hold and a scope may not: there any character stands for it.
_UNNAMED = regex("[\x01-\x1f\x7f-\x9f\udc80-\udcff]")


@frozen
class Ruling:
    """Whether some files may be edited: `refusal` says why not; `free` are the scopes that nobody holds.

    `paths` are the files below the repository's top, `own` the leases that who edits them holds over them.
    """

    refusal: str = ""
    free: tuple[str, ...] = ()
    fading: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    own: tuple[Lock, ...] = ()


@frozen
class Taken:
    """Leases that were taken, or why they could not be had."""

    locks: tuple[Lock, ...] = ()
    why: str = ""


def rule(coord: Coord, agent: str, paths: Sequence[str], cwd: str) -> Ruling:
    """Decide for AGENT ("" is nobody known) about the files PATHS; what lies outside the repository is nobody's.

    Raises:
        Corrupt: a lease on file cannot be read, and may be anybody's; or all of them are gone.
        Unavailable: none can be read.
    """
    scopes = tuple(dict.fromkeys(text for path in paths for text in _scopes(coord, os.path.join(cwd, path))))
    if not scopes:
        return Ruling()
    require(coord)
    verdicts = [_rejudged(verdict, agent) for verdict in locks.check(coord, scopes).verdicts]
    if held := [verdict for verdict in verdicts if not verdict.may_write]:
        return Ruling(refusal=_refusal(coord, agent, held))
    free = tuple(_text(coord, verdict) for verdict in verdicts if verdict.free)
    fading = tuple(_text(coord, verdict) for verdict in verdicts if _is_fading(coord, agent, verdict))
    own = tuple(lock for verdict in verdicts for lock in verdict.held_by if lock.holder == agent)
    return Ruling(
        free=free, fading=fading, paths=tuple(scopetext.unquoted(verdict.path) for verdict in verdicts), own=own
    )


def take(coord: Coord, scopes: Sequence[str], note: str) -> Taken:
    """Take leases on SCOPES for who speaks, or tell why they could not be had: somebody was there first.

    Who merely waits for something that overlaps vetoes no edit of what is free.

    Raises:
        LeaseHeld: somebody took one meanwhile.
    """
    try:
        return Taken(locks.acquire(coord, tuple(scopes), note=note).locks)
    except LeaseHeld as fault:
        if fault.facts.get("scopes"):
            raise
        return Taken(why=fault.message)


def note(coord: Coord, agent: str, ruling: Ruling, taken: Sequence[Lock]) -> None:
    """Note under which lease AGENT edits each file, for the commit that will have it.

    Raises:
        Unavailable: it cannot be kept.
    """
    for path in ruling.paths:
        over = (lock for lock in (*ruling.own, *taken) if scope.covers(lock.scope, path, coord.form))
        under = max(over, key=lambda lock: lock.token, default=None)
        editnotes.write(coord, agent, path, under.token if under else 0, under.scope if under else "")


def held_by_others(fault: LeaseHeld) -> str:
    """Return the refusal of an edit whose lease went to somebody else a moment ago."""
    return f"coord: not now. {fault.message}. {fault.hint}"


def require(coord: Coord) -> None:
    """Refuse to judge without the folder of the leases: an empty answer would say that all is free.

    Raises:
        Corrupt: it is gone, or another thing stands in its place.
    """
    path = coord.home / _FOLDER
    if path.is_dir() and not path.is_symlink():
        return
    there = os.path.lexists(path)
    if there or coord.indexed().live(_FOLDER):
        what = "is no real folder" if there else "is gone"
        raise Corrupt(f"{path} {what}: who holds what cannot be told", hint="coord doctor --fix")


def _scopes(coord: Coord, path: str) -> list[str]:
    """Return PATH as texts that name scopes, by its own name and by where links lead; none where it is outside.

    Nothing in a path is magic, and it may lie in any worktree of the repository.
    """
    if not path.isprintable() and _NO_PATH.search(path):
        return []
    path = os.path.normpath(path)
    folder, name = os.path.split(path)
    found = []
    for one in dict.fromkeys((path, os.path.join(os.path.realpath(folder), name), os.path.realpath(path))):
        tops = sorted({str(top) for top in _tops(coord, Path(one))}, key=len, reverse=True)
        inside = next((one[len(top) + 1 :] for top in tops if one.startswith(f"{top}/")), "")
        quoted = scope.quote(inside)
        text = f"{coord.place.top}/{quoted if quoted.isprintable() else _UNNAMED.sub('?', quoted)}"
        try:
            if inside and coord.scope(text):
                found.append(text)
        except Usage:
            continue  # private to git or coord
    return found


def _tops(coord: Coord, path: Path) -> Iterator[Path]:
    yield from (coord.place.top, coord.home, *map(coord.worktree_of, coord.config.names))
    try:
        place = discovery.find(next(folder for folder in path.parents if folder.is_dir()))
    except (CoordError, OSError):
        return
    if place.common == coord.place.common:
        yield place.top


def _rejudged(verdict: Verdict, agent: str) -> Verdict:
    """Give a path to who held it first, where two hold it at once: only a hand can write such leases."""
    own = [lock.token for lock in verdict.held_by if lock.holder == agent and lock.mode == "exclusive"]
    others = tuple(lock for lock in verdict.held_by if lock.holder != agent)
    if own and all(lock.token > min(own) for lock in others):
        return Verdict(verdict.path, free=False, yours=True, held_by=verdict.held_by)
    yours = bool(verdict.held_by) and not others
    return Verdict(verdict.path, free=verdict.free, yours=yours, held_by=verdict.held_by)


def _text(coord: Coord, verdict: Verdict) -> str:
    return f"{coord.place.top}/{verdict.path}"


def _is_fading(coord: Coord, agent: str, verdict: Verdict) -> bool:
    """Tell whether AGENT's own lease on exactly this path is past its half, and worth extending while it works."""
    own = [lock for lock in verdict.held_by if lock.holder == agent and lock.scope == verdict.path]
    return any(lock.expires_at - coord.now() < coord.config.leases.ttl / 2 for lock in own)


def _refusal(coord: Coord, agent: str, held: Sequence[Verdict]) -> str:
    others = {(lock.scope, lock.token): lock for verdict in held for lock in verdict.held_by if lock.holder != agent}
    wanted = " ".join(shlex.quote(verdict.path) for verdict in held)
    holders = tuple(dict.fromkeys(lock.holder for lock in others.values()))
    who = " and ".join(map(quoting.address, holders))
    lines = [f"coord: refused, leased to {who}; do not write it by other means either."]
    lines += [f"- {_held(coord, lock)}" for lock in others.values()]
    asking = " or ".join(f'coord mail send {quoting.address(name)} "..."' for name in holders)
    lines.append(f"Ask for it: {asking}")
    lines.append(f"Or wait in line: coord lock acquire {wanted} --wait 10m")
    if not agent:
        lines.append("Nothing tells which agent you are; if the lease is yours, say so with COORD_AGENT=NAME.")
    return "\n".join(lines)


def _held(coord: Coord, lock: Lock) -> str:
    left = times.format_duration(max(lock.expires_at - coord.now(), timedelta(0)))
    return f"{leases.describe((lock,))}, {left} left"
