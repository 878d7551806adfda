"""The configuration, and the private folder: what every other command needs to begin at all."""

import os
from collections.abc import Iterator
from functools import partial

from coord.config import reading
from coord.git import exclusion, worktree
from coord.model.errors import CoordError
from coord.service import setup
from coord.service.coord import CONFIG_NAME, Coord
from coord.service.doctor.finding import Finding, counted, place
from coord.service.doctor.kept import Kept
from coord.stores import durable


def private_folder(coord: Coord) -> Iterator[Finding]:
    """Find a repository without coord's private folder."""
    if coord.private.is_dir():
        return
    yield Finding(
        code="private-missing",
        what="coord's private folder is gone",
        where=place(coord, coord.private),
        why="what was sent and not yet committed was in its journal; files that are there still are not lost",
        next="an empty one is made, and what the files hold is recorded in the ledger",
        mend=partial(_make_private, coord),
    )


def configuration(coord: Coord) -> Iterator[Finding]:
    """Find a configuration that is wrong or missing."""
    path = coord.home / CONFIG_NAME
    if not os.path.lexists(path):
        committed = _committed(coord) is not None
        yield Finding(
            code="config-missing",
            what=f"{CONFIG_NAME} is gone",
            where=CONFIG_NAME,
            why="no other command works without it",
            next="it is brought back as it was last committed"
            if committed
            else "it is made again, with the agents that the ledger names",
            mend=partial(_bring_back, coord),
        )
        return
    try:
        reading.load(path)
    except CoordError as fault:
        yield Finding(
            code="config-wrong",
            what=fault.message.replace(f"{path}:", "line ").replace("\n", "; "),
            where=CONFIG_NAME,
            why="no other command works until it can be read",
            next=fault.hint or f"mend {CONFIG_NAME} with an editor",
        )


def tracked(coord: Coord) -> Iterator[Finding]:
    """Find live records, or the worktrees' links, in the index of the code branch."""
    found = exclusion.tracked_live(coord.git)
    if found:
        yield Finding(
            code="live-folder-tracked",
            what=f"the code branch tracks {counted(found, 'live file')}",
            where=place(coord, *(coord.home / name for name in found)),
            why="a checkout or a merge of the code would overwrite or delete live mail and leases",
            next=f"run: git rm --cached --quiet -- {' '.join(found[:3])}{' ...' if len(found) > 3 else ''}, and commit",
        )


def hidden(coord: Coord) -> Iterator[Finding]:
    """Find live folders that git would add to a code branch."""
    shown = exclusion.not_hidden(coord.git)
    if shown:
        mendable = exclusion.can_hide(coord.place.common)
        yield Finding(
            code="live-folder-not-ignored",
            what="git does not ignore what coord keeps there",
            where=", ".join(shown),
            why="`git add -A` would put live mail and leases on a code branch, `git clean -d` would delete them",
            next="they are added to .git/info/exclude"
            if mendable
            else "take the lines that un-ignore them from .gitignore",
            mend=partial(_hide, coord) if mendable else None,
        )


def _make_private(coord: Coord, _kept: Kept) -> None:
    with durable.faults(f"make {coord.private}"):
        durable.make_folder(coord.private)


def _committed(coord: Coord) -> bytes | None:
    done = coord.git.run("cat-file", "blob", f"HEAD:{CONFIG_NAME}", check=False)
    return done.out if done.status == 0 else None


def _bring_back(coord: Coord, _kept: Kept) -> None:
    data = _committed(coord)
    if data is None:
        setup.init(coord.home)
        return
    path = coord.home / CONFIG_NAME
    with durable.faults(f"write {path}"):
        durable.replace(path, data)


def _hide(coord: Coord, _kept: Kept) -> None:
    worktree.hide(coord.place.common)
