"""The commit guard: git asks before a commit or a push whether somebody else holds, or has had, what it touches."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from coord.git import commits, output, worktree
from coord.git import message as messages
from coord.git.commits import Commit
from coord.git.repo import Git
from coord.model import leases, leasetrailers, mailboxes, quoting, scope
from coord.model.errors import Corrupt, LeaseHeld, Refused, StaleToken, Unavailable, UnknownAgent
from coord.model.fencing import Passed, merged
from coord.model.records import Lock
from coord.model.untrusted import clean_line, several
from coord.model.values import frozen
from coord.service import branches, delivery
from coord.service.command import command
from coord.service.coord import Coord
from coord.service.guard import editing, fencing
from coord.service.leasebook import Book
from coord.service.session.callers import Called

OVERRIDE = "COORD_OVERRIDE"
_REASON = 200
_ON_RECORD = f'or go past it, on record: {OVERRIDE}="<why>" git commit'


@frozen
class Checked:
    """What a commit or push touches, for whom it was looked at, and the reason given where the guard was overridden.

    Of `unknown` others have had a lease, and nothing tells under which one they were changed.
    """

    agent: str
    paths: tuple[str, ...]
    overridden: str = ""
    unknown: tuple[str, ...] = ()


@frozen
class Span:
    """The commits of HEAD that are pushed, and the branch that they are to land on some day."""

    base: str
    head: str
    commits: tuple[Commit, ...]


@frozen
class Signed:
    """The trailers that a commit's message has got."""

    trailers: tuple[str, ...]


@command("guard check", writes=True, opens=Called.despite, example="coord guard check")
def check(
    coord: Coord, *, pushed: Annotated[str, "what git tells its pre-push hook; default: look at what is staged"] = ""
) -> Checked:
    """Refuse a commit, or a push, that touches what somebody else holds a lease on: git's hooks ask this.

    So is what was changed under a lease that has passed on to somebody else meanwhile. With a
    reason in the environment variable COORD_OVERRIDE it goes through; the ledger keeps the
    reason, and the holders are told. While .coord.yaml is wrong leases hold all the same.

    Raises:
        LeaseHeld: somebody else does; names all of them.
        StaleToken: somebody else has had it since it was changed; names both, and the way out.
        Corrupt: a lease on file cannot be read, and may be anybody's; or all of them are gone.
    """
    agent, why = coord.whoever(), clean_line(os.environ.get(OVERRIDE, ""), _REASON)
    spans = _pushed(coord, pushed) if pushed.strip() else None
    found = (
        {path for span in spans for commit in span.commits for path in commit.paths}
        if spans is not None
        else _staged(coord)
    )
    paths = tuple(sorted(found))
    standing = _held_by_others(coord, agent, paths) if paths else {}
    if standing and not why:
        raise _held(coord, agent, standing)
    if spans is None:
        judged = fencing.staged(coord, agent, paths)
    else:
        judged = merged(fencing.judged(coord, one.commits, agent, base=one.base, head=one.head) for one in spans)
    if judged.passed and not why:
        raise _overtaken(coord, judged.passed)
    if not standing and not judged.passed:
        return Checked(agent, paths, unknown=judged.unknown)
    locks = {lock.token: lock for lock in (*standing.values(), *(one.to for one in judged.passed))}
    touched = tuple(dict.fromkeys((*standing, *(one.path for one in judged.passed))))
    _override(coord, agent or mailboxes.OWNER, touched, tuple(locks.values()), why)
    return Checked(agent, paths, why, judged.unknown)


@command("guard sign", writes=True, opens=Called.despite, example="coord guard sign .git/COMMIT_EDITMSG")
def sign(
    coord: Coord, message: Annotated[str, "the file with the message, as git names it to its commit-msg hook"]
) -> Signed:
    """Write into a commit's message under which leases its changes were made: git's hook asks this.

    The trailers `Coord-Lease` and `Coord-Agent` are what tells later, at a push or a merge,
    whether a lease has passed on. What was changed under no lease has none.

    Raises:
        Refused: the file is no message of a commit that is being made here.
    """
    git, agent = Git(coord.place.top), coord.whoever()
    file = Path(os.path.realpath(coord.place.top / message))
    if file.parent != Path(os.path.realpath(worktree.private(git))) or not file.is_file():
        raise Refused(f"{message} is no message of a commit that is being made", hint="git's commit-msg hook names it")
    under = fencing.leases_of(coord, agent, _staged(coord)) if agent else ()
    trailers = leasetrailers.written(agent, under)
    return Signed(trailers if trailers and messages.sign(git, file, trailers) else ())


def _held(coord: Coord, agent: str, standing: Mapping[str, Lock]) -> LeaseHeld:
    fault = leases.refusal(tuple({lock.token: lock for lock in standing.values()}.values()), coord.now())
    yours = "" if agent else "if the lease is yours, say so: COORD_AGENT=<name> git commit; "
    return LeaseHeld(
        f"{several(tuple(standing))}: {fault.message}",
        hint=f"{yours}take it out of the commit (git restore --staged), or wait: {fault.hint}; {_ON_RECORD}",
        **fault.facts,
    )


def _overtaken(coord: Coord, passed: Sequence[Passed]) -> StaleToken:
    fault = fencing.refusal(coord, passed)
    return StaleToken(fault.message, hint=f"{fault.hint}; {_ON_RECORD}", **fault.facts)


def _staged(coord: Coord) -> set[str]:
    """Return the paths that a commit changes; what a merge brings from its other side is no change of its own."""
    git = Git(coord.place.top)
    # `git commit <path>` and `git commit -a` show their hooks an index of their own.
    index = os.environ.get("GIT_INDEX_FILE", "")
    env = {"GIT_INDEX_FILE": str(coord.place.top / index)} if index else {}
    words = ("diff", "--cached", "--name-only", "--no-renames", "-z")
    found = set(output.paths(git.run(*words, env=env).out))
    if (merged := git.tip("MERGE_HEAD")) is not None:
        found.intersection_update(output.paths(git.run(*words, merged, env=env).out))
    return found


def _pushed(coord: Coord, told: str) -> tuple[Span, ...]:
    """Return the commits that are pushed; those on the base branch landed there by rights of their own."""
    git, found = Git(coord.place.top), list[Span]()
    base = branches.ref(branches.base(coord))
    for line in told.splitlines():
        words = line.split()
        if len(words) != 4 or not words[1].strip("0"):
            continue
        _, new, _, old = words
        without = [one for one in (base, old) if one.strip("0") and git.tip(one)]
        found.append(Span(base, new, tuple(commits.between(git, new, without, options=("--remotes",)))))
    return tuple(found)


def _held_by_others(coord: Coord, agent: str, paths: Sequence[str]) -> dict[str, Lock]:
    """Return, for each path that another holds, one lease on it."""
    editing.require(coord)
    try:
        held = [lock for lock in Book.read(coord).live if lock.holder != agent]
    except Unavailable as fault:
        raise Corrupt(f"who holds what cannot be told: {fault.message}", hint=fault.hint) from None
    found: dict[str, Lock] = {}
    for path in paths if held else ():
        if lock := next((lock for lock in held if scope.covers(lock.scope, path, coord.form)), None):
            found[path] = lock
    return found


def _override(coord: Coord, agent: str, paths: Sequence[str], locks: Sequence[Lock], why: str) -> None:
    holders = tuple(dict.fromkeys(lock.holder for lock in locks))
    body = f"{agent} went past your lease on {several(paths)}, and gave as the reason: {quoting.within(why)}\n"
    word = delivery.notice(coord, holders[0], f"your lease was overridden: {several(paths)}", body, kind="alert")
    known = tuple(one for one in holders if _is_somebody(coord, one))
    coord.record(
        coord.event(
            "guard.overridden",
            f"{agent}: {several(paths)} held by {', '.join(holders)}",
            delivery.copies(word, known),
            agent=agent,
            why=why,
            token=" ".join(str(lock.token) for lock in locks),
        )
    )


def _is_somebody(coord: Coord, name: str) -> bool:
    with suppress(UnknownAgent):
        return bool(coord.known(name))
    return False
