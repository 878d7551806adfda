"""What git prints for programs, read: each format once. Names end with a zero byte (`-z`) and hold any other."""

import os
from collections.abc import Iterator
from itertools import islice
from typing import IO, NamedTuple

NOTHING = "000000"  # the mode of what is not there
LINK = "120000"
REPOSITORY = "160000"
MERGE = ("merge-tree", "--write-tree", "--no-messages", "-z")
"""How a merge in memory is asked for that `merged` reads: two commits come behind it."""
_CHUNK = 1 << 16


class Entry(NamedTuple):
    """What an index has at a path; of a conflict there are up to three, by their side: 1 base, 2 ours, 3 theirs."""

    mode: str
    blob: str
    side: int
    path: str


class Change(NamedTuple):
    """A path that differs, with its modes and blobs; of a merge, `before` and `was` are those of the first parent."""

    path: str
    before: str
    after: str
    was: str
    blob: str

    @property
    def added(self) -> bool:
        """Whether it was not there before."""
        return self.before == NOTHING

    @property
    def removed(self) -> bool:
        """Whether it is there no more."""
        return self.after == NOTHING


def tokens(printed: IO[bytes]) -> Iterator[bytes]:
    """Yield what ends with a zero byte, as it comes."""
    rest = b""
    while chunk := printed.read(_CHUNK):
        *whole, rest = (rest + chunk).split(b"\0")
        yield from whole


def paths(printed: bytes) -> list[str]:
    """Read a list of names, as `--name-only` and `ls-files` give it."""
    return [os.fsdecode(name) for name in printed.split(b"\0") if name]


def entries(printed: bytes) -> list[Entry]:
    """Read `ls-files --stage`: `<mode> <blob> <side> TAB <path>`."""
    found = []
    for line in filter(None, printed.split(b"\0")):
        about, _, path = line.partition(b"\t")
        mode, blob, side = about.decode().split(" ")
        found.append(Entry(mode, blob, int(side), os.fsdecode(path)))
    return found


def merged(printed: bytes) -> tuple[str, list[Entry]]:
    """Read what a merge in memory gives: its tree, with marks where it conflicts, and the sides of what does."""
    tree, _, conflicts = printed.partition(b"\0")
    return tree.decode(), entries(conflicts)


def changes(printed: bytes) -> list[Change]:
    """Read `--raw` of one comparison."""
    fields = printed.split(b"\0")
    return [_change(about, path) for about, path in zip(fields[::2], fields[1::2], strict=False)]


def commits(fields: Iterator[bytes], count: int) -> Iterator[tuple[list[str], list[Change]]]:
    """Read `log --raw` with a format of COUNT texts that end with a zero byte each, the first of them never empty."""
    head = list(islice(fields, count))
    while len(head) == count:
        found: list[Change] = []
        after: list[bytes] = []
        for field in fields:
            about = field.removeprefix(b"\n")
            if about.startswith(b":"):
                found.append(_change(about, next(fields)))
            elif about:  # the changes of a merge begin with an empty one
                after = [field]
                break
        yield [field.decode(errors="replace") for field in head], found
        head = [*after, *islice(fields, count - 1)] if after else []


def _change(about: bytes, path: bytes) -> Change:
    """Read `:<mode> <mode> <blob> <blob> <letter>`, of a merge with a colon, a mode and a blob more for each parent."""
    words = about.decode().lstrip(":").split(" ")
    last = (len(words) - 1) // 2  # so many modes, then so many blobs, and the letter
    return Change(os.fsdecode(path), words[0], words[last - 1], words[last], words[-2])
