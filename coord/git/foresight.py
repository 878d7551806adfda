"""Merging many pairs in memory, work that nobody has committed included, and leaving no trace.

What is made on the way (the state of a worktree as a commit, merged trees) goes to a store of
objects beside git's own, so that neither a clone nor the owner's `gc` ever meets it, and no
worktree's index or file is touched.
"""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from coord.git import repo, worktree
from coord.git.repo import Git
from coord.model import foresight
from coord.model.errors import Unavailable

# The same files are the same commit, whenever it is made.
_MAKER = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "coord"), ("EMAIL", "coord@coord.local"), ("DATE", "@0 +0000"))
}
_MANY = 256  # a store has as many folders when it is well filled
_AT_ONCE = (2, 39, 0)  # the first git whose merge-tree takes many pairs
# Between two pairs stands the NUL of the last name, or nothing: a name cannot hold it.
_PAIR = re.compile(rb"(?:(?<=\0)|(?<=\n)|\A)([0-9a-f]{40,64}) ([0-9a-f]{40,64})\n")


@dataclass(frozen=True, slots=True)
class Changes:
    """What a commit changed since another: paths, the folders that lost files, and those that gained some."""

    paths: frozenset[str]
    left: frozenset[str]
    entered: frozenset[str]


@dataclass(frozen=True, slots=True)
class Hunk:
    """One place of a conflict: the line of the merged file at which it begins, and how many it takes there."""

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

        While a merge or rebase is half done there, and where git cannot read it or write a tree of it, HEAD
        stands for it: one worktree whose filter fails must not blind the others.
        """
        private = worktree.own(path)
        try:
            changed = worktree.dirty(path) if not worktree.operation(private) else ()
        except Unavailable:
            return head
        if not changed:
            return head
        here = Git(path)
        copy = self._folder / f"index-{name}"
        if (private / "index").exists():
            shutil.copy2(private / "index", copy)  # with its time, by which git tells what may have changed since
        env = {**self._env, "GIT_INDEX_FILE": os.fspath(copy)}
        named = b"".join(os.fsencode(one) + b"\0" for one in changed)
        words = ("update-index", "-z", "--add", "--remove", "--replace", "--stdin")
        if here.run(*words, stdin=named, env=env, check=False).status != 0:  # a repository inside it, for example
            here.run("add", "--all", "--ignore-errors", "--", ":/", env=env, check=False)
        tree = here.run("write-tree", env=env, check=False)
        return self._commit(here, tree.out.decode().strip(), head) if tree.status == 0 else head

    def _commit(self, here: Git, tree: str, head: str) -> str:
        done = here.run("commit-tree", tree, "-p", head, "-m", "uncommitted", env={**self._env, **_MAKER})
        return done.out.decode().strip()

    def changes(self, spans: Sequence[tuple[str, str]]) -> list[Changes]:
        """Return what the second commit of each span changed since the first, in two git processes for all."""
        if not spans:
            return []
        asked = [f"{commit}^{{tree}}" for span in spans for commit in span]
        trees = iter(self._git.run("rev-parse", *asked, env=self._env).out.decode().split())
        lines = "".join(f"{start} {end}\n" for start, end in zip(trees, trees, strict=True)).encode()
        words = ("diff-tree", "--stdin", "-r", "-z", "--name-status", "--no-renames", "--ignore-submodules=none")
        return list(_changes(self._git.run(*words, stdin=lines, env=self._env).out))

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

    def hunks(self, places: Sequence[tuple[str, str]]) -> list[tuple[Hunk, ...]]:
        """Return where git left marks in each of some files, a merged tree and a path in it; in binary ones nowhere."""
        asked = b"".join(os.fsencode(f"{tree}:{path}") + b"\0" for tree, path in places)
        if not asked:
            return []
        rest = self._git.run("cat-file", "--batch", "-z", stdin=asked, env=self._env).out
        found: list[tuple[Hunk, ...]] = []
        for _, path in places:
            head, _, rest = rest.partition(b"\n")
            data = b""
            if not head.endswith(b" missing"):
                size = int(head.rpartition(b" ")[2])
                data, rest = rest[:size], rest[size + 1 :]
            found.append(tuple(Hunk(path, line, lines) for line, lines in _marked(data)))
        return found


def _changes(data: bytes) -> Iterator[Changes]:
    """Read what diff-tree says of pairs of trees: a line for each pair, then KIND NUL NAME NUL for each change."""
    pairs = list(_PAIR.finditer(data))
    for number, pair in enumerate(pairs):
        end = pairs[number + 1].start() if number + 1 < len(pairs) else len(data)
        fields = data[pair.end() : end].split(b"\0")
        found = [(kind, os.fsdecode(name)) for kind, name in zip(fields[::2], fields[1::2], strict=False)]
        yield Changes(
            frozenset(name for _, name in found),
            foresight.folders([name for kind, name in found if kind == b"D"]),
            foresight.folders([name for kind, name in found if kind == b"A"]),
        )


def _marked(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the first line and the length of each conflict in a merged file."""
    begun = 0
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.startswith(b"<<<<<<<"):
            begun = number
        elif line.startswith(b">>>>>>>") and begun:
            yield begun, number - begun - 1
            begun = 0
