"""What a merge in memory leaves to people: of each path in conflict its three versions, and the lines that clash."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from coord.git.repo import Git

_LARGEST = 1 << 20
_BINARY_WITHIN = 8000
_LITERAL = {"GIT_LITERAL_PATHSPECS": "1"}
# How git calls what both sides come from; of a renamed file it adds the path to each of its marks.
_PARTED = re.compile(rb"(\|{7,}) (?:[0-9a-f]{4,64}|merged common ancestors|empty tree)(?::.*)?")


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines that clash: where they begin on ours, and what each side and their base have there."""

    line: int
    base: bytes
    ours: bytes
    theirs: bytes


@dataclass(frozen=True, slots=True)
class Clash:
    """A path in conflict: its blob where the sides parted, on ours and on theirs, "" where it is not.

    A file that is binary or very large, and one that a side removed or renamed, has no hunks.
    """

    path: str
    base: str = ""
    ours: str = ""
    theirs: str = ""
    hunks: tuple[Hunk, ...] = ()


def clashes(git: Git, ours: str, theirs: str, *, most: int) -> tuple[Clash, ...]:
    """Merge two commits, given by their whole ids, in memory, and return the first MOST paths that conflict."""
    words = ("merge-tree", "--write-tree", "--no-messages", "-z", ours, theirs)
    done = git.run(*words, check=False, config={"merge.conflictStyle": "diff3"})
    tree, *stages = done.out.split(b"\0")
    if done.status != 1:
        return ()
    blobs: dict[str, dict[str, str]] = {}
    for stage in filter(None, stages):
        about, _, name = stage.partition(b"\t")
        _, blob, number = about.decode().split()
        path = os.fsdecode(name)
        if path in blobs or len(blobs) < most:
            blobs.setdefault(path, {})[number] = blob
    found = {path: Clash(path, at.get("1", ""), at.get("2", ""), at.get("3", "")) for path, at in blobs.items()}
    # A name with a line break in it cannot be told from git's own answer that there is none.
    whole = [one for one in found.values() if one.ours and one.theirs and "\n" not in one.path]
    merged = _contents(git, [f"{tree.decode()}:{one.path}" for one in whole])
    marks = re.compile(rb"(<{7,}) %s(?::.*)?" % ours.encode()), re.compile(rb"(>{7,}) %s(?::.*)?" % theirs.encode())
    for one, data in zip(whole, merged, strict=True):
        found[one.path] = replace(one, hunks=tuple(_hunks(data, *marks)))
    return tuple(found.values())


def arrivals(git: Git, start: str, tip: str, paths: Sequence[str]) -> tuple[str, ...]:
    """Return the messages of the commits by which changes of PATHS came to a branch since START, newest first."""
    words = ("log", "-z", "--first-parent", "--encoding=UTF-8", "--format=%B", f"{start}..{tip}", "--", *paths)
    return tuple(filter(None, git.run(*words, env=_LITERAL).out.decode(errors="replace").split("\0")))


def _contents(git: Git, names: Sequence[str]) -> list[bytes]:
    """Return the contents of files, each named by a tree and its path; nothing of those that cannot be shown."""
    asked = [os.fsencode(name) + b"\0" for name in names]
    sizes = git.run("cat-file", "--batch-check", "-z", stdin=b"".join(asked)).out.splitlines()
    small = [not line.endswith(b"missing") and int(line.rpartition(b" ")[2]) <= _LARGEST for line in sizes]
    rest = git.run("cat-file", "--batch", "-z", stdin=b"".join(
        one for one, is_small in zip(asked, small, strict=True) if is_small)).out  # fmt: skip
    found = []
    for is_small in small:
        data = b""
        if is_small:
            head, _, rest = rest.partition(b"\n")
            size = int(head.rpartition(b" ")[2])
            data, rest = rest[:size], rest[size + 1 :]
        found.append(b"" if b"\0" in data[:_BINARY_WITHIN] else data)
    return found


def _hunks(data: bytes, opened: re.Pattern[bytes], closed: re.Pattern[bytes]) -> Iterator[Hunk]:
    """Yield what stands between git's marks; marks of another length or name belong to the files themselves."""
    sides: dict[str, list[bytes]] = {}
    at, length, passed = "", 0, 0
    for whole in data.split(b"\n"):
        line = whole.removesuffix(b"\r")
        if not at and (mark := opened.fullmatch(line)):
            sides, at, length = {"ours": [], "base": [], "theirs": []}, "ours", len(mark[1])
        elif at == "ours" and (mark := _PARTED.fullmatch(line)) and len(mark[1]) == length:
            at = "base"
        elif at == "base" and line == b"=" * length:
            at = "theirs"
        elif at == "theirs" and (mark := closed.fullmatch(line)) and len(mark[1]) == length:
            base, ours, theirs = (b"\n".join(sides[side]) for side in ("base", "ours", "theirs"))
            yield Hunk(passed + 1, base, ours, theirs)
            at, passed = "", passed + len(sides["ours"])
        elif at:
            sides[at].append(line)
        else:
            passed += 1
