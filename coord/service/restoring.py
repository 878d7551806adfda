"""What was kept of worktrees: listed, brought back, and let go when its time is over."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated

from coord.git import restoring, trash, worktree
from coord.git.restoring import Kept
from coord.model.errors import Conflict, NotFound, Refused, Usage
from coord.model.values import frozen
from coord.service import delivery, worktrees
from coord.service.command import command
from coord.service.coord import Coord
from coord.service.worktrees import Tree

_SHOWN = 5


@frozen
class Keepsake:
    """Something that is kept: under which name, of whose worktree, since when and until when.

    `uncommitted` says whether there is more than commits. Without `until` it stays.
    """

    name: str
    agent: str
    commit: str
    what: str
    uncommitted: bool
    at: datetime | None
    until: datetime | None


@frozen
class Keepsakes:
    """What is kept, the newest first; or what was brought back, and as which worktree."""

    items: tuple[Keepsake, ...]
    restored: Tree | None = None


@command("worktree restore", writes=True, example="coord worktree restore 20261122T120311Z-backend")
def restore(
    coord: Coord,
    kept: Annotated[str, "which, by name, ref, agent, or how one of these begins; default: list what is kept"] = "",
    *,
    agent: Annotated[str, "whose worktree it becomes; default: whose it was"] = "",
    branch: Annotated[str, "the branch to check out; default: the one that was; made where it is missing"] = "",
) -> Keepsakes:
    """Bring back a worktree whose work was kept on refs/coord/trash/, or list what is kept.

    Commits, what was staged, what was changed and what git did not track are as they were.
    What is kept stays kept until `worktrees.trash_retention` is over.

    Raises:
        NotFound: nothing of that name is kept.
        Usage: several are meant by it.
        Refused: the agent has a worktree, or the branch has other commits by now.
    """
    everything = restoring.everything(coord.git)
    if not kept:
        if agent or branch:
            raise Usage("say what to bring back", hint="`coord worktree restore` lists what is kept")
        return Keepsakes(tuple(_keepsake(coord, one) for one in everything))
    found = _meant(everything, kept)
    name = _whose(coord, found, agent)
    path = coord.worktree_of(name)
    if any(tree.path == path and not tree.prunable for tree in worktree.all_of(coord.git)):
        raise Refused(
            f"{name} has a worktree at {path}",
            hint=f"`coord worktree remove {name} --keep` first, or name another agent with --agent",
            path=str(path),
        )
    was = restoring.branch_of(coord.git, found)
    standing = branch or (worktrees.branch_of(coord, name) if was is None else was)
    if coord.home.is_relative_to(path):
        raise Usage(f"{path} is where the live folders are", hint="see `worktrees.path` in .coord.yaml")
    restoring.restore(coord.git, found, path, standing)
    notes = worktrees.settle_in(coord, path)
    coord.record(
        coord.event("worktree.restored", f"{name}: {found.name}", agent=coord.whoever() or name, kept=found.name)
    )
    return Keepsakes((_keepsake(coord, found),), worktrees.as_it_is(coord, name, notes))


def _meant(everything: Sequence[Kept], text: str) -> Kept:
    """Return what is kept by a name or ref, or what alone begins so, by name or by whose it was.

    Raises:
        NotFound: there is none.
        Usage: there are several.
    """
    part = text.removeprefix(f"{trash.PREFIX}/")
    ways: tuple[Callable[[Kept], bool], ...] = (
        lambda one: one.name == part,
        lambda one: one.label == part,
        lambda one: one.name.startswith(part) or one.label.startswith(part),
    )
    found = next((some for fits in ways if (some := [one for one in everything if fits(one)])), [])
    names = ", ".join(one.name for one in (found or everything)[:_SHOWN])
    if not found:
        raise NotFound(f"nothing is kept as {text!a}", hint=f"kept are: {names}" if names else "nothing is kept at all")
    if len(found) > 1:
        raise Usage(f"{len(found)} are kept that begin with {text!a}", hint=f"name one, the newest first: {names}")
    return found[0]


def ending(coord: Coord) -> tuple[tuple[str, datetime], ...]:
    """Return the names of what `coord worktree remove` and its like kept, and since when."""
    stamped = (one for one in restoring.everything(coord.git) if _ends(one))
    return tuple((one.name, one.at) for one in stamped if one.at is not None)


def let_go(coord: Coord, names: Sequence[str]) -> int:
    """Let go of what has been kept for as long as is configured, and of nothing younger; return how much."""
    now, gone = coord.now(), []
    for one in restoring.everything(coord.git):
        if one.name in names and (end := _until(coord, one)) is not None and end <= now:
            try:
                restoring.drop(coord.git, one)
            except Conflict:
                continue
            gone.append(one)
            coord.record(coord.event("trash.dropped", f"{one.name}: {one.what}", agent=delivery.COORD, was=one.commit))
    return len(gone)


def _whose(coord: Coord, found: Kept, agent: str) -> str:
    """Return whose worktree it becomes."""
    if agent:
        return coord.config.agent(agent.lower()).name
    stem, _, number = found.label.rpartition("-")
    for name in (found.label, stem if number.isdigit() else ""):
        if name in coord.config.names:
            return name
    raise Usage(f"{found.name} was no agent's worktree", hint="say with --agent whose it becomes")


def _ends(one: Kept) -> bool:
    """Tell whether it goes with time: what the doctor put aside, under names of another shape, does not."""
    return one.at is not None and one.name.startswith(f"{one.at:{trash.STAMP}}-")


def _until(coord: Coord, one: Kept) -> datetime | None:
    return one.at + coord.config.worktrees.trash_retention if one.at is not None and _ends(one) else None


def _keepsake(coord: Coord, one: Kept) -> Keepsake:
    return Keepsake(one.name, one.label, one.head, one.what, bool(one.files), one.at, _until(coord, one))
