"""Merging many pairs in memory, work that nobody has committed included, and leaving no trace.

What is made on the way (the state of a worktree as a commit, merged trees) goes to a store of
objects beside git's own, so that neither a clone nor the owner's `gc` ever meets it, and no
worktree's index or file is touched.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from coord.git import repo, worktree
from coord.git.repo import Git
from coord.model import foresight

_MAKER = ("coord", "coord@coord.local")
_ALWAYS = datetime.fromtimestamp(0, UTC)  # the same files are the same commit, whenever it is made
_MANY = 256  # a store has as many folders when it is well filled
_AT_ONCE = (2, 39, 0)  # the first git whose merge-tree takes many pairs
_MARKS = (b"<<<<<<<", b">>>>>>>")


@dataclass(frozen=True, slots=True)
class Changes:
    """What a commit changed since another: paths, the folders that lost files, and those that gained some."""

    paths: frozenset[str]
    left: frozenset[str]
    entered: frozenset[str]


@dataclass(frozen=True, slots=True)
class Hunk:
    """One place of a conflict: the line at which it begins in the merged file, and how many it takes there."""

    path: str
    line: int
    lines: int


@dataclass(frozen=True, slots=True)
class Merged:
    """What merging two commits gives: a tree of the store, and the paths that conflict."""

    tree: str
    conflicts: tuple[str, ...]


class Foreseer:
    """Merges in memory, with a store of objects of its own in FOLDER. For one process at a time."""

    def __init__(self, git: Git, common: Path, folder: Path) -> None:
        self._git = git
        self._folder = folder
        self._env = {
            "GIT_OBJECT_DIRECTORY": os.fspath(folder / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.fspath(common / "objects"),
        }
        (folder / "objects").mkdir(parents=True, exist_ok=True)

    def trim(self) -> bool:
        """Empty a store that has grown; True where that was done, and every commit of it is gone."""
        objects = self._folder / "objects"
        if sum(len(os.listdir(one.path)) for one in os.scandir(objects) if one.is_dir()) < _MANY * 16:
            return False
        shutil.rmtree(self._folder)
        objects.mkdir(parents=True)
        return True

    def snapshot(self, path: Path, head: str, name: str) -> str:
        """Return the state of the worktree at PATH as a commit on HEAD: HEAD itself where all is committed.

        While a merge or rebase is half done there, and where git cannot read a file, HEAD stands for it.
        """
        here = Git(path)
        private = worktree.private(here)
        if worktree.operation(private):
            return head
        copy = self._folder / f"index-{name}"
        if (private / "index").exists():
            shutil.copy2(private / "index", copy)  # with its time, by which git tells what may have changed since
        env = {**self._env, "GIT_INDEX_FILE": os.fspath(copy)}
        words = ("add", "--all", "--ignore-errors", "--", ":/")
        here.run(*words, env=env, check=False, config={"advice.addEmbeddedRepo": "false"})
        tree = here.run("write-tree", env=env, check=False)
        if tree.status != 0 or (made := tree.out.decode().strip()) == here.text("rev-parse", f"{head}^{{tree}}"):
            return head
        return self._commit(here, made, head)

    def _commit(self, here: Git, tree: str, head: str) -> str:
        name, email = _MAKER
        who = {
            f"GIT_{role}_{what}": value
            for role in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", name), ("EMAIL", email), ("DATE", f"@{int(_ALWAYS.timestamp())} +0000"))
        }
        words = ("commit-tree", tree, "-p", head, "-m", "uncommitted")
        return here.run(*words, env={**self._env, **who}).out.decode().strip()

    def parted(self, base: str, commit: str) -> str | None:
        """Return the commit at which COMMIT left BASE, or None where they share no history."""
        done = self._git.run("merge-base", base, commit, env=self._env, check=False)
        return done.out.decode().split()[0] if done.out else None

    def changes(self, start: str, commit: str) -> Changes:
        """Return what COMMIT changed since START."""
        words = ("diff-tree", "-r", "-z", "--name-status", "--no-renames", "--ignore-submodules=none", start, commit)
        fields = self._git.run(*words, env=self._env).out.split(b"\0")
        found = [(kind, os.fsdecode(name)) for kind, name in zip(fields[::2], fields[1::2], strict=False)]
        return Changes(
            frozenset(name for _, name in found),
            foresight.folders([name for kind, name in found if kind == b"D"]),
            foresight.folders([name for kind, name in found if kind == b"A"]),
        )

    def began(self, start: str, head: str) -> datetime | None:
        """Return when the oldest commit since START was made, or None where there is none."""
        lines = self._git.text("log", "--format=%at", f"{start}..{head}", "--").split()
        return datetime.fromtimestamp(min(map(int, lines)), UTC) if lines else None

    def merge(self, pairs: Sequence[tuple[str, str]]) -> list[Merged]:
        """Merge each of some PAIRS of commits, in one git process where that can be had."""
        if not pairs:
            return []
        if repo.version() < _AT_ONCE:
            return [self._one(first, second) for first, second in pairs]
        asked = "".join(f"{first} {second}\n" for first, second in pairs).encode()
        words = ("merge-tree", "--write-tree", "--stdin", "-z", "--name-only", "--no-messages")
        fields = iter(self._git.run(*words, stdin=asked, env=self._env, check=False).out.split(b"\0"))
        found = []
        for clean in fields:
            if not clean:
                break
            tree = next(fields).decode()
            names = [os.fsdecode(name) for name in iter(lambda: next(fields, b""), b"")]
            found.append(Merged(tree, tuple(dict.fromkeys(names)) if clean == b"0" else ()))
        if len(found) < len(pairs):  # one of them, without common history for example, ends git: then one by one
            return [*found, *(self._one(first, second) for first, second in pairs[len(found) :])]
        return found

    def _one(self, first: str, second: str) -> Merged:
        words = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", first, second)
        done = self._git.run(*words, env=self._env, check=False)
        tree, *names = done.out.split(b"\0")
        return Merged(tree.decode(), tuple(os.fsdecode(name) for name in names if name) if done.status == 1 else ())

    def hunks(self, tree: str, paths: Sequence[str]) -> list[Hunk]:
        """Return where in some PATHS of a merged TREE git left marks of conflict; a binary file has none."""
        found = []
        for path in paths:
            done = self._git.run("cat-file", "blob", f"{tree}:{path}", env=self._env, check=False)
            begun = 0
            for number, line in enumerate(done.out.split(b"\n") if done.status == 0 else (), 1):
                if line.startswith(_MARKS[0]):
                    begun = number
                elif line.startswith(_MARKS[1]) and begun:
                    found.append(Hunk(path, begun, number - begun - 1))
                    begun = 0
        return found
