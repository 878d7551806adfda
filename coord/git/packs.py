"""The packs of a repository, as their names and their indexes tell; no git is asked."""

import os
import struct
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from coord.model.regex import regex

_NAME = regex(r"pack-([0-9a-f]{40}|[0-9a-f]{64})")
_NOBODYS = frozenset(["pack", "idx", "rev"])
# Rewriting these would cost the owner more than it helps; git's own gc knows such a limit, too.
LARGEST = 1 << 28
_MIDX = "multi-pack-index"
_FANOUT = 1024


def folder_of(common: Path) -> Path:
    """Return where the packs of the repository are."""
    return common / "objects" / "pack"


def is_whole(pack: Path) -> bool:
    """Tell whether a pack is there with its index."""
    return pack.exists() and pack.with_suffix(".idx").exists()


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
    """Return the names of all objects in a pack, in the order in which they lie there."""
    width = (len(pack.stem) - len("pack-")) // 2
    with pack.with_suffix(".idx").open("rb") as index:
        head = index.read(8)
        newer = head[:4] == b"\xfftOc"  # the first version has no head, and each name behind its offset
        index.seek((len(head) if newer else 0) + _FANOUT - 4)
        count = int.from_bytes(index.read(4), "big")
        if newer:
            listed = struct.iter_unpack(f"{width}s", index.read(count * width))
            index.seek(count * 4, os.SEEK_CUR)  # checksums
            offsets = struct.iter_unpack(">I", index.read(count * 4))
            entries = [(offset, name) for (offset,), (name,) in zip(offsets, listed, strict=True)]
        else:
            entries = list(struct.iter_unpack(f">I{width}s", index.read(count * (4 + width))))
    return [name.hex() for _, name in sorted(entries)]


def _in_multi_pack_indexes(folder: Path) -> Iterator[str]:
    for file in (folder / _MIDX, *(folder / f"{_MIDX}.d").glob("*.midx")):
        with suppress(OSError), file.open("rb") as index:  # it is not there, or damaged
            head = index.read(12)
            table = index.read(12 * (head[6] + 1)) if len(head) == 12 else b""
            chunks = struct.iter_unpack(">4sQ", table[: len(table) // 12 * 12])
            for (kind, begin), (_, end) in pairwise(chunks):
                if kind == b"PNAM":
                    index.seek(begin)
                    words = index.read(max(end - begin, 0)).decode(errors="replace").split("\0")
                    yield from (word.removesuffix(".idx") for word in words)


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
