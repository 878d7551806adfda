"""Where the guard stands: its lines in git's hooks, put there, found, put there again and taken away."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from coord.git import hookfiles, worktree
from coord.git.hookfiles import HookFile
from coord.git.repo import Git
from coord.model import mailboxes
from coord.model.errors import CoordError, Refused
from coord.model.records import Message
from coord.model.untrusted import several
from coord.model.values import frozen
from coord.service import delivery
from coord.service.command import command
from coord.service.coord import Coord
from coord.stores import durable

_MESSAGE = "commit-msg"
_WANTED = "guard"
_CHANGED = "hooks"
_RESTORED = "guard.restored"
_SHARED = "also in a folder of hooks outside the repository, which others may share"
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


@frozen
class Guards:
    """The hooks of each worktree that coord's lines belong in, and whether they are there."""

    hooks: tuple[HookFile, ...]


@frozen
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


@command("guard install", writes=True, example="coord guard install")
def install(coord: Coord, *, shared: Annotated[bool, _SHARED] = False) -> Guards:
    """Let git refuse commits and pushes that touch what another agent holds a lease on, or has had one on meanwhile.

    Lines are added at the beginning of the hooks `pre-commit`, `pre-push` and `commit-msg`, for
    every worktree; what is in them stays as it is. Safe to run again, as after what writes hooks
    anew (`npm install` with husky); the daemon and `coord doctor --fix` do it, too.

    Raises:
        Refused: a hook is no shell script, or a file of the repository; says what to do by hand. Or
            git runs hooks from a folder outside the repository, which others may share.
    """
    places = _places(coord)
    if not shared:
        _refuse_shared(coord, places, "install")
    with coord.store.exclusive(_CHANGED):
        with durable.faults("note that the guard is wanted"):
            durable.replace(coord.private / _WANTED, b"shared\n" if shared else b"own\n")
        return Guards(tuple(hookfiles.add(one.git, name, one.lines(name)) for one in places for name in _ASK))


def again(coord: Coord) -> tuple[HookFile, ...]:
    """Put the guard, where it is wanted still, into the hooks that lack it, as it was installed last; return these.

    Raises:
        Refused: one of them cannot be written, as in `install`; the others are.
    """
    with coord.store.exclusive(_CHANGED):
        wanted, places = is_wanted(coord), _places(coord)
        if wanted and wanted != "shared":
            _refuse_shared(coord, places, "install")
        done, faults = list[HookFile](), list[CoordError]()
        for one in places if wanted else ():
            for hook in filter(is_lacking, one.found):
                try:
                    done.append(hookfiles.add(one.git, hook.name, one.lines(hook.name)))
                except CoordError as fault:
                    faults.append(fault)
        if faults:
            raise faults[0]
        return tuple(done)


def restore(coord: Coord) -> bool:
    """Put the guard again into the hooks that lack it, on record; the owner is told of it the first time.

    Raises:
        Refused: as `again`.
    """
    hooks = again(coord)
    if not hooks:
        return False
    where = several([str(hook.path) for hook in hooks])
    told = any(coord.indexed().entries(kind=_RESTORED, limit=1))
    word = () if told else delivery.copies(_notice(coord, where), (mailboxes.OWNER,))
    coord.record(coord.event(_RESTORED, f"the commit guard is back in {where}", word, agent=delivery.COORD))
    return True


def lacking(coord: Coord) -> tuple[HookFile, ...]:
    """Return the hooks in which the guard, once installed, is not in force: taken out, or of a worktree made since."""
    return tuple(filter(is_lacking, status(coord).hooks)) if is_wanted(coord) else ()


def is_wanted(coord: Coord) -> str:
    """Return how the guard was installed, "" where it was not."""
    try:
        return (coord.private / _WANTED).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def follow(coord: Coord, tree: Path) -> tuple[str, ...]:
    """Put the guard into the hooks of a worktree too, if it stands at home and the worktree has others than that.

    Returns what kept it out of some.
    """
    git, notes = Git(tree), list[str]()
    if hookfiles.folder(git) == hookfiles.folder(coord.git):
        return ()
    home, there = (_Hooks.of(coord, one, [tree]) for one in (coord.git, git))
    for name in _ASK:
        if is_wanted(coord) or hookfiles.find(home.git, name, home.lines(name)).state != "missing":
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
    with coord.store.exclusive(_CHANGED):
        (coord.private / _WANTED).unlink(missing_ok=True)
        for one in places:
            for name in _ASK:
                hookfiles.remove(one.git, name)
    return status(coord)


@command("guard status", example="coord guard status")
def status(coord: Coord) -> Guards:
    """Tell for every worktree whether the guard stands in its hooks."""
    return Guards(tuple(hook for one in _places(coord) for hook in one.found))


def _places(coord: Coord) -> tuple["_Hooks", ...]:
    """Return each folder of hooks once: most worktrees have one in common."""
    trees = [tree.path for tree in worktree.all_of(coord.git)]
    found = (_Hooks.of(coord, Git(tree), trees) for tree in trees if tree.is_dir())
    return tuple({one.folder: one for one in reversed([*found])}.values())[::-1]


def _notice(coord: Coord, where: str) -> Message:
    body = (
        f"It was no longer in {where}, and stands there again. What writes hooks anew does this, as `npm install` does "
        "where husky is used; a worktree that git alone made has none at first.\n\n"
        "From now on it is put back without a word: `coord log --kind guard.restored` says when. "
        "`coord guard uninstall` ends it everywhere.\n"
    )
    return delivery.notice(coord, mailboxes.OWNER, "the commit guard was put back into git's hooks", body)


def is_lacking(hook: HookFile) -> bool:
    """Tell whether git does not run the guard in a hook."""
    return hook.state in ("missing", "not executable")


def _refuse_shared(coord: Coord, places: Sequence["_Hooks"], verb: str) -> None:
    outside = next((one.folder for one in places if one.outside), None)
    if outside is not None:
        own = shlex.quote(str(hookfiles.own_folder(coord.git)))
        raise Refused(
            f"git runs the hooks of {outside}, outside this repository: others may run them, too",
            hint=f"coord guard {verb} --shared does it there, and where coord is not set up the guard is silent; "
            f"or give this repository hooks of its own: git config core.hooksPath {own}",
        )
