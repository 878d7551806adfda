"""Who is ahead of the base, behind it, in conflict with it, queued or landing."""

from typing import Literal

from coord.git.relations import Relation, relations
from coord.model.gate import PASSED, has_passed
from coord.model.values import frozen
from coord.service import branches, foresight, merges, worktrees
from coord.service.command import command
from coord.service.coord import Coord

Standing = Literal["landing", "testing", "queued", "conflict", "ready", "behind", "level"]


@frozen
class Branch:
    """A branch: an agent's, or one that waits to be merged; `batch` is what it is tested in, `conflicts` where."""

    branch: str
    agent: str
    standing: Standing
    ahead: int = 0
    behind: int = 0
    request: str = ""
    batch: str = ""
    position: int = 0
    note: str = ""
    conflicts: tuple[str, ...] = ()


@frozen
class Graph:
    """The base and all that is to go into it: what lands first, what is queued in its order, and the rest."""

    base: str
    tip: str
    branches: tuple[Branch, ...]


@command("merge graph", example="coord merge graph")
def graph(coord: Coord) -> Graph:
    """Draw who is ahead of the base, behind it, in conflict with it, queued, tested together or landing."""
    base = branches.base(coord)
    tip = branches.tip(coord, base)
    queued = [one for _, one in merges.waiting(coord) if one.into == base]
    asked = {one.branch for one in queued}
    others: dict[str, tuple[str, str]] = {}
    for name in coord.config.names:
        branch = worktrees.branch_of(coord, name)
        head = coord.git.tip(branches.ref(branch))
        if branch not in asked and branch != base and head is not None:
            others[branch] = (name, head)
    present = {head for one in queued if (head := one.head) and coord.git.tip(head)}
    apart = relations(coord.git, tip, present | {head for _, head in others.values()})
    asked_of = [one.head for one in queued if one.state == "queued" and one.head in present]
    asked_of += [head for _, head in others.values() if all(_far(apart.get(head)))]
    clashes = dict(zip(asked_of, foresight.conflicting(coord, asked_of, tip), strict=True))
    strays, made = merges.strays(coord, queued), []
    for one in queued:
        ahead, behind = _far(apart.get(one.head))
        conflicts = clashes.get(one.head, ()) if one.state == "queued" else ()
        standing: Standing = "conflict" if conflicts else _STANDING.get(one.state, "queued")
        note = PASSED if has_passed(one) else one.result
        where = (one.id, one.batch, one.position, "; ".join(filter(None, (note, strays.get(one.id)))), conflicts)
        made.append(Branch(one.branch, one.agent, standing, ahead, behind, *where))
    for branch, (name, head) in others.items():
        ahead, behind = _far(apart.get(head))
        conflicts = clashes.get(head, ())
        rest: Standing = "conflict" if conflicts else "ready" if ahead else "behind" if behind else "level"
        made.append(Branch(branch, name, rest, ahead, behind, conflicts=conflicts))
    return Graph(base, tip, tuple(made))


_STANDING: dict[str, Standing] = {"landing": "landing", "testing": "testing"}


def _far(found: Relation | None) -> tuple[int, int]:
    return (found.ahead, found.behind) if found else (0, 0)
