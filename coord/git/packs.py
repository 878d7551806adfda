"""The packs of a repository, as their names and their indexes tell; no git is asked."""

import os
import re
import struct
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

_NAME = re.compile(r"pack-([0-9a-f]{40}|[0-9a-f]{64})")
_NOBODYS = frozenset(["pack", "idx", "rev"])
# Rewriting these would cost the owner more than it helps; git's own gc knows such a limit, too.
LARGEST = 1 << 28
_MIDX = "multi-pack-index"
_FANOUT = 1024


def folder_of(common: Path) -> Path:
    """Return where the packs of the repository are."""
    return common / "objects" / "pack"


def joinable(common: Path) -> dict[Path, int]:
    """Return the packs that may be joined with others, each with its size in bytes.

    Anything that lies beside a pack makes it somebody's: a mark to keep it, a bitmap, a promise,
    times of what is unreachable. So does a multi-pack-index that names it.
    """
    folder = folder_of(common)
    kinds = defaultdict[str, set[str]](set)
    several = False
    for name in _listed(folder):
        several = several or name.startswith(_MIDX)
        stem, _, kind = name.rpartition(".")
        if _NAME.fullmatch(stem):
            kinds[stem].add(kind)
    named = set(_in_multi_pack_indexes(folder)) if several else set[str]()
    sizes = {}
    for stem, beside in kinds.items():
        pack = folder / f"{stem}.pack"
        if {"pack", "idx"} <= beside <= _NOBODYS and stem not in named:
            with suppress(FileNotFoundError):
                sizes[pack] = pack.stat().st_size
    return {pack: size for pack, size in sizes.items() if size <= LARGEST}


def names(pack: Path) -> list[str]:
    """Return the names of all objects in a pack."""
    width = (len(pack.stem) - len("pack-")) // 2
    with pack.with_suffix(".idx").open("rb") as index:
        head = index.read(8)
        first = len(head) if head[:4] == b"\xfftOc" else 0  # what version 1 of the format has not
        index.seek(first + _FANOUT - 4)
        count = int.from_bytes(index.read(4), "big")
        if first:
            table = index.read(count * width)
        else:  # an offset before each name
            entries = index.read(count * (4 + width))
            table = b"".join(name for (name,) in struct.iter_unpack(f"4x{width}s", entries))
    return table.hex("\n", width).split()


def loose(common: Path) -> dict[str, Path]:
    """Return the loose objects, each with its file."""
    objects = common / "objects"
    folders = [objects / f"{number:02x}" for number in range(256)]
    return {
        folder.name + name: folder / name
        for folder in folders
        for name in _listed(folder)
        if _NAME.fullmatch(f"pack-{folder.name}{name}")
    }


def loose_in_one_of_256(common: Path) -> int:
    """Return how many loose objects are in one folder, from which git estimates how many there are."""
    return len(_listed(common / "objects" / "17"))


def _in_multi_pack_indexes(folder: Path) -> Iterator[str]:
    for file in (folder / _MIDX, *(folder / f"{_MIDX}.d").glob("*.midx")):
        try:
            with file.open("rb") as index:
                head = index.read(12)
                table = index.read(12 * (head[6] + 1)) if len(head) == 12 else b""
                chunks = list(struct.iter_unpack(">4sQ", table[: len(table) // 12 * 12]))
                for (kind, begin), (_, end) in pairwise(chunks):
                    if kind == b"PNAM":
                        index.seek(begin)
                        words = index.read(max(end - begin, 0)).decode(errors="replace").split("\0")
                        yield from (word.removesuffix(".idx") for word in words)
        except FileNotFoundError:
            continue


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
