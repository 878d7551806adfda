"""Bring back what `trash` kept of a worktree: its commits, what was staged, and its files as they lay there."""

from datetime import UTC, datetime
from pathlib import Path

from coord.git import trash, worktree
from coord.git.repo import Git, clean
from coord.model import ids
from coord.model.errors import Conflict, CoordError, Refused
from coord.model.regex import regex
from coord.model.values import frozen

_FORMAT = "%(refname)%00%(objectname)%00%(parent)%00%(authoremail)%00%(contents:subject)"
_NAME = regex(r"(?:(?P<stamp>\d{8}T\d{6}Z)|(?P<ulid>[0-9A-Z]{26}))-(?P<label>.+)")


@frozen
class Kept:
    """What a ref below refs/coord/trash/ keeps: the commit `head`, and what lay uncommitted upon it.

    `at` is when it was kept, as the name says; None for a name that is not coord's. `files` and `staged` are
    commits of the files and of the index, "" where all was committed.
    """

    name: str
    commit: str
    head: str
    label: str
    at: datetime | None
    what: str
    files: str = ""
    staged: str = ""


def everything(git: Git) -> tuple[Kept, ...]:
    """Return all that is kept, the newest first."""
    lines = git.run("for-each-ref", f"--format={_FORMAT}", f"{trash.PREFIX}/").out.decode(errors="replace").splitlines()
    found = [_read(*line.split("\0", 4)) for line in lines]
    return tuple(sorted(found, key=lambda one: (one.at or datetime.min.replace(tzinfo=UTC), one.name), reverse=True))


def _read(ref: str, commit: str, parents: str, email: str, subject: str) -> Kept:
    name = ref.removeprefix(f"{trash.PREFIX}/")
    parts = _NAME.fullmatch(name)
    label, at = (parts["label"], _moment(parts["stamp"], parts["ulid"])) if parts else (name, None)
    tips = parents.split()
    if subject.startswith(trash.KEPT) and email == f"<{trash.KEEPER[1]}>" and len(tips) == len(("head", "index")):
        head, staged = tips
        return Kept(name, commit, head, label, at, clean(subject.removeprefix(trash.KEPT)), commit, staged)
    return Kept(name, commit, commit, label, at, clean(subject))


def _moment(stamp: str | None, ulid: str | None) -> datetime | None:
    try:
        if stamp:
            return datetime.strptime(stamp, trash.STAMP).replace(tzinfo=UTC)
        return ids.time_of(ulid) if ulid and ids.is_ulid(ulid) else None
    except ValueError:
        return None


def branch_of(git: Git, kept: Kept) -> str | None:
    """Return the branch that was checked out, "" where none was, None where nothing tells."""
    said = f"{trash.KEPT}{kept.what}"
    if not kept.files:
        ref = f"{trash.PREFIX}/{kept.name}"
        said = git.run("log", "-g", "-1", "--format=%gs", ref, "--", check=False).out.decode(errors="replace").strip()
    if not said.startswith(trash.KEPT):
        return None
    word, more, _ = said.removeprefix(trash.KEPT).partition(" ")
    branch = word.removesuffix(",") if more else word
    return "" if branch == "HEAD" else branch


def restore(git: Git, kept: Kept, path: Path, branch: str) -> None:
    """Make what is kept a worktree at PATH on BRANCH ("" for none), all as it was; the ref stays.

    Staged is staged again, changed is changed, untracked is untracked. A merge or rebase that was in progress is not:
    its files are there, conflict markers included, and its other commits are parents of what was staged.

    Raises:
        Refused: PATH is taken, or BRANCH is checked out elsewhere or has other commits by now.
    """
    there = git.tip(f"refs/heads/{branch}") if branch else None
    if there not in (None, kept.head):
        raise Refused(
            f"the branch {branch} is at {str(there)[:12]} by now, and what is kept was at {kept.head[:12]}",
            hint="name a new one for it with --branch",
            branch=branch,
        )
    worktree.add(git, path, branch or None, kept.head)
    try:
        if kept.files:
            here = Git(path)
            here.run("read-tree", "-m", "-u", kept.head, kept.files)
            here.run("read-tree", "-m", kept.staged)
            here.run("update-index", "-q", "--refresh", check=False)
    except CoordError:
        worktree.remove(git, path, force=True)
        if branch and there is None:
            git.run("update-ref", "-d", f"refs/heads/{branch}", kept.head, check=False)
        raise


def drop(git: Git, kept: Kept) -> None:
    """Let go of what is kept; git cleans it away in its own time.

    Raises:
        Conflict: the ref is not at that commit any more.
    """
    ref = f"{trash.PREFIX}/{kept.name}"
    words = ("update-ref", "-d", "--end-of-options", ref, kept.commit)
    done = git.run(*words, check=False)
    if done.status != 0:
        raise Conflict(f"{ref} cannot be removed: {done.err}", hint="try again")
