"""What became of a branch: where it was before, what it lost, and trees made without touching an index."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from coord.git import merge, objects
from coord.git.repo import Git
from coord.model.values import frozen

_RECENT = 2_000
_REMOVED = "0"


@frozen
class Gone:
    """Commits that a branch no longer holds: how many, and the newest of each line of them."""

    commits: int
    heads: tuple[str, ...]


def tips_before(git: Git, common: Path, ref: str) -> tuple[str, ...]:
    """Return where REF was lately, the newest first, as its reflog says, as far as git still has those commits.

    The file is read, not git asked: git tells nothing of a reference that is gone or broken.
    """
    try:
        lines = (common / "logs" / ref).read_bytes().splitlines()[-_RECENT:]
    except (FileNotFoundError, NotADirectoryError):
        return ()
    named = dict.fromkeys(line[: line.find(b"\t")].split()[1] for line in reversed(lines) if line.count(b" ") > 2)
    return tuple(one for one, kind in objects.kinds(git, [name.decode() for name in named]) if kind == "commit")


def is_whole(git: Git, commit: str) -> bool:
    """Tell whether git has COMMIT and all that its tree holds."""
    words = ("rev-list", "--objects", "--max-count=1", "--quiet", "--end-of-options", commit)
    return git.run(*words, check=False).status == 0


def not_in(git: Git, tips: Sequence[str], tip: str) -> Gone:
    """Return what can be reached from TIPS and not from TIP."""
    if not tips:
        return Gone(0, ())
    asked = "".join(f"{one}\n" for one in (*dict.fromkeys(tips), f"^{tip}"))
    shown = git.run("rev-list", "--parents", "--stdin", stdin=asked.encode()).out.decode().splitlines()
    found = [line.split() for line in shown]
    inner = {parent for _, *parents in found for parent in parents}
    return Gone(len(found), tuple(commit for commit, *_ in found if commit not in inner))


def parted(git: Git, one: str, other: str) -> str:
    """Return the commit at which two histories parted, or "" where they have nothing in common."""
    return git.run("merge-base", one, other, check=False).out.decode().partition("\n")[0].strip()


def tree_with(git: Git, commit: str, blobs: Mapping[str, str]) -> str:
    """Write, durably, the tree of COMMIT with BLOBS at their paths, where "" removes; return it."""
    with tempfile.TemporaryDirectory(prefix="coord-") as folder:
        env = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git.run("read-tree", commit, env=env)
        null = "0" * len(commit)
        lines = (
            b"%s %s\t%s\0" % ((b"100644" if blob else _REMOVED.encode()), (blob or null).encode(), os.fsencode(path))
            for path, blob in blobs.items()
        )
        git.run("update-index", "-z", "--index-info", stdin=b"".join(lines), env=env)
        return git.run("write-tree", env=env, config=merge.DURABLE).out.decode().strip()


def tree_of(git: Git, common: Path, blobs: Mapping[str, str]) -> str:
    """Return the tree that holds BLOBS at their paths, or "" where git lacks one or it is none; writes nothing."""
    with tempfile.TemporaryDirectory(prefix="coord-") as folder:
        objects = Path(folder) / "objects"
        objects.mkdir()
        env = {
            "GIT_INDEX_FILE": str(Path(folder) / "index"),
            "GIT_OBJECT_DIRECTORY": str(objects),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(common / "objects"),
        }
        lines = (b"100644 %s\t%s\0" % (blob.encode(), os.fsencode(path)) for path, blob in blobs.items() if blob)
        filled = git.run("update-index", "-z", "--index-info", stdin=b"".join(lines), env=env, check=False)
        done = git.run("write-tree", env=env, check=False)
        # What could not be filled is the empty tree, which every ledger was once.
        return done.out.decode().strip() if filled.status == done.status == 0 else ""


def age_of_tree(git: Git, tip: str, tree: str) -> int:
    """Return how many commits before TIP the branch was at TREE last, or 0 where lately it was not."""
    shown = git.run("log", "--first-parent", "--format=%T", f"--max-count={_RECENT}", "--end-of-options", tip)
    trees = shown.out.decode().split()
    return trees.index(tree) if tree in trees else 0
