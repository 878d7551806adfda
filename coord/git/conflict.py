"""What a merge in memory leaves to people: of each path in conflict its three versions, and the lines that clash."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from coord.git import objects, output
from coord.git.repo import Git
from coord.model.regex import regex
from coord.model.values import frozen

_LARGEST = 1 << 20
_BINARY_WITHIN = 8000
_LITERAL = {"GIT_LITERAL_PATHSPECS": "1"}
# How git calls what both sides come from; of a renamed file it adds the path to each of its marks.
_PARTED = regex(rb"(\|{7,}) (?:[0-9a-f]{4,64}|merged common ancestors|empty tree)(?::.*)?")


@frozen
class Hunk:
    """Lines that clash: where they begin on ours, and what each side and their base have there."""

    line: int
    base: bytes
    ours: bytes
    theirs: bytes


@frozen
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
    done = git.run(*output.MERGE, ours, theirs, check=False, config={"merge.conflictStyle": "diff3"})
    if done.status != 1:
        return ()
    tree, sides = output.merged(done.out)
    blobs: dict[str, dict[int, str]] = {}
    for one in sides:
        if one.path in blobs or len(blobs) < most:
            blobs.setdefault(one.path, {})[one.side] = one.blob
    found = {path: Clash(path, at.get(1, ""), at.get(2, ""), at.get(3, "")) for path, at in blobs.items()}
    whole = [clash for clash in found.values() if clash.ours and clash.theirs]
    merged = objects.contents(git, [os.fsencode(f"{tree}:{clash.path}") for clash in whole], largest=_LARGEST)
    marks = re.compile(rb"(<{7,}) %s(?::.*)?" % ours.encode()), re.compile(rb"(>{7,}) %s(?::.*)?" % theirs.encode())
    for clash, data in zip(whole, merged, strict=True):
        if data is not None and b"\0" not in data[:_BINARY_WITHIN]:
            found[clash.path] = replace(clash, hunks=tuple(_hunks(data, *marks)))
    return tuple(found.values())


def arrivals(git: Git, start: str, tip: str, paths: Sequence[str]) -> tuple[str, ...]:
    """Return the messages of the commits by which changes of PATHS came to a branch since START, newest first."""
    words = ("log", "-z", "--first-parent", "--encoding=UTF-8", "--format=%B", f"{start}..{tip}", "--", *paths)
    return tuple(filter(None, git.run(*words, env=_LITERAL).out.decode(errors="replace").split("\0")))


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
