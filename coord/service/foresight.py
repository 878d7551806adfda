"""Conflicts foreseen: which agents' work will not merge, long before anybody asks for it; uncommitted work included."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

from coord.git import worktree
from coord.git.foresight import Changes, Foreseer, Hunk, Merged
from coord.model import foresight, mailboxes, quoting
from coord.model.foresight import BASE, Clash, Pair, Side
from coord.model.untrusted import clean_line
from coord.service import branches, delivery
from coord.service.command import command
from coord.service.coord import Coord

GUARD = "foresight"
TOLD, OVER = "conflict.foreseen", "conflict.over"
_WORKERS = 4
_REMEMBERED = 4096
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Place:
    """A pair of sides whose work does not go together: where, and whose began earlier ("" where nothing tells)."""

    first: str
    second: str
    paths: tuple[str, ...]
    hunks: tuple[Hunk, ...] = ()
    older: str = ""

    @property
    def marks(self) -> tuple[str, ...]:
        """What tells these paths from others, short enough for a trailer."""
        return tuple(hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:10] for path in self.paths)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Who would conflict with whom if all merged what they have now; a second side "" is the base."""

    base: str
    at: datetime
    sides: tuple[Side, ...]
    conflicts: tuple[Place, ...]


@command("conflicts", example="coord conflicts")
def conflicts(
    coord: Coord,
    *,
    agent: Annotated[str, "only this agent's"] = "",
    committed: Annotated[bool, "leave out what is not committed yet"] = False,
) -> Forecast:
    """Show which agents' work will conflict with whose, or with the base, before anybody merges it.

    Everything is merged in memory, pair by pair, with what lies uncommitted in the
    worktrees; no worktree, index or branch is touched. While a daemon runs, both agents
    are told of a new conflict by themselves.
    """
    wanted = coord.known(agent) if agent else ""
    found = Foresight(coord).look(committed=committed)
    chosen = tuple(one for one in found.conflicts if wanted in ("", one.first, one.second))
    return replace(found, conflicts=chosen)


@dataclass
class Foresight:
    """Looks ahead; what it has found out about commits it need not find out again."""

    coord: Coord
    _changes: dict[Pair, tuple[str, Changes]] = field(default_factory=dict)
    _merged: dict[Pair, Merged] = field(default_factory=dict)
    _states: dict[str, tuple[tuple[object, ...], str]] = field(default_factory=dict)

    def look(self, *, committed: bool = False, again: bool = True) -> Forecast:
        """Look at all work there is. Without AGAIN, uncommitted work only where an index or a branch moved since."""
        coord = self.coord
        base = branches.seen_base(coord)
        tip = coord.git.tip(branches.ref(base)) if base else None
        if tip is None:
            return Forecast(base, coord.now(), (), ())
        with coord.store.exclusive(GUARD):
            foreseer = Foreseer(coord.git, coord.place.common, coord.private / GUARD)
            if foreseer.trim() or len(self._merged) > _REMEMBERED:
                self._changes, self._merged, self._states = {}, {}, {}
            trees = [tree for tree in self._trees() if not tree.prunable]
            with ThreadPoolExecutor(_WORKERS) as pool:
                found = pool.map(lambda tree: self._side(foreseer, tip, tree, committed, again), trees)
                sides = tuple(side for side in found if side is not None)
            return self._forecast(foreseer, base, tip, sides)

    def _trees(self) -> list[worktree.Worktree]:
        places = {self.coord.worktree_of(name) for name in self.coord.config.names}
        return [tree for tree in worktree.all_of(self.coord.git) if tree.path in places and tree.head.strip("0")]

    def _side(self, foreseer: Foreseer, tip: str, tree: worktree.Worktree, committed: bool, again: bool) -> Side | None:
        name = next(one for one in self.coord.config.names if self.coord.worktree_of(one) == tree.path)
        state = tree.head if committed else self._state(foreseer, name, tree, again=again)
        known = self._changes.get((tip, state))
        if known is None:
            start = foreseer.parted(tip, state)
            if start is None:
                return None
            known = self._changes[tip, state] = (start, foreseer.changes(start, state))
        start, changes = known
        return Side(
            name=name,
            branch=tree.branch,
            head=tree.head,
            commit=state,
            paths=changes.paths,
            left=changes.left,
            entered=changes.entered,
            behind=start != tip,
        )

    def _state(self, foreseer: Foreseer, name: str, tree: worktree.Worktree, *, again: bool) -> str:
        stamp = (tree.head, _stamp(tree.path))
        known = self._states.get(name)
        if known is not None and known[0] == stamp and not again:
            return known[1]
        state = foreseer.snapshot(tree.path, tree.head, name)
        self._states[name] = (stamp, state)
        return state

    def _forecast(self, foreseer: Foreseer, base: str, tip: str, sides: tuple[Side, ...]) -> Forecast:
        commits = {BASE: tip} | {side.name: side.commit for side in sides}
        asked = {pair: (commits[pair[0]], commits[pair[1]]) for pair in foresight.suspects(sides)}
        fresh = [pair for pair in dict.fromkeys(asked.values()) if pair not in self._merged]
        self._merged.update(zip(fresh, foreseer.merge(fresh), strict=True))
        merged = {pair: self._merged[both].conflicts for pair, both in asked.items()}
        found = foresight.clashes(sides, merged)
        dated = self._dated(foreseer, tip, sides, found)
        places = (self._place(foreseer, clash, self._merged[asked[clash.pair]].tree, dated) for clash in found)
        return Forecast(base, self.coord.now(), tuple(dated[side.name] for side in sides), tuple(places))

    def _dated(self, foreseer: Foreseer, tip: str, sides: Sequence[Side], found: Sequence[Clash]) -> dict[str, Side]:
        """Find out since when those who conflict have worked; nobody asks it of the others."""
        involved = {name for clash in found for name in clash.pair}
        dated = {}
        for side in sides:
            start, _ = self._changes[tip, side.commit]
            since = foreseer.began(start, side.head) if side.name in involved else None
            dated[side.name] = replace(side, since=since)
        return dated

    def _place(self, foreseer: Foreseer, clash: Clash, tree: str, sides: dict[str, Side]) -> Place:
        hunks = tuple(foreseer.hunks(tree, clash.paths[:_SHOWN]))
        older = foresight.older(sides[clash.first], sides[clash.second]) if clash.second != BASE else BASE
        return Place(clash.first, clash.second, clash.paths, hunks, older)


def _stamp(path: Path) -> tuple[int, ...]:
    """Return what changes when a worktree's index does; its branch tells the rest."""
    pointer = path / ".git"
    try:
        private = Path(pointer.read_text(encoding="utf-8", errors="surrogateescape").removeprefix("gitdir:").strip())
        found = (path / private / "index").stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size


def told(coord: Coord) -> dict[Pair, frozenset[str]]:
    """Return the conflicts that agents were told of and that are not over, with the marks of their paths."""
    coord.index.sync()
    found: dict[Pair, frozenset[str]] = {}
    for entry in coord.index.entries(kind="conflict."):
        first, _, second = entry.facts.get("Pair", "").partition(" ")
        found[first, second] = frozenset(entry.facts.get("Paths", "").split() if entry.kind == TOLD else ())
    return {pair: marks for pair, marks in found.items() if marks}


def tell(coord: Coord, place: Place) -> None:
    """Tell both sides of a conflict, and the coordinator, once: where it is, whose work is older, what to do."""
    sides = [name for name in (place.first, place.second) if name != BASE]
    readers = [*sides, *([coord.config.coordinator] if coord.config.coordinator != mailboxes.OWNER else [])]
    named = f"{place.first} and {place.second or 'the base'}"
    subject = f"conflict ahead: {named}, {clean_line(place.paths[0], 60)}" + (
        f" and {len(place.paths) - 1} more" if len(place.paths) > 1 else ""
    )
    word = delivery.notice(coord, sides[0], subject, _body(coord, place), kind="alert", priority="high")
    word = replace(word, to=tuple(dict.fromkeys(readers)))
    coord.record(
        coord.event(
            TOLD,
            f"{named}: {len(place.paths)} path{'s' if len(place.paths) > 1 else ''}",
            delivery.copies(word, word.to),
            agent=delivery.COORD,
            id=word.id,
            pair=f"{place.first} {place.second}".strip(),
            paths=" ".join(place.marks),
        )
    )


def over(coord: Coord, pair: Pair) -> None:
    """Record that a conflict is gone, so that it would be news again."""
    named = f"{pair[0]} and {pair[1] or 'the base'}"
    coord.record(coord.event(OVER, f"{named} go together again", agent=delivery.COORD, pair=" ".join(pair).strip()))


def _body(coord: Coord, place: Place) -> str:
    base = branches.seen_base(coord)
    at = {path: [hunk for hunk in place.hunks if hunk.path == path] for path in place.paths[:_SHOWN]}
    lines = [f"What {place.first} and {place.second or base} have now cannot be merged without a conflict in:", ""]
    for path, hunks in at.items():
        where = ", ".join(f"line {hunk.line} ({hunk.lines} lines)" for hunk in hunks[:3])
        lines.append(f"- {clean_line(path, 200)}{f': {where}' if where else ''}")
    if len(place.paths) > _SHOWN:
        lines.append(f"- … and {len(place.paths) - _SHOWN} more")
    return "\n".join([*lines, "", _advice(place, base), "", "All of it: `coord conflicts`.", ""])


def _advice(place: Place, base: str) -> str:
    if place.second == BASE:
        return f"Merge `{base}` into your branch now, while the conflict is small."
    if not place.older:
        return (
            "Agree by mail who goes first; the other merges that branch, or waits for it to land and merges the base."
        )
    younger = place.second if place.older == place.first else place.first
    older = quoting.address(place.older)
    return (
        f"{older}'s work began earlier: {quoting.address(younger)} gives way. Let it land first, then merge the base; "
        f"or agree otherwise by mail. A lease on the path (`coord lock acquire`) keeps it from growing."
    )
