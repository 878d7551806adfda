"""Merging many pairs in memory, work that nobody has committed included, and leaving no trace.

What is made on the way (the state of a worktree as a commit, merged trees) goes to a store of
objects beside git's own, so that neither a clone nor the owner's `gc` ever meets it, and no
worktree's index or file is touched.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from coord.git import objects, output, repo, worktree
from coord.git.repo import Git
from coord.model import foresight
from coord.model.errors import Unavailable
from coord.model.values import frozen

_MADE = "author coord <coord@coord.local> 0 +0000\ncommitter coord <coord@coord.local> 0 +0000"
_WORKERS = 4
_LARGEST = 1 << 24
_MANY = 16  # in one of a store's 256 folders
_MANY_PAIRS = 10  # a git more costs as much as four pairs
_AT_ONCE = (2, 39, 0)  # the first git whose merge-tree takes many pairs


@frozen
class State:
    """A worktree that is looked at: where it is, the last commit there, and a name for what is kept of it."""

    path: Path
    head: str
    name: str


@frozen
class Changes:
    """What a commit changed since another: paths, the folders that lost files, and those that gained some."""

    paths: frozenset[str]
    left: frozenset[str]
    entered: frozenset[str]


@frozen
class Hunk:
    """One place of a conflict: the line of the merged file at which it begins, and how many it takes there."""

    path: str
    line: int
    lines: int


@frozen
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
        sample = objects / "17"  # names are as good as drawn by lot: git itself counts one folder of the 256
        if not sample.exists() or len(os.listdir(sample)) < _MANY:
            return False
        shutil.rmtree(self._folder)
        objects.mkdir(parents=True)
        return True

    def snapshots(self, states: Sequence[State]) -> list[str]:
        """Return some worktrees as they are, each as a commit on its head: the head itself where all is committed.

        While a merge or rebase is half done there, and where git cannot read it or write a tree of it, the head
        stands for it: one worktree whose filter fails must not blind the others.
        """
        with ThreadPoolExecutor(_WORKERS) as pool:
            trees = list(pool.map(self._tree, states))
        found = [(tree, state.head) for tree, state in zip(trees, states, strict=True) if tree]
        commits = iter(self._commits(found))
        return [next(commits) if tree else state.head for tree, state in zip(trees, states, strict=True)]

    def _tree(self, state: State) -> str:
        """Return the tree of what lies in a worktree, or "" where its head stands for that."""
        private = worktree.own(state.path)
        try:
            changed = worktree.dirty(state.path, alone=False) if not worktree.operation(private) else ()
        except Unavailable:
            return ""
        if not changed:
            return ""
        here = Git(state.path)
        copy = self._folder / f"index-{state.name}"
        if (private / "index").exists():
            shutil.copy2(private / "index", copy)  # with its time, by which git tells what may have changed since
        env = {**self._env, "GIT_INDEX_FILE": os.fspath(copy)}
        named = b"".join(os.fsencode(one) + b"\0" for one in changed)
        words = ("update-index", "-z", "--add", "--remove", "--replace", "--stdin")
        if here.run(*words, stdin=named, env=env, check=False).status != 0:  # a repository inside it, for example
            here.run("add", "--all", "--ignore-errors", "--", ":/", env=env, check=False)
        # What the index names is there, or is fetched when a merge wants it: to look for each costs more than the rest.
        made = here.run("write-tree", "--missing-ok", env=env, check=False)
        return made.out.decode().strip() if made.status == 0 else ""

    def _commits(self, trees: Sequence[tuple[str, str]]) -> list[str]:
        """Return a commit for each tree and its parent, in one git process; the same ones are the same commit."""
        if not trees:
            return []
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            files = [Path(folder) / str(number) for number in range(len(trees))]
            for file, (tree, parent) in zip(files, trees, strict=True):
                file.write_text(f"tree {tree}\nparent {parent}\n{_MADE}\n\nuncommitted\n")
            named = "".join(f"{file}\n" for file in files).encode()
            words = ("hash-object", "-t", "commit", "-w", "--no-filters", "--stdin-paths")
            return self._git.run(*words, stdin=named, env=self._env).out.decode().split()

    def changes(self, spans: Sequence[tuple[str, str]]) -> list[Changes]:
        """Return what the second commit of each span changed since the first, in one git process for all."""
        if not spans:
            return []
        lines = "".join(f"{end} {start}\n" for start, end in spans).encode()  # as if the first were its only parent
        words = ("diff-tree", "--stdin", "--always", "-r", "-z", "--name-status", "--no-renames")
        done = self._git.run(*words, "--ignore-submodules=none", stdin=lines, env=self._env)
        return list(_changes(iter(done.out.split(b"\0"))))

    def merge(self, pairs: Sequence[tuple[str, str]]) -> list[Merged]:
        """Merge each of some PAIRS of commits: in one git process, in two side by side where they are many."""
        if len(pairs) < _MANY_PAIRS:
            return self._merged(pairs)
        half = len(pairs) // 2
        with ThreadPoolExecutor(2) as pool:
            return [one for some in pool.map(self._merged, (pairs[:half], pairs[half:])) for one in some]

    def _merged(self, pairs: Sequence[tuple[str, str]]) -> list[Merged]:
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
        done = self._git.run(*output.MERGE, first, second, env=self._env, check=False)
        tree, conflicts = output.merged(done.out)
        return Merged(tree, tuple(dict.fromkeys(one.path for one in conflicts)))

    def hunks(self, places: Sequence[tuple[str, str]]) -> list[tuple[Hunk, ...]]:
        """Return where git left marks in some files, each named by tree and path; not in binary or very large ones."""
        named = [os.fsencode(f"{tree}:{path}") for tree, path in places]
        contents = objects.contents(self._git, named, env=self._env, largest=_LARGEST)
        return [
            tuple(Hunk(path, line, lines) for line, lines in _marked(data or b""))
            for (_, path), data in zip(places, contents, strict=True)
        ]


def _changes(fields: Iterator[bytes]) -> Iterator[Changes]:
    """Read what diff-tree says of commits: the name of each, then a letter and a path for each change."""
    found: list[tuple[bytes, str]] | None = None
    for field in fields:
        if len(field) == 1:
            assert found is not None
            found.append((field, os.fsdecode(next(fields))))
        elif found is not None:
            yield _told(found)
            found = []
        else:
            found = []


def _told(found: Sequence[tuple[bytes, str]]) -> Changes:
    return Changes(
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
