"""The live folders: which there are, making them, and filling them from the ledger."""

import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from coord.config.schema import Config
from coord.git import history
from coord.model import keys, mailboxes
from coord.model.errors import Corrupt, Refused
from coord.model.records import Change
from coord.service import leasebook
from coord.service.coord import Coord
from coord.stores import durable
from coord.stores.base import LEDGER, parts_of
from coord.stores.journal import Pending

# In each of the three folders once setting up has filled it. Where it is gone, the folder as a whole
# was emptied (`rm -r`, `git clean -x`): that is an accident, not so many removals.
MARKER = ".coord"
EVERYTHING = 1 << 30
_MARKED = b"Where this file is missing, coord takes the folder for emptied by accident: `coord init` fills it again.\n"
_BATCH = 200


def shared(config: Config) -> tuple[str, ...]:
    """Return the folders that everybody sees: the three, the mailboxes, and the merge queue."""
    return (*keys.FOLDERS, *map(keys.mailbox, mailboxes.everyone(config.names)), keys.MERGES)


def linked(config: Config) -> tuple[str, ...]:
    """Return the names by which a worktree has links inside of the three, where its branch has folders there itself."""
    return (*mailboxes.everyone(config.names), keys.MERGES.rpartition("/")[2])


def read(config: Config) -> tuple[str, ...]:
    """Return where read mail lies; moving a file there is how a reader without coord acknowledges it."""
    names = (name for name in mailboxes.everyone(config.names) if name not in keys.SHARED_MAILBOXES)
    return tuple(f"{keys.mailbox(name)}/read" for name in names)


def make(path: Path) -> bool:
    """Make a folder durably; False where it is there.

    Raises:
        Corrupt: a link or a file is in its place.
    """
    check(path)
    if path.is_dir():
        return False
    with durable.faults(f"make {path}"):
        durable.make_folder(path)
    return True


def check(path: Path) -> None:
    """Refuse a link or a file in a folder's place.

    Raises:
        Corrupt: there is one.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise Corrupt(f"{path} is no real folder", hint="move it away, then run `coord init` again")


def unfilled(home: Path) -> tuple[str, ...]:
    """Return which of the three folders are new here, or were emptied."""
    return tuple(folder for folder in keys.FOLDERS if not (home / folder / MARKER).exists())


def fill(coord: Coord) -> int:
    """Fill the unfilled folders with the ledger's records; what is there is newer and stays.

    A folder is marked when it is filled, so that a restore which was cut off is done again.
    """
    empty = unfilled(coord.home)
    if not empty:
        return 0
    restored = restore(coord, lambda key: key.partition("/")[0] in empty)
    for folder in empty:
        marker = coord.home / folder / MARKER
        with durable.faults(f"write {marker}"):
            durable.replace(marker, _MARKED)
    return restored


def refill(coord: Coord, *folders: str) -> int:
    """Bring back what the ledger has of those of FOLDERS that are gone, and return how many records.

    To be called before they are made: what is missing in an empty folder was removed by hand.
    """
    gone = tuple(f"{folder}/" for folder in folders if not os.path.lexists(coord.home / folder))
    return restore(coord, lambda key: key.startswith(gone)) if gone else 0


def restore(coord: Coord, wanted: Callable[[str], bool], *, first: Callable[[], None] | None = None) -> int:
    """Bring back the ledger's records at the keys WANTED that have no file, and return how many.

    FIRST is called when nobody can commit: what it changes in the folders is not taken for hands' work.
    """
    # Entered without finishing what the last holder left: it may be what FIRST is about to make possible.
    with coord.store.exclusive(leasebook.GUARD) as guard:
        with coord.store.exclusive(LEDGER):
            busy = touched(coord.journal.read(EVERYTHING))
            if first is not None:
                first()
            restored = _bring_back(coord, lambda key: wanted(key) and key not in busy)
        if guard.inherited:
            coord.committer.settle()
    return restored


def _bring_back(coord: Coord, wanted: Callable[[str], bool]) -> int:
    tip = coord.ledger.tip()
    tree = history.tree(coord.git, tip) if tip else {}
    chosen = {key: blob for key, blob in tree.items() if wanted(key) and may_live(key)}
    contents = zip(history.blobs(coord.git, chosen.values()), chosen, strict=True)
    restored = 0
    while batch := list(islice(contents, _BATCH)):
        missing = [Change(key, data) for data, key in batch if not os.path.lexists(coord.home / key)]
        coord.store.apply(missing)
        restored += len(missing)
    return restored


def touched(pending: Pending) -> set[str]:
    """Return the keys of which the journal's events speak."""
    return {change.key for noted in (*pending.events, *pending.unfinished) for change in noted.event.changes}


def may_live(key: str) -> bool:
    """Tell whether KEY, which came from somebody else's repository, is a record's place."""
    try:
        parts_of(key)
    except Refused:
        return False
    return keys.is_record(key)
