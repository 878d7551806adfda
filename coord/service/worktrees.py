"""A checkout of its own for each agent."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated

from coord.git import discovery, trash, worktree
from coord.git.relations import relations
from coord.git.repo import Git
from coord.model.errors import NotFound, Refused, Usage
from coord.model.values import frozen
from coord.service import branches, heldback, livefolders
from coord.service.command import command
from coord.service.coord import Coord
from coord.service.guard import placing

_AT_ONCE = 4


@frozen
class Tree:
    """An agent's worktree: where it is, its branch, how far that is from the base, and why it does not follow."""

    agent: str
    path: str
    branch: str
    head: str
    ahead: int = 0
    behind: int = 0
    dirty: tuple[str, ...] = ()
    missing: bool = False
    waits: str = ""
    notes: tuple[str, ...] = ()
    kept: str = ""


@frozen
class Trees:
    """Every agent's worktree."""

    base: str
    trees: tuple[Tree, ...]


@command("worktree add", writes=True, example="coord worktree add backend")
def add(
    coord: Coord,
    agents: Annotated[tuple[str, ...], "whose; default: every agent that has none"] = (),
    *,
    base: Annotated[str, "the commit or branch to start from; default: the base branch"] = "",
) -> Trees:
    """Give agents a worktree each, on a branch of their own, with links to the live folders.

    An agent that only knows files reads and writes `inbox/` and the rest there as it would
    at home. A worktree that exists already is left as it is; its links are renewed, and so is
    the commit guard, where that is installed and the worktree has hooks of its own (husky).

    Raises:
        Refused: from a worktree nobody would find home (`git init --separate-git-dir`); says what to set.
    """
    discovery.home_of(coord.place.common)  # before anything is made that would not find its way home
    chosen = [coord.config.agent(name.lower()).name for name in agents] or list(coord.config.names)
    start = base or branches.base(coord)
    present = {tree.path: tree for tree in worktree.all_of(coord.git)}
    made = []
    for name in chosen:
        path = coord.worktree_of(name)
        if path in present and not path.is_dir():
            raise Refused(
                f"git still lists a worktree at {path}, but the folder is gone",
                hint="run `git worktree prune`, then try again",
            )
        fresh = path not in present
        if fresh:
            worktree.add(coord.git, path, branch_of(coord, name), start)
        notes = settle_in(coord, path)
        if fresh:
            coord.record(coord.event("worktree.added", f"{name}: {branch_of(coord, name)}", agent=name))
        made.append(as_it_is(coord, name, notes))
    return Trees(branches.seen_base(coord), tuple(made))


@command("worktree list", example="coord worktree list")
def list_(coord: Coord) -> Trees:
    """List the agents' worktrees: how far ahead of and behind the base, what is uncommitted, what they wait for.

    A worktree that is behind may have something half done or uncommitted, somebody at work, a
    branch that waits to be merged, or a conflict with the base; then it says so.
    """
    present = {tree.path: tree for tree in worktree.all_of(coord.git)}
    listed = {name: present[path] for name in coord.config.names if (path := coord.worktree_of(name)) in present}
    there = {name: tree for name, tree in listed.items() if tree.path.is_dir()}
    base = branches.seen_base(coord)
    tip = coord.git.peek(coord.place.common, branches.ref(base)) if base else None
    apart = relations(coord.git, tip, {tree.head for tree in there.values()}) if tip else {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        looks = pool.map(partial(worktree.dirty, alone=False), [tree.path for tree in there.values()])
        dirty = dict(zip(there, looks, strict=True))
    found = []
    for name, tree in listed.items():
        one = Tree(name, str(tree.path), tree.branch, tree.head, missing=name not in there)
        if name in there:
            far = apart.get(tree.head)  # not told of those that are very far apart, which are counted one by one
            ahead, behind = (far.ahead, far.behind) if far else branches.distance(coord, base, tree.head)
            one = replace(one, ahead=ahead, behind=behind, dirty=dirty[name])
        found.append(one)
    lagging = {one.agent: there[one.agent] for one in found if one.behind}
    why = heldback.reasons(coord, lagging, tip, dirty) if tip else {}
    return Trees(base, tuple(replace(one, waits=why.get(one.agent, "")) for one in found))


@command("worktree remove", writes=True, example="coord worktree remove backend --keep")
def remove(
    coord: Coord,
    agent: Annotated[str, "whose"],
    *,
    keep: Annotated[bool, "first keep unmerged and uncommitted work on refs/coord/trash/"] = False,
) -> Tree:
    """Remove an agent's worktree; its branch stays.

    Refuses while there is uncommitted or unmerged work, unless --keep puts all of it on a
    ref first. Either way only files that git ignores go with the folder: it stays, too, where
    somebody wrote in it while its work was being kept.

    Raises:
        Refused: work would be lost.
    """
    name = coord.config.agent(agent.lower()).name
    path = coord.worktree_of(name)
    found = next((tree for tree in worktree.all_of(coord.git) if tree.path == path), None)
    if found is None:
        raise NotFound(f"{name} has no worktree at {path}", hint="see `coord worktree list`")
    if coord.start.is_relative_to(path):
        raise Usage(f"you stand in {path}, which is to be removed", hint=f"go to {coord.home} first")
    kept = ""
    if path.is_dir():
        unfinished = worktree.unfinished(coord.git, path, branches.seen_base(coord) or "HEAD")
        if unfinished.any and not keep:
            raise Refused(
                f"{name}'s worktree has work that is nowhere else: {unfinished.words}",
                hint=f"merge or commit it, or keep it aside: coord worktree remove {name} --keep",
                dirty=unfinished.dirty,
                unmerged=unfinished.unmerged,
            )
        kept = _kept(path, name, coord.now()) if unfinished.any else ""
    gone = as_it_is(coord, name)
    worktree.remove(coord.git, path, force=bool(kept))
    coord.record(coord.event("worktree.removed", f"{name}: {path.name}", agent=coord.whoever() or name, kept=kept))
    return Tree(name, gone.path, gone.branch, gone.head, kept=kept)


def _kept(path: Path, name: str, now: datetime) -> str:
    ref = trash.keep(Git(path), path, name, now)
    if not trash.holds(Git(path), ref, path, now):
        raise Refused(
            f"{name}'s worktree changed while it was being kept: somebody is at work in {path}",
            hint=f"try again when they are done; what was there before is on {ref}",
            kept=ref,
        )
    return ref


def settle_in(coord: Coord, path: Path) -> tuple[str, ...]:
    """Give the worktree at PATH what a checkout lacks: links to the live folders, the guard in hooks of its own.

    Returns what could not be done. Doing it again changes nothing.
    """
    links = worktree.link(coord.home, path, livefolders.linked(coord.config))
    return (*links, *placing.follow(coord, path))


def branch_of(coord: Coord, agent: str) -> str:
    """Return the name of AGENT's branch."""
    return coord.config.worktrees.branch.format(name=agent)


def standing_branch(coord: Coord, agent: str) -> str:
    """Return the branch that is checked out in AGENT's worktree; where none is, the one it was given."""
    path = coord.worktree_of(agent)
    listed = (tree.branch for tree in worktree.all_of(coord.git) if tree.path == path)
    return next(listed, "") or branch_of(coord, agent)


def as_it_is(coord: Coord, name: str, notes: tuple[str, ...] = ()) -> Tree:
    """Return AGENT's worktree as it is now."""
    path = coord.worktree_of(name)
    listed = next((tree for tree in worktree.all_of(coord.git) if tree.path == path), None)
    branch = listed.branch if listed else branch_of(coord, name)
    head = listed.head if listed else ""
    if not path.is_dir():
        return Tree(name, str(path), branch, head, missing=True, notes=notes)
    ahead, behind = branches.distance(coord, branches.seen_base(coord), head)
    return Tree(name, str(path), branch, head, ahead, behind, worktree.dirty(path), notes=notes)
