"""Who will conflict with whom: which pairs are worth a merge in memory, and what of its conflicts is theirs."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import combinations

from coord.model.values import frozen

BASE = ""  # the name of the side that all others will be merged into
Pair = tuple[str, str]


@frozen(kw_only=True)
class Side:
    """Work that will be merged one day: `head` is its last commit, `commit` also holds what lies uncommitted beside it.

    `paths` are what it changed since it parted from the base, both names of a renamed file. `left` are the
    folders that lost files, `entered` those that gained some: to rename a folder is to lose there.
    """

    name: str
    branch: str
    head: str
    commit: str
    paths: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()
    entered: frozenset[str] = frozenset()
    behind: bool = False
    since: datetime | None = None

    @property
    def dirty(self) -> bool:
        """Whether some of it is not committed."""
        return self.commit != self.head


@frozen
class Clash:
    """Two sides whose changes do not go together, and where; `second` is BASE where the base itself is one."""

    first: str
    second: str
    paths: tuple[str, ...]

    @property
    def pair(self) -> Pair:
        """Who they are."""
        return self.first, self.second


def suspects(sides: Sequence[Side]) -> list[Pair]:
    """Return the pairs that a merge must be tried for; all others cannot conflict.

    A merge conflicts only where both sides changed a path, where one made a file of what is a folder
    to the other, or where one moved a folder into which the other put files.
    """
    with_base = [(side.name, BASE) for side in sides if side.behind and side.paths]
    above = {side.name: frozenset(_above(side.paths)) for side in sides}
    return with_base + [
        (first.name, second.name)
        for first, second in combinations(sides, 2)
        if first.paths & second.paths
        or first.paths & above[second.name]
        or second.paths & above[first.name]
        or first.left & second.entered
        or second.left & first.entered
    ]


def clashes(sides: Sequence[Side], merged: Mapping[Pair, Sequence[str]]) -> list[Clash]:
    """Return what of the conflicts that merging each suspected pair gave is between these two.

    A side that is behind the base brings what it has against the base into every merge: that is
    told of it and the base, not of it and everybody.
    """
    known = {side.name: side for side in sides}
    found = []
    for (first, second), paths in merged.items():
        based: set[str] = set()
        if second != BASE:
            both = known[first].paths & known[second].paths
            based = {*merged.get((first, BASE), ()), *merged.get((second, BASE), ())} - both
        if theirs := [path for path in paths if path not in based]:
            found.append(Clash(first, second, tuple(sorted(theirs))))
    return found


def older(first: Side, second: Side) -> str:
    """Return whose work began earlier, or "" where that cannot be told; what is not committed began last."""
    if first.since == second.since:
        return ""
    if first.since is None or second.since is None:
        return second.name if first.since is None else first.name
    return first.name if first.since < second.since else second.name


def folders(paths: Sequence[str]) -> frozenset[str]:
    """Return every folder that some PATHS lie in, near or far; the top is none."""
    return frozenset(_above(paths))


def _above(paths: Sequence[str] | frozenset[str]) -> Iterator[str]:
    for path in paths:
        while "/" in path:
            path = path.rpartition("/")[0]  # noqa: PLW2901 - one step up
            yield path
