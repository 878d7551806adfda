"""The live folders: all there, real, and filled."""

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from coord.service import livefolders
from coord.service.coord import Coord
from coord.service.doctor.finding import Finding, place
from coord.service.doctor.kept import Kept
from coord.stores import durable


def missing(coord: Coord) -> Iterator[Finding]:
    """Find mailboxes and other folders that are gone, or have something else in their place."""
    wanted = (*livefolders.shared(coord.config), *livefolders.read(coord.config))
    gone: list[str] = []
    for folder in wanted:
        path = coord.home / folder
        if any(folder.startswith(f"{outer}/") for outer in gone):
            continue
        if path.is_symlink():
            gone.append(folder)
            yield Finding(
                code="folder-is-a-link",
                what=f"a link to {path.readlink()} is in a live folder's place",
                where=place(coord, path),
                why="coord follows no links there: its mail and leases are not seen by anybody",
                next="the link is put aside, a folder made, and what the link leads to copied into it",
                mend=partial(_unlink, coord, path),
            )
        elif not path.is_dir():
            gone.append(folder)
            there = os.path.lexists(path)
            yield Finding(
                code="folder-missing",
                what="a file is in a live folder's place" if there else "a live folder is gone",
                where=place(coord, path),
                why="who reads or writes files there finds nothing, and what was in it is not seen",
                next="the file is put aside and the folder made" if there else "it is made, and filled from the ledger",
                mend=partial(_make, coord, [name for name in wanted if f"{name}/".startswith(f"{folder}/")]),
            )


def unfilled(coord: Coord) -> Iterator[Finding]:
    """Find folders that were emptied as a whole, or whose filling was cut off."""
    found = [name for name in livefolders.unfilled(coord.home) if _is_real(coord.home / name)]
    if found:
        yield Finding(
            code="folder-emptied",
            what=f"the mark {livefolders.MARKER} is not in them: they were emptied, or never filled",
            where=", ".join(found),
            why="what the ledger says is there is not, and nobody meant to remove it",
            next="they are filled from the ledger; what is there stays as it is",
            mend=partial(_fill, coord),
        )


def _is_real(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _make(coord: Coord, folders: list[str], kept: Kept) -> None:
    for folder in folders:
        path = coord.home / folder
        if not path.is_dir():
            kept.move(path)
    livefolders.refill(coord, *folders)
    for folder in folders:
        livefolders.make(coord.home / folder)


def _fill(coord: Coord, _kept: Kept) -> None:
    coord.committer.settle()
    livefolders.fill(coord)


def _unlink(coord: Coord, path: Path, kept: Kept) -> None:
    folder = f"{path.relative_to(coord.home)}"
    source = Path(os.path.realpath(path))

    def replace() -> None:
        kept.move(path)
        livefolders.make(path)
        _copy(source, path)

    livefolders.restore(coord, lambda key: key.startswith(f"{folder}/"), first=replace)
    _make(coord, [name for name in livefolders.shared(coord.config) if name.startswith(f"{folder}/")], kept)


def _copy(source: Path, path: Path) -> None:
    for top, _, names in os.walk(source):
        for name in names:
            found = Path(top) / name
            target = path / found.relative_to(source)
            if found.is_symlink() or not found.is_file() or os.path.lexists(target):
                continue
            with durable.faults(f"copy {found} to {target}"):
                durable.make_folder(target.parent)
                durable.replace(target, found.read_bytes())
                shutil.copystat(found, target)
