"""The configuration, which every other command needs to begin at all, and what git knows of the live folders."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from coord.config import reading
from coord.git import exclusion, worktree
from coord.model.errors import CoordError
from coord.service import setup
from coord.service.coord import CONFIG_NAME, Coord
from coord.service.doctor.finding import Finding, counted, place
from coord.service.doctor.kept import Kept
from coord.stores import durable


def configuration(coord: Coord) -> Iterator[Finding]:
    """Find a configuration that is wrong or missing, or names nobody."""
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
        config = reading.load(path)
    except CoordError as fault:
        yield Finding(
            code="config-wrong",
            what=fault.message.replace(f"{path}:", "line ").replace("\n", "; "),
            where=CONFIG_NAME,
            why="no other command works until it can be read",
            next=fault.hint or f"mend {CONFIG_NAME} with an editor",
        )
    else:
        if not config.agents:
            yield _nobody(coord, path)


def _nobody(coord: Coord, path: Path) -> Finding:
    blank = not path.read_bytes().strip()
    again = coord.ledger.tip() is not None or _committed(coord)
    return Finding(
        code="config-empty" if blank else "config-without-agents",
        what=f"{CONFIG_NAME} is empty" if blank else f"{CONFIG_NAME} names no agent",
        where=CONFIG_NAME,
        why="nobody but the owner can send, read or lease: every other name is unknown",
        next="it is put aside, and brought back as it was last committed, or with the agents that the ledger names"
        if blank and again
        else f"name the agents in {CONFIG_NAME} (agents: [backend, frontend]), then run: coord init",
        mend=partial(_refill, coord, path) if blank and again else None,
        warning=not blank,
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


def _committed(coord: Coord) -> bytes | None:
    done = coord.git.run("cat-file", "blob", f"HEAD:{CONFIG_NAME}", check=False)
    return done.out if done.status == 0 and done.out.strip() else None


def _bring_back(coord: Coord, _kept: Kept) -> None:
    data = _committed(coord)
    if data is None:
        setup.init(coord.home)
        return
    path = coord.home / CONFIG_NAME
    with durable.faults(f"write {path}"):
        durable.replace(path, data)


def _refill(coord: Coord, path: Path, kept: Kept) -> None:
    kept.move(path)
    _bring_back(coord, kept)


def _hide(coord: Coord, _kept: Kept) -> None:
    worktree.hide(coord.place.common)
