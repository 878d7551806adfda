"""Keeping up: clean worktrees are brought to the base as it is now, without hooks, and wholly or not at all."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from coord.git import checkout, merge, replay, trash, worktree
from coord.git.repo import Git
from coord.git.worktree import Worktree
from coord.model import trailers
from coord.model.errors import Conflict, NotFound, Refused, Unsigned
from coord.model.untrusted import clean_line, several
from coord.model.values import frozen
from coord.service import branches, delivery, heldback, worktrees
from coord.service.command import command
from coord.service.coord import Coord
from coord.service.merging import stacking
from coord.stores import durable, folders

FOLDER = "following"
_MOST = 200  # commits: more are replayed by hand
State = Literal["current", "brought", "waits", "stuck"]


@frozen
class Update:
    """What became of a worktree: it had the base, was brought to it, waits for its agent, or cannot follow, and why."""

    agent: str
    path: str
    state: State
    head: str
    why: str = ""


@frozen
class Updates:
    """What became of some worktrees."""

    base: str
    items: tuple[Update, ...]


@command("worktree update", writes=True, example="coord worktree update backend")
def update(
    coord: Coord,
    agents: Annotated[tuple[str, ...], "whose; default: all that there are"] = (),
    *,
    rebase: Annotated[bool, "replay their own commits upon it; default where `worktrees.follow` is rebase"] = False,
) -> Updates:
    """Bring worktrees to the base branch as it is now: forward, or by a merge where there is work of their own.

    Only what is clean is touched, and only where the merge is; hooks do not run. A worktree
    with uncommitted changes or an operation half done is left as it is. `worktrees.follow`
    lets the daemon do it after each landing, where no session is at work.

    A rebase first keeps the commits as they were on refs/coord/trash/. It leaves alone what others
    have: a branch that was pushed, that another branch is built on, or that waits to be merged.
    A branch with merges of its own gets another one, so that no resolution of a conflict is lost.
    """
    chosen = [coord.config.agent(name.lower()).name for name in agents] or [
        tree.agent for tree in worktrees.list_(coord).trees if not tree.missing
    ]
    base = branches.base(coord)
    return Updates(base, tuple(bring(coord, name, rebase=rebase) for name in chosen))


def follow(coord: Coord, name: str) -> bool:
    """Bring an idle agent's worktree along; tell the agent where that cannot be, once for each state of the base."""
    path = coord.worktree_of(name)
    tree = next((one for one in worktree.all_of(coord.git) if one.path == path), None)
    if tree is not None and name not in half_done(coord) and heldback.busy(coord, name, tree):
        return False
    found = bring(coord, name)
    tip = branches.tip(coord, branches.base(coord))
    if found.state != "stuck" or name in heldback.told(coord, tip):
        return found.state == "brought"
    base = branches.seen_base(coord)
    how = "rebase" if coord.config.worktrees.follow == "rebase" else "merge"
    subject = f"your worktree cannot follow {base}"
    body = (
        f"`{base}` is at {tip[:12]} now, and {found.path} was left as it is: {clean_line(found.why, 400)}\n\n"
        f"Put that right, then: `coord worktree update {name}`, or `git {how} {base}` by hand.\n"
    )
    word = delivery.notice(coord, name, subject, body, kind="alert")
    said = f"{name}: {clean_line(found.why, 100)}"
    copies = delivery.copies(word, (name,))
    coord.record(coord.event(heldback.TOLD, said, copies, agent=delivery.COORD, id=word.id, of=name, base=tip))
    return True


def half_done(coord: Coord) -> tuple[str, ...]:
    """Return the agents whose worktrees somebody was bringing along and may not have finished."""
    with suppress(FileNotFoundError):
        present = {path.name for path in (coord.private / FOLDER).iterdir()}
        return tuple(name for name in coord.config.names if f"{name}.json" in present)
    return ()


def bring(coord: Coord, name: str, *, rebase: bool = False) -> Update:
    """Bring a worktree along, whether or not its agent is at work; finishes what a killed one began.

    By a merge, unless REBASE or the configuration says otherwise.

    Raises:
        NotFound: it has none.
    """
    with coord.exclusive(FOLDER):
        base, tree, note = branches.base(coord), _tree(coord, name), coord.private / FOLDER / f"{name}.json"
        try:
            if _finish(tree, note):
                tree = _tree(coord, name)
            update = _brought(coord, name, tree, (base, branches.tip(coord, base)), note, rebase=rebase)
        except (Refused, Unsigned) as fault:
            return Update(name, str(tree.path), "stuck", tree.head, fault.message)
        except Conflict as fault:
            return Update(name, str(tree.path), "waits", tree.head, fault.message)
        if update.state == "brought":
            went = coord.event(
                "worktree.followed", f"{name}: {base}", agent=delivery.COORD, was=tree.head, now=update.head
            )
            coord.record(went)
        return update


def _tree(coord: Coord, name: str) -> Worktree:
    path = coord.worktree_of(name)
    tree = next((one for one in worktree.all_of(coord.git) if one.path == path and path.is_dir()), None)
    if tree is None:
        raise NotFound(f"{name} has no worktree at {path}", hint=f"coord worktree add {name}")
    return tree


def _brought(coord: Coord, name: str, tree: Worktree, base: tuple[str, str], note: Path, *, rebase: bool) -> Update:
    """Bring a worktree along that nobody left half way.

    Raises:
        Refused, Unsigned: it cannot follow.
        Conflict: something else is at work there.
    """
    here, (branch, tip) = Git(tree.path), base
    if branch == tree.branch or merge.already_in(here, tree.head, tip):
        return Update(name, str(tree.path), "current", tree.head)
    if why := heldback.unready(tree):
        return Update(name, str(tree.path), "waits", tree.head, why)
    new = _target(coord, name, tree, base, rebases=rebase or coord.config.worktrees.follow == "rebase")
    if not merge.already_in(here, new, tree.head):
        trash.put(here, tree.head, name, coord.now(), f"{trash.KEPT}{tree.branch}")
    _step(tree, new, note)
    return Update(name, str(tree.path), "brought", new)


def _target(coord: Coord, name: str, tree: Worktree, base: tuple[str, str], *, rebases: bool) -> str:
    """Return the commit to go to: the base's own; or a merge of it into what the agent has, or that upon it.

    Raises:
        Refused: they do not go together, or something would not follow.
        Unsigned: commits are signed here, and one could not be.
    """
    here, (_, tip) = Git(tree.path), base
    own = replay.own(here, tip, tree.head) if rebases else ()
    if merge.already_in(here, tip, tree.head):
        new = tip
    elif own:
        new = _rebased(coord, tree, tip, own)
    else:
        new = _merged(coord, name, tree, base)
    if reason := checkout.obstacle(tree.path, tree.head, new):
        raise Refused(reason, hint="commit, move or stash it there")
    return new


def _merged(coord: Coord, name: str, tree: Worktree, base: tuple[str, str]) -> str:
    here, (branch, tip) = Git(tree.path), base
    found = merge.predict(here, tree.head, tip)
    if not found.clean:
        raise Refused(f"it conflicts with {branch} in {several(found.conflicts)}", hint=f"git merge {branch}")
    message = f"{clean_line(f'Merge {branch} into {tree.branch}', 72)}\n\nCoord-Follow: {tip}\n"
    author, signed = trailers.author(name), stacking.signs(coord, here)
    return merge.commit(here, found.tree, (tree.head, tip), message, author=author, at=coord.now(), signed=signed)


def _rebased(coord: Coord, tree: Worktree, tip: str, own: Sequence[str]) -> str:
    """Replay what nobody else has."""
    here, ref = Git(tree.path), branches.ref(tree.branch)
    if len(own) > _MOST:
        raise Refused(f"it has {len(own)} commits of its own, too many to replay", hint="git rebase")
    if why := heldback.queued(coord, tree.branch):
        raise Conflict(why, hint="coord merge list")
    if others := replay.elsewhere(here, own[0], ref):
        raise Refused(f"its commits are on {several(others)} too, and are not rewritten", hint="git merge")
    originals = replay.originals(here, own)
    signed = stacking.signs(coord, here)
    if not signed and any(one.signed for one in originals):
        raise Refused("its commits are signed, and would lose that: commit.gpgSign is not set", hint="git merge")
    return replay.replay(here, originals, tip, signed=signed)


def _step(tree: Worktree, new: str, note: Path) -> None:
    """Move the branch and its files; the note lets the next call finish what a killed one began."""
    here = Git(tree.path)
    ref = branches.ref(tree.branch)

    def move(fd: int) -> None:
        if here.run("symbolic-ref", "--quiet", "HEAD", check=False).out.decode().strip() != ref:
            raise Conflict(f"{tree.path} is no longer on {tree.branch}", hint="try again")
        merge.move(here, ref, new, tree.head, message="coord: keep up with the base", pass_fds=(fd,))

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


def _finish(tree: Worktree, note: Path) -> bool:
    """Finish what a killed one began, if one did: where it moved the branch, the files follow; else its lock goes.

    Raises:
        Refused: what was changed there since lies in the way.
        Conflict: the killed one's git is at work there still, or somebody else's.
    """
    try:
        told = json.loads(note.read_bytes())
        old, new = str(told["old"]), str(told["new"])
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError):  # only what was written whole bears this name
        old = new = ""
    if new and tree.head in (old, new):
        checkout.bring(tree.path, old, tree.head)
        # No git of the killed one is left once that held the index; before, one may have moved the branch.
        if tree.head != new and Git(tree.path).tip("HEAD") == new:
            checkout.bring(tree.path, old, new)
    note.unlink()
    return True
