"""Keep what a worktree holds before it goes: its commits and all that was never committed."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from coord.git import merge, output, worktree
from coord.git.output import REPOSITORY
from coord.git.repo import Git, clean
from coord.model import ids
from coord.model.errors import Conflict, Refused

PREFIX = "refs/coord/trash"
STAMP = "%Y%m%dT%H%M%SZ"
KEPT, STAGED = "coord: kept from ", "coord: staged on "
KEEPER = ("coord", "coord@coord.local")
# Commits that only the worktree's own files name while something is half done, autostashed work included.
_HELD = (
    "MERGE_HEAD",
    "MERGE_AUTOSTASH",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "ORIG_HEAD",
    "rebase-merge/orig-head",
    "rebase-merge/autostash",
    "rebase-apply/orig-head",
    "rebase-apply/autostash",
)


def keep(git: Git, path: Path, label: str, now: datetime) -> str:
    """Keep the commits and the whole uncommitted state of the worktree at PATH under a ref, durably; return the ref.

    The worktree's own index and files are not touched. Where all is committed the ref is its
    tip. Else it is a commit as `git stash` makes them (`git stash apply <ref>` works too):
    its tree is the files as they lie there, its first parent the tip, its second what was
    staged, and that one's other parents are what a merge or rebase had in hand.
    Left out, as a commit leaves them out: ignored files and empty folders; filters and line ends
    are applied as in a commit.

    Raises:
        Refused: there is no commit, or it holds another repository, whose content git would not keep.
    """
    commit, title = _made(path, now)
    return put(git, commit, label, now, f"{KEPT}{title}")


def holds(git: Git, ref: str, path: Path, now: datetime) -> bool:
    """Tell whether REF, where `keep` put the worktree at PATH at that time, is what it would keep of it now.

    Raises:
        Refused: what has come to lie there since cannot be kept.
    """
    return git.tip(ref) == _made(path, now)[0]  # the same state at the same time is the same commit


def put(git: Git, commit: str, label: str, now: datetime, why: str) -> str:
    """Give COMMIT a ref of its own and return it; a name that is taken, also by one as fast, gets a number.

    WHY goes into the ref's log.
    """
    stem = f"{PREFIX}/{now.astimezone(UTC):{STAMP}}-{ids.slug(label)}"
    for number in range(1, 1000):
        ref = stem if number == 1 else f"{stem}-{number}"
        if git.tip(ref) is None:
            try:
                merge.move(git, ref, commit, "", message=why)
            except Conflict:
                continue
            return ref
    raise Conflict(f"{stem} is taken a thousand times", hint="remove refs that are no longer needed")


def _made(path: Path, now: datetime) -> tuple[str, str]:
    """Return a commit of all that the worktree at PATH holds, and what that is in words."""
    here = Git(path)
    head = here.tip("HEAD")
    if head is None:
        raise Refused(f"{path} has no commit yet: nothing to keep its files beside", hint="commit something there")
    private = worktree.private(here)
    operation = worktree.operation(private)
    if not worktree.dirty(path) and not operation:
        return head, _standing(here)
    staged, files = _trees(here, private)
    title = f"{_standing(here)}{f', {operation} in progress' if operation else ''}"
    held = (one for one in dict.fromkeys(_held(here, private)) if one != head)
    index = merge.commit(here, staged, (head, *held), f"{STAGED}{title}\n", author=KEEPER, at=now)
    return merge.commit(here, files, (head, index), f"{KEPT}{title}\n", author=KEEPER, at=now), title


def _standing(here: Git) -> str:
    """Return the branch that is checked out, or HEAD."""
    done = here.run("symbolic-ref", "--quiet", "HEAD", check=False)
    return done.out.decode(errors="replace").strip().removeprefix("refs/heads/") or "HEAD"


def _trees(here: Git, private: Path) -> tuple[str, str]:
    """Write the staged state and the files as two trees, through a copy of the index."""
    with tempfile.TemporaryDirectory(prefix="coord-", dir=private) as folder:
        copy = Path(folder) / "index"
        env = {"GIT_INDEX_FILE": os.fspath(copy)}
        if (private / "index").exists():
            # With its time: git tells by it which files may have changed since in the same second.
            shutil.copy2(private / "index", copy)
        unmerged = {one.path: one for one in output.entries(here.run("ls-files", "-z", "--unmerged", env=env).out)}
        # Only the files of a conflict are kept: its other sides are in the commits that are held.
        if settled := "".join(f"0 {one.blob}\t{one.path}\0" for one in unmerged.values()):
            here.run("update-index", "-z", "--index-info", stdin=os.fsencode(settled), env=env)
        staged = here.run("write-tree", env=env, config=merge.DURABLE).out.decode().strip()
        before, changed = _repositories(here, env), _changed_inside(here, env)
        added = here.run("add", "--all", "--", ":/", env=env, config=merge.DURABLE, check=False)
        odd = [one.path for one in _repositories(here, env) - before] or changed
        if added.status != 0 or odd:
            reason = f"{clean(odd[0])} is a repository of its own" if odd else added.err
            raise Refused(
                f"{here.cwd} cannot be kept whole: {reason}",
                hint="commit and push what a repository inside it holds, or move it out of the worktree",
            )
        files = here.run("write-tree", env=env, config=merge.DURABLE).out.decode().strip()
    return staged, files


def _held(here: Git, private: Path) -> Iterator[str]:
    for name in _HELD:
        if (private / name).is_file():
            for line in (private / name).read_text(encoding="ascii", errors="replace").split():
                if tip := here.tip(line):
                    yield tip


def _repositories(here: Git, env: Mapping[str, str]) -> set[output.Entry]:
    """Return what the index says of repositories inside the worktree: git keeps their numbers, not their files."""
    listed = output.entries(here.run("ls-files", "-z", "--stage", env=env).out)
    return {one for one in listed if one.mode == REPOSITORY}


def _changed_inside(here: Git, env: Mapping[str, str]) -> list[str]:
    """Return the submodules that hold changes of their own."""
    found = output.changes(here.run("diff-files", "-z", "--raw", "--ignore-submodules=none", env=env).out)
    return [one.path for one in found if REPOSITORY in (one.before, one.after)]
