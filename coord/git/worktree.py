"""Each agent's own checkout: list, add, link to the live folders, remove, and what removing would lose."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from coord.git import discovery, output, refs
from coord.git.refs import HEADS
from coord.git.repo import Git, clean
from coord.model import keys
from coord.model.errors import NotFound, Refused, Usage
from coord.model.values import frozen

# Without a trailing slash: a pattern that ends in one does not match a link to a folder.
HIDDEN = tuple(f"/{folder}".encode() for folder in keys.FOLDERS)
# How far down `link` goes: `inbox`, or `inbox/<name>`.
_DEEPEST = 2
_NOT_AGENTS = (*keys.SHARED_MAILBOXES, "merges")
# What git leaves in a worktree's own folder while something is half done (builtin/commit.c, wt-status.c).
_OPERATIONS = {
    "rebase-merge": "rebase",
    "rebase-apply/applying": "am",
    "rebase-apply": "rebase",
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "sequencer": "cherry-pick or revert",
    "BISECT_LOG": "bisect",
}
_REBASED = ("rebase-merge/head-name", "rebase-apply/head-name", "BISECT_START")


@frozen
class Worktree:
    """A checkout as git lists it; `branch` is "" when detached, `prunable` says that its folder is gone."""

    path: Path
    head: str
    branch: str
    prunable: bool
    locked: bool
    main: bool


@frozen
class Unfinished:
    """What removing a worktree would lose: changed paths, subjects of commits, an operation half done."""

    dirty: tuple[str, ...]
    unmerged: tuple[str, ...]
    operation: str

    @property
    def any(self) -> bool:
        """Whether anything would be lost."""
        return bool(self.dirty or self.unmerged or self.operation)

    @property
    def words(self) -> str:
        """What would be lost, on one line, naming the first of each kind."""
        kinds = (
            (f"a {self.operation} in progress",) if self.operation else (),
            _counted("uncommitted change", self.dirty),
            _counted("unmerged commit", self.unmerged),
        )
        return ", ".join(word for kind in kinds for word in kind)


def _counted(noun: str, things: tuple[str, ...]) -> tuple[str, ...]:
    if not things:
        return ()
    return (
        f"{len(things)} {noun}{'s' if len(things) > 1 else ''} ({clean(things[0])}{', …' if len(things) > 1 else ''})",
    )


def all_of(git: Git) -> tuple[Worktree, ...]:
    """Return every worktree of the repository, the main one first: as git lists them, from its files where these do."""
    common = discovery.find(git.cwd).common
    try:
        read = _read(common) if common.name == ".git" else None
    except OSError:  # one that goes at this moment, say
        read = None
    return _asked(git) if read is None else read


def _asked(git: Git) -> tuple[Worktree, ...]:
    found = git.run("worktree", "list", "--porcelain", "-z").out
    blocks = [block for block in found.split(b"\0\0") if block]
    main, *others = (_parse(block, main=number == 0) for number, block in enumerate(blocks))
    if not os.path.lexists(main.path / ".git"):
        # Where the repository lies elsewhere, as a submodule's does, git names that in place of the worktree.
        main = replace(main, path=discovery.find(git.cwd).home)
    return main, *others


def _parse(block: bytes, *, main: bool) -> Worktree:
    facts = dict(line.partition(b" ")[::2] for line in block.strip(b"\0").split(b"\0"))
    return Worktree(
        path=Path(os.fsdecode(facts[b"worktree"])),
        head=facts.get(b"HEAD", b"").decode(),
        branch=os.fsdecode(facts.get(b"branch", b"")).removeprefix(HEADS),
        prunable=b"prunable" in facts,
        locked=b"locked" in facts,
        main=main,
    )


def _read(common: Path) -> tuple[Worktree, ...] | None:
    """Return what git would list, or None where its files do not say it plainly."""
    found = [_at(common, common, common.parent)]
    parent = common / "worktrees"
    for name in os.listdir(parent) if parent.exists() else ():
        place = os.fsdecode((parent / name / "gitdir").read_bytes().removesuffix(b"\n"))
        if not place.startswith("/") or not place.endswith("/.git") or place != place.strip():
            return None
        found.append(_at(common, parent / name, Path(place).parent))
    known = [tree for tree in found if tree is not None]
    if len(known) < len(found):
        return None
    main, *others = known
    return (main, *sorted(others, key=lambda tree: os.fsencode(tree.path)))


def _at(common: Path, folder: Path, path: Path) -> Worktree | None:
    """Return the worktree at PATH, whose own folder this is; None where its branch is not born, or leads to another."""
    branch, commit = refs.head(folder) or ("", "")
    head = commit or (refs.read(common, f"{HEADS}{branch}") if branch else None)
    main = folder == common
    locked = not main and os.path.lexists(folder / "locked")
    prunable = not main and not locked and not os.path.lexists(path / ".git")
    return Worktree(path, head, branch, prunable, locked, main) if head else None


def add(git: Git, path: Path, branch: str | None, base: str) -> None:
    """Make a worktree of BRANCH at PATH; a branch that does not exist yet starts at BASE. None for none.

    Hooks do not run. A record of a worktree whose folder is gone does not stand in the way.

    Raises:
        Usage: BRANCH is no name for a branch.
        NotFound: BASE names no commit.
        Refused: PATH is taken, or BRANCH is checked out somewhere else.
    """
    if branch is not None and (
        branch.startswith("-") or git.run("check-ref-format", f"{HEADS}{branch}", check=False).status != 0
    ):
        raise Usage(f"{branch!r} is no name for a branch", hint="see `git help check-ref-format`")
    if os.path.lexists(path) and not (path.is_dir() and not path.is_symlink() and not any(path.iterdir())):
        raise Refused(f"{path} exists and is not an empty folder", hint="choose another place, or move it away")
    here = Path(os.path.realpath(path))
    listed = all_of(git)
    if branch is not None:
        _refuse_taken(branch, [tree for tree in listed if tree.path != here])
    stale = any(tree.prunable and (tree.branch == branch or tree.path == here) for tree in listed)
    exists = branch is not None and git.tip(f"{HEADS}{branch}") is not None
    if not exists and git.tip(base) is None:
        raise NotFound(
            f"{base!r} names no commit to start {branch or 'a worktree'} from",
            hint="make a first commit, or name another",
        )
    if branch is None:
        words: tuple[str, ...] = ("--detach", "--", os.fspath(here), base)
    elif exists:
        words = ("--", os.fspath(here), branch)
    else:
        words = ("--no-track", "-b", branch, "--", os.fspath(here), base)
    git.run("worktree", "add", "--quiet", *(("--force",) if stale else ()), *words)


def _refuse_taken(branch: str, others: list[Worktree]) -> None:
    for tree in others:
        if not tree.prunable and branch in (tree.branch, half_done_branch(tree)):
            raise Refused(
                f"the branch {branch} is checked out at {tree.path}",
                hint="use that worktree, or choose another branch",
                path=str(tree.path),
            )


def hide(common: Path) -> bool:
    """Hide the three folders from every branch of the repository through `info/exclude`; True when it changed.

    What the file holds stays as it is, its kind of line ends included; the new file appears whole.
    """
    path = Path(os.path.realpath(common / "info" / "exclude"))
    old = path.read_bytes() if path.exists() else b""
    present = {line.strip() for line in old.splitlines()}
    missing = [line for line in HIDDEN if line not in present]
    if not missing:
        return False
    end = b"\r\n" if b"\r\n" in old else b"\n"
    gap = end if old and not old.endswith(b"\n") else b""
    path.parent.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix="exclude.", delete=False) as file:
        try:
            file.write(old + gap + b"".join(line + end for line in missing))
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), path.stat().st_mode & 0o777 if path.exists() else 0o644)
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    return True


def link(home: Path, worktree: Path, mailboxes: Sequence[str]) -> tuple[str, ...]:
    """Link the worktree to home's live folders and return what could not be linked and why.

    A folder that the branch does not have becomes a link itself; where it has one (it tracks
    files of its own there) the links go inside. Links are relative, so that a parent folder
    of both may move. A real file or folder is never replaced. Doing it again changes nothing.
    """
    faults = (_one(spot, target) for spot, target in links(home, worktree, mailboxes))
    return tuple(fault for fault in faults if fault)


def links(home: Path, worktree: Path, mailboxes: Sequence[str]) -> tuple[tuple[Path, Path], ...]:
    """Return which links `link` makes, each with what it leads to."""
    home, worktree = Path(os.path.realpath(home)), Path(os.path.realpath(worktree))
    if home == worktree:
        return ()
    tracked = output.paths(Git(worktree).run("ls-files", "-z", "--", *keys.FOLDERS).out)
    owned = {name.partition("/")[0] for name in tracked}
    found: list[tuple[Path, Path]] = []
    for folder in keys.FOLDERS:
        spot = worktree / folder
        if folder in owned or (spot.is_dir() and not spot.is_symlink()):
            pairs = _inside(folder, mailboxes)
        else:
            pairs = iter([(folder, folder)])
        found.extend((worktree / name, home / target) for name, target in pairs)
    return tuple(found)


def _inside(folder: str, mailboxes: Sequence[str]) -> Iterator[tuple[str, str]]:
    match folder:
        case "inbox":
            yield from ((keys.mailbox(name), keys.mailbox(name)) for name in mailboxes)
        case "locks":
            yield "locks/live", "locks"
        case _:
            names = [f"checkpoints/{name}" for name in mailboxes if name not in _NOT_AGENTS]
            yield from ((name, name) for name in (*names, keys.DECISIONS))


def _one(spot: Path, target: Path) -> str:
    try:
        target.mkdir(parents=True, exist_ok=True)
        if spot.is_symlink():
            if os.path.realpath(spot) == os.path.realpath(target):
                return ""
            if spot.exists():
                return f"{spot} is a link to {spot.readlink()}, not to {target}"
            spot.unlink()
        elif spot.exists():
            return f"{spot} is a real {'folder' if spot.is_dir() else 'file'}: move it away to see {target} there"
        spot.parent.mkdir(exist_ok=True)
        spot.symlink_to(os.path.relpath(target, os.path.realpath(spot.parent)))
    except OSError as error:
        return f"{spot} cannot be linked to {target}: {error.strerror}"
    return ""


def committed_links(git: Git, tree: str) -> tuple[str, ...]:
    """Return what TREE tracks of the links that `link` makes; checked out at home they would end the live folders."""
    listed = git.run("ls-tree", "-r", "-z", "--full-tree", tree, "--", *keys.FOLDERS).out.split(b"\0")
    names = (name for facts, _, name in (line.partition(b"\t") for line in listed) if facts.startswith(b"120000"))
    return tuple(os.fsdecode(name) for name in names if name.count(b"/") < _DEEPEST)


def remove(git: Git, path: Path, *, force: bool = False) -> None:
    """Remove the worktree at PATH with its folder; the branch stays, and so does what its links lead to.

    FORCE also removes what is not committed: ask `unfinished`, and `trash.keep` it, first.

    Raises:
        Refused: it holds uncommitted work, is locked, is the main one, or is none of this repository.
    """
    done = git.run("worktree", "remove", *(("--force",) if force else ()), "--", os.fspath(path), check=False)
    if done.status != 0:
        reason = done.err.removeprefix("fatal: ")
        raise Refused(f"the worktree {path} stays: {reason}", hint=f"git -C {path} status", path=str(path))


def unfinished(git: Git, path: Path, base: str) -> Unfinished:
    """Tell what of the worktree at PATH is not in BASE: removal must refuse unless there is nothing.

    A commit whose change is in BASE as another commit (picked, rebased) counts as merged.
    Where BASE names nothing, every commit counts as unmerged.
    """
    here = Git(path)
    return Unfinished(dirty(path), _unmerged(here, git.tip(base)), operation(private(here)))


def dirty(path: Path, *within: str, alone: bool = True) -> tuple[str, ...]:
    """Return the paths at PATH that differ from its last commit, untracked ones too, ignored ones not.

    WITHIN, if any are given, are the only pathspecs that are looked at. Not ALONE, other worktrees are looked at beside
    this one, so that threads of git's own would only cost.
    """
    # `.gitmodules` or the user may say that changes in a submodule are no news: here they are work.
    status = ("status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=none")
    done = Git(path).run(*status, "--", *within, config={} if alone else {"core.preloadIndex": "false"})
    return tuple(os.fsdecode(line[3:]) for line in done.out.split(b"\0") if line)


def _unmerged(here: Git, base: str | None) -> tuple[str, ...]:
    if here.tip("HEAD") is None:
        return ()
    span = ("--cherry-pick", "--right-only", f"{base}...HEAD") if base else ("HEAD",)
    found = here.run("log", "-z", "--format=%s", *span, "--").out
    return tuple(clean(line.decode(errors="replace")) for line in found.split(b"\0") if line)


def private(git: Git) -> Path:
    """Return the worktree's own folder inside git's: where its HEAD and its index are."""
    return Path(os.fsdecode(git.run("rev-parse", "--absolute-git-dir").out.removesuffix(b"\n")))


def own(path: Path) -> Path:
    """Return what `private` does for the worktree at PATH, without asking git; a folder that is not there stays so."""
    pointer = path / ".git"
    if pointer.is_dir():
        return pointer
    try:
        return path / os.fsdecode(pointer.read_bytes().removeprefix(b"gitdir:").strip())
    except OSError:
        return pointer


def operation(folder: Path) -> str:
    """Name what is half done in the worktree whose own folder this is ("rebase", "merge", ...), or ""."""
    return next((word for name, word in _OPERATIONS.items() if (folder / name).exists()), "")


def half_done_branch(worktree: Worktree) -> str:
    """Return the branch that a rebase or a bisect in a detached WORKTREE will come back to, or ""."""
    if worktree.branch or worktree.prunable or not worktree.path.is_dir():
        return ""
    return next(_half_done(own(worktree.path)), "")


def _half_done(folder: Path) -> Iterator[str]:
    for name in _REBASED:
        if (folder / name).is_file():
            yield os.fsdecode((folder / name).read_bytes().strip()).removeprefix(HEADS)
