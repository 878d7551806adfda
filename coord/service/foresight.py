"""Conflicts foreseen: which agents' work will not merge, long before anybody asks for it; uncommitted work included."""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

from coord.git import worktree
from coord.git.foresight import Changes, Foreseer, Hunk, Merged, State
from coord.git.relations import Relation, relations
from coord.git.worktree import Worktree
from coord.model import foresight, mailboxes, quoting
from coord.model.foresight import BASE, Pair, Side
from coord.model.untrusted import clean_line
from coord.model.values import frozen
from coord.service import branches, delivery
from coord.service.command import command
from coord.service.coord import Coord

GUARD = "foresight"
TOLD, OVER = "conflict.foreseen", "conflict.over"
_REMEMBERED = 4096
_SHOWN = 12
Span = tuple[str, str]  # two commits


@frozen
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


@frozen
class Work:
    """What an agent has that the base lacks: the paths it changed, and whether some of that is not committed."""

    agent: str
    branch: str
    head: str
    dirty: bool
    paths: tuple[str, ...]


@frozen
class Forecast:
    """Who would conflict with whom if all merged what they have now; a second side "" is the base, at `tip`.

    `lagging` are those who lack some of it and have nothing uncommitted.
    """

    base: str
    at: datetime
    works: tuple[Work, ...]
    conflicts: tuple[Place, ...]
    tip: str = ""
    lagging: tuple[str, ...] = ()


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
    if not wanted:
        return found
    chosen = tuple(one for one in found.conflicts if wanted in (one.first, one.second))
    involved = {wanted, *(name for one in chosen for name in (one.first, one.second))}
    return replace(found, works=tuple(one for one in found.works if one.agent in involved), conflicts=chosen)


@dataclass
class Foresight:
    """Looks ahead; what it has found out about commits it need not find out again."""

    coord: Coord
    _changes: dict[Span, Changes] = field(default_factory=dict)
    _merged: dict[Span, Merged] = field(default_factory=dict)
    _hunks: dict[tuple[str, str], tuple[Hunk, ...]] = field(default_factory=dict)
    _states: dict[str, tuple[tuple[object, ...], str]] = field(default_factory=dict)

    def look(self, *, committed: bool = False, again: bool = True) -> Forecast:
        """Look at all work there is. Without AGAIN, uncommitted work only where an index or a branch moved since."""
        coord = self.coord
        base = branches.seen_base(coord)
        tip = coord.git.peek(coord.place.common, branches.ref(base)) if base else None
        if tip is None:
            return Forecast(base, coord.now(), (), ())
        with coord.store.exclusive(GUARD):
            foreseer = Foreseer(coord.git, coord.place.common, coord.private / GUARD)
            if foreseer.trim() or len(self._merged) + len(self._changes) > _REMEMBERED:
                self._changes, self._merged, self._hunks, self._states = {}, {}, {}, {}
            trees = self._trees()
            with ThreadPoolExecutor(1) as beside:
                looks = beside.submit(self._look_at, foreseer, {} if committed else trees, again=again)
                apart = relations(coord.git, tip, {tree.head for tree in trees.values()})
                states = {name: tree.head for name, tree in trees.items()} | looks.result()
            sides = self._sides(foreseer, tip, trees, states, apart)
            clean = (name for name, tree in trees.items() if states[name] == tree.head)
            parted = {name: apart[trees[name].head].parted for name in clean if trees[name].head in apart}
            lagging = tuple(name for name, start in parted.items() if start not in (None, tip))
            return replace(self._forecast(foreseer, base, tip, sides), lagging=lagging)

    def _trees(self) -> dict[str, Worktree]:
        agents = {self.coord.worktree_of(name): name for name in self.coord.config.names}
        listed = (tree for tree in worktree.all_of(self.coord.git) if tree.path in agents)
        return {agents[tree.path]: tree for tree in listed if not tree.prunable and tree.head.strip("0")}

    def _look_at(self, foreseer: Foreseer, trees: Mapping[str, Worktree], *, again: bool) -> dict[str, str]:
        """Return what lies in each worktree, as a commit; without AGAIN it is looked for only where something moved."""
        stamps = {name: (tree.head, _stamp(tree.path)) for name, tree in trees.items()}
        fresh = [name for name in trees if again or self._states.get(name, ((), ""))[0] != stamps[name]]
        found = foreseer.snapshots([State(trees[name].path, trees[name].head, name) for name in fresh])
        self._states |= {name: (stamps[name], state) for name, state in zip(fresh, found, strict=True)}
        return {name: self._states[name][1] for name in trees}

    def _sides(
        self,
        foreseer: Foreseer,
        tip: str,
        trees: Mapping[str, Worktree],
        states: Mapping[str, str],
        apart: Mapping[str, Relation],
    ) -> tuple[Side, ...]:
        spans: dict[str, Span] = {}
        for name, tree in trees.items():
            found = apart.get(tree.head)
            if found is not None and found.parted is not None:
                spans[name] = (found.parted, states[name])
        fresh = [span for span in dict.fromkeys(spans.values()) if span not in self._changes]
        self._changes.update(zip(fresh, foreseer.changes(fresh), strict=True))
        return tuple(
            Side(
                name=name,
                branch=trees[name].branch,
                head=trees[name].head,
                commit=span[1],
                paths=self._changes[span].paths,
                left=self._changes[span].left,
                entered=self._changes[span].entered,
                behind=span[0] != tip,
                since=apart[trees[name].head].since,
            )
            for name, span in spans.items()
            if self._changes[span].paths
        )

    def _forecast(self, foreseer: Foreseer, base: str, tip: str, sides: tuple[Side, ...]) -> Forecast:
        known = {side.name: side for side in sides}
        commits = {BASE: tip} | {side.name: side.commit for side in sides}
        asked = {pair: (commits[pair[0]], commits[pair[1]]) for pair in foresight.suspects(sides)}
        fresh = [span for span in dict.fromkeys(asked.values()) if span not in self._merged]
        self._merged.update(zip(fresh, foreseer.merge(fresh), strict=True))
        clashes = foresight.clashes(sides, {pair: self._merged[span].conflicts for pair, span in asked.items()})
        shown = [(self._merged[asked[clash.pair]].tree, path) for clash in clashes for path in clash.paths[:_SHOWN]]
        unread = [one for one in dict.fromkeys(shown) if one not in self._hunks]
        self._hunks.update(zip(unread, foreseer.hunks(unread), strict=True))
        places = []
        for clash in clashes:
            tree = self._merged[asked[clash.pair]].tree
            here = tuple(hunk for path in clash.paths[:_SHOWN] for hunk in self._hunks[tree, path])
            older = foresight.older(known[clash.first], known[clash.second]) if clash.second != BASE else BASE
            places.append(Place(clash.first, clash.second, clash.paths, here, older))
        works = (Work(side.name, side.branch, side.head, side.dirty, tuple(sorted(side.paths))) for side in sides)
        return Forecast(base, self.coord.now(), tuple(works), tuple(places), tip)


def _stamp(path: Path) -> tuple[int, ...]:
    """Return what changes when a worktree's index does; its branch tells the rest."""
    try:
        found = (worktree.own(path) / "index").stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size


def conflicting(coord: Coord, heads: Sequence[str], tip: str) -> list[tuple[str, ...]]:
    """Return in which paths each of HEADS conflicts with TIP; nothing is left of it where the owner's objects are."""
    if not heads:
        return []
    with coord.store.exclusive(GUARD):
        foreseer = Foreseer(coord.git, coord.place.common, coord.private / GUARD)
        return [one.conflicts for one in foreseer.merge([(head, tip) for head in heads])]


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
