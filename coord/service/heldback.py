"""Why a worktree does not follow the base: something half done or uncommitted, somebody at work, a conflict."""

from collections.abc import Mapping, Sequence

from coord.git import indexlock, worktree
from coord.git.worktree import Worktree
from coord.model.errors import Unavailable
from coord.model.untrusted import clean_line, several
from coord.service import foresight
from coord.service.coord import Coord
from coord.service.merging import waiting
from coord.service.session import sessions

TOLD = "worktree.behind"


def unready(tree: Worktree, changed: Sequence[str] | None = None) -> str:
    """Say why a worktree may not be touched now, or ""; CHANGED, where that was looked up already, is uncommitted."""
    private = worktree.own(tree.path)
    if operation := worktree.operation(private):
        return f"a {operation} is in progress"
    if not tree.branch:
        return "no branch is checked out"
    try:
        names = worktree.dirty(tree.path) if changed is None else changed
    except Unavailable as fault:  # a filter that fails, for example
        return f"what was changed there cannot be told: {clean_line(fault.message, 200)}"
    if names:
        return f"uncommitted changes in {several(names)}"
    return indexlock.busy(private)


def busy(coord: Coord, name: str, tree: Worktree) -> str:
    """Say that a session is not idle there, or that the branch is about to be merged as it is; or ""."""
    its = (one for one in sessions.list_(coord).items if name == one.agent or str(tree.path) == one.worktree)
    if working := next((one for one in its if one.state != "idle" and sessions.is_there(one)), None):
        return f"a session of {working.client} is at work"
    return queued(coord, tree.branch)


def queued(coord: Coord, branch: str) -> str:
    """Say that a branch waits to be merged, or ""."""
    waits = any(branch == one.branch for _, one in waiting.found(coord).values())
    return f"{branch} waits to be merged as it is" if waits else ""


def told(coord: Coord, tip: str) -> dict[str, str]:
    """Return which agents know that their worktree cannot follow the base at TIP, and why."""
    coord.committer.settle()
    coord.index.sync()
    last = {entry.facts.get("Of", ""): entry for entry in coord.index.entries(kind=TOLD, limit=None)}
    found = {name: entry for name, entry in last.items() if entry.facts.get("Base") == tip}
    return {name: entry.subject.partition(f"{name}: ")[2] for name, entry in found.items()}


def reasons(
    coord: Coord, lagging: Mapping[str, Worktree], tip: str, dirty: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Say of each of some worktrees that are behind TIP why it stays so; "" of one that could follow.

    DIRTY is what lies uncommitted in each of them.
    """
    found = {name: unready(tree, dirty[name]) or busy(coord, name, tree) for name, tree in lagging.items()}
    asked = [name for name, why in found.items() if not why]
    known = told(coord, tip) if asked else {}
    clashes = foresight.conflicting(coord, [lagging[name].head for name in asked], tip)
    for name, paths in zip(asked, clashes, strict=True):
        found[name] = f"conflicts with the base in {several(paths)}" if paths else known.get(name, "")
    return found
