"""Keeping up: clean worktrees are brought to the base as it is now, without hooks, and wholly or not at all."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from coord.git import checkout, indexlock, merge, worktree
from coord.git.repo import Git
from coord.git.worktree import Worktree
from coord.model import trailers
from coord.model.errors import Conflict, NotFound, Refused, Unavailable
from coord.model.untrusted import clean_line
from coord.service import branches, delivery, worktrees
from coord.service.command import command
from coord.service.coord import Coord
from coord.service.merging import stacking, waiting
from coord.service.session import sessions
from coord.stores import durable, folders

FOLDER = "following"
TOLD = "worktree.behind"
_SUBMODULE = b"160000"
_SHOWN = 5
State = Literal["current", "brought", "waits", "stuck"]


@dataclass(frozen=True, slots=True)
class Update:
    """What became of a worktree: it had the base, was brought to it, waits for its agent, or cannot follow, and why."""

    agent: str
    path: str
    state: State
    head: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Updates:
    """What became of some worktrees."""

    base: str
    items: tuple[Update, ...]


@command("worktree update", writes=True, example="coord worktree update backend")
def update(
    coord: Coord,
    agents: Annotated[tuple[str, ...], "whose; default: all that there are"] = (),
) -> Updates:
    """Bring worktrees to the base branch as it is now: forward, or by a merge where there is work of their own.

    Only what is clean is touched, and only where the merge is; hooks do not run. A worktree
    with uncommitted changes or an operation half done is left as it is. `worktrees.follow`
    lets the daemon do it after each landing, where no session is at work.
    """
    chosen = [coord.config.agent(name.lower()).name for name in agents] or [
        tree.agent for tree in worktrees.list_(coord).trees if not tree.missing
    ]
    base = branches.base(coord)
    return Updates(base, tuple(bring(coord, name) for name in chosen))


def follow(coord: Coord, name: str) -> bool:
    """Bring an idle agent's worktree along; tell the agent where that cannot be, once for each state of the base."""
    if name not in half_done(coord) and _at_work(coord, name):
        return False
    found = bring(coord, name)
    tip = branches.tip(coord, branches.base(coord))
    if found.state != "stuck" or told(coord).get(name) == tip:
        return found.state == "brought"
    base = branches.seen_base(coord)
    subject = f"your worktree cannot follow {base}"
    body = (
        f"`{base}` is at {tip[:12]} now, and {found.path} was left as it is: {clean_line(found.why, 400)}\n\n"
        f"Put that right, then: `coord worktree update {name}`, or `git merge {base}` by hand.\n"
    )
    word = delivery.notice(coord, name, subject, body, kind="alert")
    said = f"{name}: {clean_line(found.why, 100)}"
    copies = delivery.copies(word, (name,))
    coord.record(coord.event(TOLD, said, copies, agent=delivery.COORD, id=word.id, of=name, base=tip))
    return True


def told(coord: Coord) -> dict[str, str]:
    """Return for which commit of the base each agent was told last that its worktree cannot follow."""
    coord.committer.settle()
    coord.index.sync()
    found: dict[str, str] = {}
    for entry in coord.index.entries(kind=TOLD, limit=None):
        found[entry.facts.get("Of", "")] = entry.facts.get("Base", "")
    return found


def half_done(coord: Coord) -> tuple[str, ...]:
    """Return the agents whose worktrees somebody was bringing along and may not have finished."""
    with suppress(FileNotFoundError):
        present = {path.name for path in (coord.private / FOLDER).iterdir()}
        return tuple(name for name in coord.config.names if f"{name}.json" in present)
    return ()


def bring(coord: Coord, name: str) -> Update:
    """Bring a worktree along, whether or not its agent is at work; finishes what a killed one began.

    Raises:
        NotFound: it has none.
    """
    with coord.exclusive(FOLDER):
        path = coord.worktree_of(name)
        tree = next((one for one in worktree.all_of(coord.git) if one.path == path and path.is_dir()), None)
        if tree is None:
            raise NotFound(f"{name} has no worktree at {path}", hint=f"coord worktree add {name}")
        note = coord.private / FOLDER / f"{name}.json"
        _finish(tree, note)
        base = branches.base(coord)
        tip = branches.tip(coord, base)
        here = Git(path)
        if base == tree.branch or merge.already_in(here, tree.head, tip):
            return Update(name, str(path), "current", tree.head)
        if why := _unready(tree):
            return Update(name, str(path), "waits", tree.head, why)
        try:
            new = _target(coord, name, tree, base, tip)
            _step(tree, new, note)
        except Refused as fault:
            return Update(name, str(path), "stuck", tree.head, fault.message)
        except Conflict as fault:
            return Update(name, str(path), "waits", tree.head, fault.message)
        coord.record(coord.event("worktree.followed", f"{name}: {base}", agent=delivery.COORD, was=tree.head, now=new))
        return Update(name, str(path), "brought", new)


def _at_work(coord: Coord, name: str) -> bool:
    """Tell whether a session is not idle there, or the branch is about to be merged as it is."""
    path = str(coord.worktree_of(name))
    its = (one for one in sessions.list_(coord).items if name == one.agent or path == one.worktree)
    if any(one.state != "idle" and sessions.is_there(one) for one in its):
        return True
    branch = worktrees.standing_branch(coord, name)
    return any(branch == one.branch for _, one in waiting.found(coord).values())


def _unready(tree: Worktree) -> str:
    private = worktree.private(Git(tree.path))
    if operation := worktree.operation(private):
        return f"a {operation} is in progress"
    if not tree.branch:
        return "no branch is checked out"
    try:
        names = worktree.dirty(tree.path)
    except Unavailable as fault:  # a filter that fails, for example
        return f"what was changed there cannot be told: {clean_line(fault.message, 200)}"
    if names:
        return f"uncommitted changes in {_named(names)}"
    return indexlock.busy(private)


def _target(coord: Coord, name: str, tree: Worktree, base: str, tip: str) -> str:
    """Return the commit to go to: the base's own, or a merge of it into what the agent has.

    Raises:
        Refused: they do not go together, or something would not follow.
    """
    here = Git(tree.path)
    new = tip
    if not merge.already_in(here, tip, tree.head):
        found = merge.predict(here, tree.head, tip)
        if not found.clean:
            raise Refused(f"it conflicts with {base} in {_named(found.conflicts)}", hint=f"git merge {base}")
        message = f"{clean_line(f'Merge {base} into {tree.branch}', 72)}\n\nCoord-Follow: {tip}\n"
        author = trailers.author(name)
        signed, parents = stacking.signs(coord, here), (tree.head, tip)
        new = merge.commit(here, found.tree, parents, message, author=author, at=coord.now(), signed=signed)
    if moved := _submodules(here, tree.head, new):
        raise Refused(f"{_named(moved)} would have to be updated as a submodule", hint="git submodule update")
    if reason := checkout.obstacle(tree.path, tree.head, new):
        raise Refused(reason, hint="commit, move or stash it there")
    return new


def _step(tree: Worktree, new: str, note: Path) -> None:
    """Move the branch and its files; the note lets the next call finish what a killed one began."""
    here = Git(tree.path)
    ref = branches.ref(tree.branch)

    def move() -> None:
        if here.run("symbolic-ref", "--quiet", "HEAD", check=False).out.decode().strip() != ref:
            raise Conflict(f"{tree.path} is no longer on {tree.branch}", hint="try again")
        merge.move(here, ref, new, tree.head, message="coord: keep up with the base")

    with durable.faults(f"write {note}"):
        note.parent.mkdir(exist_ok=True)
        begun = note.with_suffix(".begun")
        begun.unlink(missing_ok=True)
        folders.create(begun, json.dumps({"old": tree.head, "new": new}).encode(), sync=True)
        begun.replace(note)
    try:
        checkout.bring(tree.path, tree.head, new, move=move)
    except (Conflict, Refused):
        if here.tip("HEAD") != new:
            note.unlink()
        raise
    note.unlink()


def _finish(tree: Worktree, note: Path) -> None:
    """Finish what a killed one began: where it moved the branch, the files follow; else only its lock goes."""
    try:
        told = json.loads(note.read_bytes())
        old, new = str(told["old"]), str(told["new"])
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError):  # only what was written whole bears this name
        old = new = ""
    if new and tree.head in (old, new):
        checkout.bring(tree.path, old, tree.head)
    note.unlink()


def _submodules(here: Git, old: str, new: str) -> tuple[str, ...]:
    """Return the submodules that are checked out here and that NEW has at another commit."""
    words = ("diff-tree", "-r", "-z", "--raw", "--no-renames", "--ignore-submodules=none", old, new)
    fields = here.run(*words).out.split(b"\0")
    names = (name.decode(errors="surrogateescape") for facts, name in zip(fields[::2], fields[1::2], strict=False)
             if _SUBMODULE in facts)  # fmt: skip
    return tuple(name for name in names if (here.cwd / name / ".git").exists())


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(clean_line(name, 120) for name in names[:_SHOWN]) + more
