"""The commit guard: git asks before a commit or a push whether somebody else holds, or has had, what it touches."""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from coord.git import commits, hookfiles, worktree
from coord.git import message as messages
from coord.git.commits import Commit
from coord.git.hookfiles import HookFile
from coord.git.repo import Git
from coord.model import leases, leasetrailers, mailboxes, quoting, scope
from coord.model.errors import CoordError, Corrupt, LeaseHeld, Refused, StaleToken, Unavailable, UnknownAgent
from coord.model.fencing import Passed, merged
from coord.model.records import Lock
from coord.model.untrusted import clean_line, several
from coord.service import branches, delivery
from coord.service.command import command
from coord.service.coord import Coord
from coord.service.guard import editing, fencing
from coord.service.leasebook import Book
from coord.service.session.callers import Called
from coord.stores import durable

OVERRIDE = "COORD_OVERRIDE"
_REASON = 200
_MESSAGE = "commit-msg"
_WANTED = "guard"
_SHARED = "also in a folder of hooks outside the repository, which others may share"
_ON_RECORD = f'or go past it, on record: {OVERRIDE}="<why>" git commit'
# 5 is a conflict, 7 is damage: whatever else goes wrong is coord's own trouble, and nobody's work waits for it.
_LINES = """\
# {what}; `coord guard uninstall` takes these lines away.
coord_python={python}
{here}if [ -x "$coord_python" ]; then
{ask}
    case $coord_said in
        0) ;;
        5|7) {refused} ;;
        *) echo "coord guard: could not look (status $coord_said); going on without it" >&2 ;;
    esac
else
    echo "coord guard: $coord_python is gone; run \\`coord guard install\\` again" >&2
fi
"""
# Where other repositories run the same hooks.
_ELSEWHERE = """\
if [ ! -d "$(git rev-parse --git-common-dir)/coord" ]; then
    : # coord is not set up in this repository
el"""
_LOOKS = "Asks coord whether another agent holds, or has had meanwhile, a lease on what this touches"
_SIGNS = "Lets coord write into the message under which leases the changes were made"
_ASK = {
    "pre-commit": """\
    "$coord_python" -P -m coord guard check > /dev/null
    coord_said=$?""",
    "pre-push": """\
    coord_refs=$(mktemp) && cat > "$coord_refs"
    "$coord_python" -P -m coord guard check --pushed "$(cat "$coord_refs")" > /dev/null
    coord_said=$?
    exec < "$coord_refs"
    rm -f "$coord_refs\"""",
    _MESSAGE: """\
    "$coord_python" -P -m coord guard sign "$1" > /dev/null
    coord_said=$?""",
}


@dataclass(frozen=True, slots=True)
class Guards:
    """The hooks of each worktree that coord's lines belong in, and whether they are there."""

    hooks: tuple[HookFile, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """What a commit or push touches, for whom it was looked at, and the reason given where the guard was overridden.

    Of `unknown` others have had a lease, and nothing tells under which one they were changed.
    """

    agent: str
    paths: tuple[str, ...]
    overridden: str = ""
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """The commits of HEAD that are pushed, and the branch that they are to land on some day."""

    base: str
    head: str
    commits: tuple[Commit, ...]


@dataclass(frozen=True, slots=True)
class _Hooks:
    """A folder of hooks, git in a worktree that runs them, and whether the folder is outside of the repository."""

    git: Git
    folder: Path
    outside: bool

    @classmethod
    def of(cls, coord: Coord, git: Git, trees: Sequence[Path]) -> "_Hooks":
        """Find the hooks that GIT runs where it is, which is one of TREES."""
        folder = hookfiles.folder(git)
        within = (coord.place.common, coord.home, *trees)
        nowhere = folder.exists() and not folder.is_dir()
        return cls(git, folder, not nowhere and not any(folder.is_relative_to(os.path.realpath(one)) for one in within))

    @property
    def found(self) -> tuple[HookFile, ...]:
        """The hooks that the guard belongs in, as they are."""
        return tuple(hookfiles.find(self.git, name, self.lines(name)) for name in _ASK)

    def lines(self, name: str) -> str:
        """Return the lines that belong in a hook here."""
        what, refused = (_SIGNS, ":") if name == _MESSAGE else (_LOOKS, "exit 1")
        here, python = _ELSEWHERE if self.outside else "", shlex.quote(sys.executable)
        return _LINES.format(what=what, here=here, python=python, ask=_ASK[name], refused=refused)


@dataclass(frozen=True, slots=True)
class Signed:
    """The trailers that a commit's message has got."""

    trailers: tuple[str, ...]


@command("guard install", writes=True, example="coord guard install")
def install(coord: Coord, *, shared: Annotated[bool, _SHARED] = False) -> Guards:
    """Let git refuse commits and pushes that touch what another agent holds a lease on, or has had one on meanwhile.

    Lines are added at the beginning of the hooks `pre-commit`, `pre-push` and `commit-msg`, for
    every worktree; what is in them stays as it is. Safe to run again, as after what writes hooks
    anew (`npm install` with husky); `coord doctor --fix` does it, too.

    Raises:
        Refused: a hook is no shell script, or a file of the repository; says what to do by hand. Or
            git runs hooks from a folder outside the repository, which others may share.
    """
    places = _places(coord)
    if not shared:
        _refuse_shared(coord, places, "install")
    with durable.faults("note that the guard is wanted"):
        durable.replace(coord.private / _WANTED, b"shared\n" if shared else b"own\n")
    return Guards(tuple(hookfiles.add(one.git, name, one.lines(name)) for one in places for name in _ASK))


def again(coord: Coord) -> Guards:
    """Install the guard as it was installed last."""
    return install(coord, shared=_wanted(coord) == "shared")


def lacking(coord: Coord) -> tuple[HookFile, ...]:
    """Return the hooks in which the guard, once installed, is not in force: taken out, or of a worktree made since."""
    found = status(coord).hooks if _wanted(coord) else ()
    return tuple(hook for hook in found if hook.state in ("missing", "not executable"))


def follow(coord: Coord, tree: Path) -> tuple[str, ...]:
    """Put the guard into the hooks of a worktree too, if it stands at home and the worktree has others than that.

    Returns what kept it out of some.
    """
    git, notes = Git(tree), list[str]()
    if hookfiles.folder(git) == hookfiles.folder(coord.git):
        return ()
    home, there = (_Hooks.of(coord, one, [tree]) for one in (coord.git, git))
    for name in _ASK:
        if _wanted(coord) or hookfiles.find(home.git, name, home.lines(name)).state != "missing":
            try:
                hookfiles.add(git, name, there.lines(name))
            except CoordError as fault:
                notes.append(f"the commit guard is not in {name}: {fault.message}")
    return tuple(notes)


@command("guard uninstall", writes=True, example="coord guard uninstall")
def uninstall(coord: Coord, *, shared: Annotated[bool, _SHARED] = False) -> Guards:
    """Take coord's lines out of git's hooks, and nothing else.

    Raises:
        Refused: they are in a folder outside the repository, which others may share.
    """
    places = _places(coord)
    if not shared:
        _refuse_shared(
            coord, [one for one in places if any(hook.state != "missing" for hook in one.found)], "uninstall"
        )
    (coord.private / _WANTED).unlink(missing_ok=True)
    for one in places:
        for name in _ASK:
            hookfiles.remove(one.git, name)
    return status(coord)


@command("guard status", example="coord guard status")
def status(coord: Coord) -> Guards:
    """Tell for every worktree whether the guard stands in its hooks."""
    return Guards(tuple(hook for one in _places(coord) for hook in one.found))


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


def _places(coord: Coord) -> tuple["_Hooks", ...]:
    """Return each folder of hooks once: most worktrees have one in common."""
    trees = [tree.path for tree in worktree.all_of(coord.git)]
    found = (_Hooks.of(coord, Git(tree), trees) for tree in trees if tree.is_dir())
    return tuple({one.folder: one for one in reversed([*found])}.values())[::-1]


def _wanted(coord: Coord) -> str:
    """Return how the guard was installed, "" where it was not."""
    try:
        return (coord.private / _WANTED).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _refuse_shared(coord: Coord, places: Sequence["_Hooks"], verb: str) -> None:
    outside = next((one.folder for one in places if one.outside), None)
    if outside is not None:
        own = shlex.quote(str(hookfiles.own_folder(coord.git)))
        raise Refused(
            f"git runs the hooks of {outside}, outside this repository: others may run them, too",
            hint=f"coord guard {verb} --shared does it there, and where coord is not set up the guard is silent; "
            f"or give this repository hooks of its own: git config core.hooksPath {own}",
        )


def _staged(coord: Coord) -> set[str]:
    """Return the paths that a commit changes; what a merge brings from its other side is no change of its own."""
    git = Git(coord.place.top)
    # `git commit <path>` and `git commit -a` show their hooks an index of their own.
    index = os.environ.get("GIT_INDEX_FILE", "")
    env = {"GIT_INDEX_FILE": str(coord.place.top / index)} if index else {}
    words = ("diff", "--cached", "--name-only", "--no-renames", "-z")
    found = _names(git.run(*words, env=env).out)
    if (merged := git.tip("MERGE_HEAD")) is not None:
        found &= _names(git.run(*words, merged, env=env).out)
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


def _names(listed: bytes) -> set[str]:
    return {os.fsdecode(name) for name in listed.split(b"\0") if name}


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
