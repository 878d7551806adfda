"""Bring a checkout along when its branch moves: the owner's files are sacred.

Nothing here overwrites a byte that is in no commit. Git's two-tree merge sees to the
files it knows; untracked and ignored ones in the way are looked for here, because
`git read-tree -u` overwrites ignored files.
"""

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from coord.git import discovery, indexlock, output, stale
from coord.git import worktree as worktrees
from coord.git.output import REPOSITORY, Change
from coord.git.repo import Done, Git, clean
from coord.git.worktree import Worktree
from coord.model.errors import Refused, Unavailable
from coord.model.untrusted import several

_LIMIT = 900.0
_REQUIRED = r"^filter\..*\.required$"


def standing_on(git: Git, branch: str) -> tuple[Worktree, ...]:
    """Return the worktrees that have BRANCH checked out, also those that are in the middle of rebasing it."""
    found = (tree for tree in worktrees.all_of(git) if not tree.prunable)
    return tuple(tree for tree in found if branch in (tree.branch, worktrees.half_done_branch(tree)))


def obstacle(worktree: Path, old: str, new: str) -> str:
    """Say why the checkout at WORKTREE cannot be brought from commit OLD to NEW, naming paths; "" when it can.

    It can only while all that git tracks there is as in OLD. Looking changes no byte there,
    not even of the index.
    """
    git = Git(worktree)
    private = worktrees.private(git)
    if operation := worktrees.operation(private):
        return f"a {operation} is in progress"
    if not (private / "index").exists():
        return "nothing is checked out there: it has no index"
    if reason := indexlock.busy(private):
        return reason
    with tempfile.TemporaryDirectory(prefix="coord-") as folder:
        look = _Index(git, private, Path(folder) / "index")
        try:
            names = look.differing_from(old)
        except Unavailable as fault:  # a filter that fails, for example
            return f"what was changed there cannot be told: {fault.message}"
        if names:
            return f"uncommitted changes in {several(names)}"
        changes = _changes(git, old, new)
        return look.blocked(old, new, changes) or _unwritable(git, new, changes)


def is_taken(worktree: Path) -> bool:
    """Tell whether another of us brings the checkout at WORKTREE along, or one of its gits does that outlived it."""
    return indexlock.is_taken(worktrees.own(worktree))


def bring(worktree: Path, old: str, new: str, *, move: Callable[[int], None] | None = None) -> None:
    """Bring the index and the files at WORKTREE from commit OLD to NEW; uncommitted work elsewhere stays.

    The branch has moved already, or MOVE moves it: it is called once, with the index locked
    and nothing in the way, so that no `git commit` can come between the branch and its files.
    Its git is to inherit the descriptor that MOVE is given: should that outlive us, it keeps the lock.
    Killed at any moment, calling it again (without MOVE, if that was done) finishes; doing it
    twice changes nothing.

    Raises:
        Refused: uncommitted work is in the way; it stays as it is.
        AtWork: another of us is at work there, or its git still is.
        Conflict: somebody else's git is.
        Unavailable: a git that lives may hold HEAD locked.
    """
    git = Git(worktree)
    private = worktrees.private(git)
    if not (private / "index").exists():
        raise Refused(f"nothing is checked out at {worktree}", hint=f"git -C {worktree} reset --hard")
    with indexlock.hold(private) as fd:
        # Whoever moves a branch under a checkout locks HEAD as well, and may be killed after the branch has moved.
        stale.remove(private / "HEAD.lock", discovery.find(worktree).common)
        # Only the holder touches this name, so what lies there was left by a dead one.
        step = _Index(git, private, private / "index.coord", fd)
        try:
            _bring(step, old, new, None if move is None else partial(move, fd))
        finally:
            step.path.unlink(missing_ok=True)


def _bring(step: "_Index", old: str, new: str, move: Callable[[], None] | None) -> None:
    """Do what `bring` does, with the index locked."""
    worktree = step.git.cwd
    changes = _changes(step.git, old, new)
    start = old
    reason = step.blocked(start, new, changes)
    if reason:
        start, left = step.catch_up(old, changes)
        reason = step.blocked(start, new, left)
    if reason:
        raise Refused(
            f"{worktree} cannot follow to {new[:12]}: {reason}",
            hint="commit, move or stash it there, then try again",
            path=str(worktree),
        )
    if move is not None:
        move()
    step.run("read-tree", "-m", "-u", start, new)
    step.path.replace(step.private / "index")
    for change in _moved_inside(worktree, changes):
        _bring_inside(worktree / change.path, change)


class _Index:
    """A copy of a worktree's index, and git working on the copy."""

    def __init__(self, git: Git, private: Path, path: Path, fd: int | None = None) -> None:
        self.git = git
        self.private = private
        self.path = path
        self._fd = fd
        path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        # With its time: git tells by it which files may have changed since in the same second.
        shutil.copy2(private / "index", path)
        self.run("update-index", "-q", "--refresh", check=False)

    def run(self, *args: str, stdin: bytes = b"", check: bool = True) -> Done:
        """Run git on the copy; git keeps the index locked should we be killed meanwhile."""
        env = {"GIT_INDEX_FILE": os.fspath(self.path)}
        # A split index would leave its other half in the owner's folder while only looking.
        config = {"core.splitIndex": "false"} if self._fd is None else {}
        fds = () if self._fd is None else (self._fd,)
        with self.git.start(*args, stdin=subprocess.PIPE, env=env, config=config, pass_fds=fds) as process:
            try:
                out, err = process.communicate(stdin, _LIMIT)
            except subprocess.TimeoutExpired:
                process.terminate()
                raise Unavailable(f"`git {args[0]}` in {self.git.cwd} took too long", hint="try again") from None
        done = Done(process.returncode, out, clean(err.decode(errors="replace")))
        if check and done.status != 0:
            raise self.git.failure(args, done)
        return done

    def differing_from(self, commit: str) -> list[str]:
        """Return the tracked paths that are not as in COMMIT, staged or not."""
        compare = ("-z", "--name-only", "--no-renames", "--ignore-submodules=dirty")
        staged = self.run("diff-index", *compare, "--cached", commit).out
        return sorted({*output.paths(staged), *self.modified()})

    def blocked(self, old: str, new: str, changes: Sequence[Change]) -> str:
        """Say what stands in the way of the two-tree merge, or "". Changes nothing."""
        if names := sorted(set(_in_the_way(self.git.cwd, changes))):
            return f"files that git does not track are in the way: {several(names)}"
        for change in _moved_inside(self.git.cwd, changes):
            if reason := _stuck_inside(self.git.cwd / change.path, change):
                return f"in the submodule {several([change.path])}: {reason}"
        done = self.run("read-tree", "-m", "-u", "-n", old, new, check=False)
        return "" if done.status == 0 else " ".join(done.err.replace("error: ", "").split())

    def catch_up(self, old: str, changes: Sequence[Change]) -> tuple[str, list[Change]]:
        """Find how far a killed run came: return the tree that it reached, and the changes that are left.

        What lies there as NEW has it, or is gone as NEW wants it, is done, and is noted in the
        copy. A file that holds only the first part of NEW's bytes was being written: it is
        taken away, to be written again. (The tree is needed because the two-tree merge from
        OLD refuses a folder that has become a file already.)
        """
        ahead = _Index(self.git, self.private, self.path.with_name(f"{self.path.name}.ahead"), self._fd)
        try:
            return self._caught_up(ahead, old, changes)
        finally:
            ahead.path.unlink(missing_ok=True)

    def _caught_up(self, ahead: "_Index", old: str, changes: Sequence[Change]) -> tuple[str, list[Change]]:
        ahead.set(changes)
        ahead.run("update-index", "-q", "--refresh", check=False)
        unlike_new, unlike_old = set(ahead.modified()), set(self.modified())
        done: list[Change] = []
        left: list[Change] = []
        for change in changes:
            is_done = _is_gone(self.git.cwd / change.path) if change.removed else change.path not in unlike_new
            (done if is_done else left).append(change)
        for change in left:
            if change.added or change.path in unlike_old:
                self._drop_partial(change)
        self.set(done)
        self.run("update-index", "-q", "--refresh", check=False)
        ahead.run("read-tree", old)
        ahead.set(done)
        return ahead.run("write-tree").out.decode().strip(), left

    def set(self, changes: Iterable[Change]) -> None:
        """Put the paths into the copy as they are after the changes; what goes, goes first, to make room."""
        lines = [
            f"{change.after} {change.blob}\t{change.path}\0" for change in sorted(changes, key=lambda one: one.after)
        ]
        self.run("update-index", "-z", "--index-info", stdin=os.fsencode("".join(lines)))

    def modified(self) -> list[str]:
        """Return the paths whose file is not as the copy has it."""
        return output.paths(self.run("diff-files", "-z", "--name-only", "--ignore-submodules=dirty").out)

    def _drop_partial(self, change: Change) -> None:
        spot = self.git.cwd / change.path
        try:
            regular = stat.S_ISREG(spot.lstat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return
        if regular and change.after.startswith("100"):
            whole = self.run("cat-file", "--filters", f"--path={change.path}", change.blob).out
            part = spot.read_bytes()
            if len(part) < len(whole) and whole.startswith(part):
                spot.unlink()


def _changes(git: Git, old: str, new: str) -> list[Change]:
    words = ("diff-tree", "-r", "-z", "--raw", "--no-renames", "--ignore-submodules=none")
    return output.changes(git.run(*words, old, new).out)


def _moved_inside(top: Path, changes: Iterable[Change]) -> Iterator[Change]:
    """Yield the submodules that are checked out at TOP and get another commit."""
    for change in changes:
        if change.before == change.after == REPOSITORY and os.path.lexists(top / change.path / ".git"):
            yield change


def _stuck_inside(submodule: Path, change: Change) -> str:
    """Say why a submodule cannot follow, or "": nothing is fetched, and only what stands where it was left is moved."""
    here = Git(submodule)
    if here.tip(change.blob) is None:
        return f"it has no commit {change.blob[:12]} yet: `git fetch` there"
    head = here.tip("HEAD")
    if head == change.blob:
        return ""
    if here.run("symbolic-ref", "--quiet", "HEAD", check=False).status == 0 or head != change.was:
        return f"it was moved by hand: `git checkout --detach {change.was[:12]}` there"
    return obstacle(submodule, change.was, change.blob)


def _bring_inside(submodule: Path, change: Change) -> None:
    """Bring a submodule along; it stands on no branch, so that its HEAD moves."""
    here = Git(submodule)
    words = ("update-ref", "-m", "coord: follow", "--no-deref", "HEAD", change.blob, change.was)

    def move(fd: int) -> None:
        here.run(*words, pass_fds=(fd,))

    bring(submodule, change.was, change.blob, move=None if here.tip("HEAD") == change.blob else move)


def _unwritable(git: Git, new: str, changes: Sequence[Change]) -> str:
    """Say which file of NEW cannot be written since a filter fails that git may not do without (LFS), or "".

    Git finds that out only half way. So what such filters make is made aside, for the files that change.
    """
    listed = git.run("config", "-z", "--type=bool", "--get-regexp", _REQUIRED, check=False).out.split(b"\0")
    required = {line.partition(b"\n")[0][len("filter.") : -len(".required")] for line in listed if b"\ntrue" in line}
    names = [os.fsencode(change.path) for change in changes if change.after.startswith("100")]
    if not required or not names:
        return ""
    with tempfile.TemporaryDirectory(prefix="coord-") as folder:
        env = {"GIT_INDEX_FILE": f"{folder}/index"}
        git.run("read-tree", new, env=env)
        asked = b"".join(name + b"\0" for name in names)
        said = git.run("check-attr", "--cached", "-z", "--stdin", "filter", stdin=asked, env=env).out.split(b"\0")
        filtered = [name for name, driver in zip(said[::3], said[2::3], strict=False) if driver in required]
        if not filtered:
            return ""
        words = ("checkout-index", "-q", "-z", "--stdin", f"--prefix={folder}/made/")
        done = git.run(*words, stdin=b"\0".join(filtered), env=env, check=False, timeout=_LIMIT)
    return "" if done.status == 0 else done.err.splitlines()[-1].removeprefix("fatal: ")


def _in_the_way(top: Path, changes: Sequence[Change]) -> Iterator[str]:
    """Yield what lies, untracked or ignored, where a change puts something new."""
    going = {change.path for change in changes if change.removed}
    folders: set[str] = set()
    for change in changes:
        if change.before == REPOSITORY and change.after.startswith("1") and change.after != REPOSITORY:
            yield from (f"{change.path}/{name}" for name in _listing(top / change.path))
        if not change.added:
            continue
        parts = change.path.split("/")
        for depth in range(1, len(parts) + 1):
            name = "/".join(parts[:depth])
            if name in folders:
                continue
            try:
                mode = os.lstat(top / name).st_mode
            except (FileNotFoundError, NotADirectoryError):
                break
            if depth == len(parts) and stat.S_ISDIR(mode):
                if change.after == REPOSITORY:
                    break
                yield from (inside for inside in _files(top, name) if inside not in going)
            elif stat.S_ISDIR(mode):
                folders.add(name)
            else:
                if name not in going and not _is_respelled(top, name, going):
                    yield name
                break


def _is_respelled(top: Path, name: str, going: set[str]) -> bool:
    """Tell whether NAME is what a file that goes is called where letter case makes no difference."""
    alike = (other for other in going if other.casefold() == name.casefold())
    return any(
        os.path.lexists(top / other) and os.path.samestat(os.lstat(top / other), os.lstat(top / name))
        for other in alike
    )


def _files(top: Path, name: str) -> Iterator[str]:
    for folder, below, files in os.walk(top / name):
        inside = [Path(folder, entry) for entry in (*files, *below)]
        yield from (os.fspath(path.relative_to(top)) for path in inside if path.is_symlink() or not path.is_dir())


def _listing(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() and not folder.is_symlink() else []


def _is_gone(spot: Path) -> bool:
    return not os.path.lexists(spot) or (spot.is_dir() and not spot.is_symlink())
