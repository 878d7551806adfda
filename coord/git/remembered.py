"""Conflicts that were resolved once: git's rerere, learning from the merges in branches.

Its store is coord's own, so that nobody has to switch rerere on, and the owner's settings and
`.git/rr-cache` stay as they are. Old merges are made again in a store of objects aside; among the
owner's are only the blobs and trees of a merge that was resolved. For one process at a time.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from coord.git import merge, objects, output
from coord.git.output import Entry
from coord.git.repo import Git
from coord.git.synced import sync
from coord.model.values import frozen

_MERGES = 200
_REGULAR = ("100644", "100755")
_RERERE = {"rerere.enabled": "true", "rerere.autoUpdate": "false", "core.autocrlf": "false"}
_STYLE = {"merge.conflictStyle": "merge"}


@frozen
class _Conflict:
    """A merge with conflicts that rerere can know: the tree with its marks; of each path its sides, all of one mode."""

    tree: str
    sides: dict[str, list[Entry]]


class Memory:
    """What is known of conflicts, in FOLDER."""

    def __init__(self, git: Git, common: Path, folder: Path) -> None:
        self._git, self._folder = git, folder
        self._work, self._own, self._learned = folder / "work", folder / "git", folder / "learned"
        self._objects = folder / "objects"
        self._aside = {
            "GIT_OBJECT_DIRECTORY": os.fspath(self._objects),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.fspath(common / "objects"),
        }
        self._env = {
            **self._aside,
            "GIT_DIR": os.fspath(self._own),
            "GIT_WORK_TREE": os.fspath(self._work),
            "GIT_INDEX_FILE": os.fspath(self._work / "index"),
        }

    def resolve(self, ours: str, theirs: str) -> str | None:
        """Merge two commits as conflicts like theirs were resolved before; a tree, or None where not all are known."""
        self._prepare()
        conflict = self._conflict(ours, theirs)
        if conflict is None:
            return None
        self._learn()
        marked = self._lay(conflict)
        self._rerere()
        found = {name: (self._work / str(number)).read_bytes() for number, name in enumerate(conflict.sides)}
        if self._rerere("remaining") or any(found[name] == marked[name] for name in found):
            return None
        self._git.run(*output.MERGE, ours, theirs, check=False, config={**merge.DURABLE, **_STYLE})
        index = {"GIT_INDEX_FILE": os.fspath(self._work / "made")}
        self._git.run("read-tree", conflict.tree, env=index)
        lines = [f"{conflict.sides[name][0].mode} {self._blob(data)}\t{name}\0" for name, data in found.items()]
        self._git.run("update-index", "-z", "--index-info", stdin=os.fsencode("".join(lines)), env=index)
        return self._git.run("write-tree", env=index, config=merge.DURABLE).out.decode().strip()

    def _blob(self, data: bytes) -> str:
        words = ("hash-object", "-w", "--no-filters", "--stdin")
        return self._git.run(*words, stdin=data, config=merge.DURABLE).out.decode().strip()

    def learn(self, most: int) -> int:
        """Learn how at most so many of the newest merges were resolved that are not known yet; return how many."""
        self._prepare()
        return self._learn(most)

    def _learn(self, most: int | None = None) -> int:
        """Learn how the newest merges resolved what conflicted in them; not those that the queue made."""
        known = set(self._learned.read_text().split()) if self._learned.exists() else set()
        words = (
            "rev-list",
            "--parents",
            "--merges",
            f"--max-count={_MERGES}",
            "--invert-grep",
            "--grep=^Coord-Merge: ",
        )
        lines = self._git.text(*words, "--exclude=coord/ledger", "--branches").splitlines()
        fresh = [line.split() for line in reversed(lines) if line.split()[0] not in known][:most]
        if not fresh:
            return 0
        # Cut short from here on, by a kill or a power cut, half a resolution may be left: then all are learned anew.
        (self._folder / "learning").touch()
        sync(self._folder)
        self._rerere("gc")
        for commit, *parents in fresh:
            self._take_in(commit, parents)
        known.update(commit for commit, *_ in fresh)
        self._learned.write_text("".join(f"{name}\n" for line in lines if (name := line.split()[0]) in known))
        for path in (*(self._own / "rr-cache").rglob("*"), self._learned, self._folder):
            sync(path)
        (self._folder / "learning").unlink()
        return len(fresh)

    def _take_in(self, commit: str, parents: Sequence[str]) -> None:
        conflict = self._conflict(*parents) if len(parents) == len(("ours", "theirs")) else None
        if conflict is None:
            return
        made = self._contents(commit, conflict)
        if None not in made:
            self._lay(conflict)
            self._rerere()
            for number, data in enumerate(made):
                (self._work / str(number)).write_bytes(data or b"")
            self._rerere()

    def _conflict(self, ours: str, theirs: str) -> _Conflict | None:
        done = self._git.run(*output.MERGE, ours, theirs, check=False, env=self._aside, config=_STYLE)
        if done.status != 1:
            return None
        tree, entries = output.merged(done.out)
        stages: dict[str, list[Entry]] = {}
        for one in entries:
            stages.setdefault(one.path, []).append(one)
        both = all({one.side for one in some} >= {2, 3} for some in stages.values())
        plain = all(len({one.mode for one in some}) == 1 and some[0].mode in _REGULAR for some in stages.values())
        return _Conflict(tree, stages) if stages and both and plain else None

    def _prepare(self) -> None:
        """Make all anew but the store, and that where it is half of one: what a killed one left is no hindrance."""
        if (self._folder / "learning").exists():
            shutil.rmtree(self._own, ignore_errors=True)
        if not (self._own / "HEAD").exists():
            shutil.rmtree(self._folder, ignore_errors=True)
            made = self._folder / "making"
            made.mkdir(parents=True)
            kind = self._git.text("rev-parse", "--show-object-format")
            self._git.run("init", "--quiet", "--bare", f"--object-format={kind}", "--template=", os.fspath(made))
            for path in (*made.rglob("*"), made):
                sync(path)
            made.rename(self._own)
        self._clear()
        shutil.rmtree(self._objects, ignore_errors=True)
        self._objects.mkdir()

    def _clear(self) -> None:
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir()
        for left in ("MERGE_RR", "MERGE_RR.lock"):
            (self._own / left).unlink(missing_ok=True)

    def _lay(self, conflict: _Conflict) -> dict[str, bytes]:
        """Lay a conflict out as a merge leaves it; files have numbers, since names are others' text."""
        self._clear()
        marked = self._contents(conflict.tree, conflict)
        lines = []
        for number, (sides, data) in enumerate(zip(conflict.sides.values(), marked, strict=True)):
            (self._work / str(number)).write_bytes(data or b"")
            lines += [f"{one.mode} {one.blob} {one.side}\t{number}\0" for one in sides]
        Git(self._work).run("update-index", "-z", "--index-info", stdin="".join(lines).encode(), env=self._env)
        return {name: data or b"" for name, data in zip(conflict.sides, marked, strict=True)}

    def _rerere(self, *words: str) -> bytes:
        return Git(self._work).run("rerere", *words, env=self._env, config=_RERERE).out

    def _contents(self, tree: str, conflict: _Conflict) -> list[bytes | None]:
        """Return what the paths of a conflict are in a tree, None of those that are not there."""
        named = [os.fsencode(f"{tree}:{path}") for path in conflict.sides]
        return list(objects.contents(self._git, named, env=self._aside))
