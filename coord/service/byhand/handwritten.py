"""Files that a hand wrote into a mailbox and nobody has taken in yet."""

import codecs
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from stat import S_ISREG

from coord.model import keys
from coord.model.values import frozen
from coord.service.coord import Coord
from coord.stores import claim

# Where the system tells whether a file is still open, a pause as between two commands of a script is enough.
SETTLE_AFTER = timedelta(milliseconds=100 if claim.LEASE is None else 6)
APART = ("merges", "tasks")  # folders of `inbox/` that are no mailboxes, and nobody's either
_LONGEST_BLANK = 4096
_UNFINISHED = (".", "#", "~")
_UNFINISHED_ENDINGS = ("~", ".tmp", ".part", ".swp", ".swx", ".crdownload", ".lock")


@frozen
class Found:
    """A hand-written file: its key, and in how many seconds it will have rested long enough to be whole."""

    key: str
    mailbox: str
    ripe_in: float


def waiting(coord: Coord, names: Iterable[str] | None = None) -> tuple[Found, ...]:
    """Return the hand-written files in some mailboxes (default: in every folder of `inbox/`).

    A file still being written must not be taken half: one that changed less than
    SETTLE_AFTER ago has not rested, and one that says nothing yet is no message yet.
    """
    inbox = coord.home / "inbox"
    boxes = [inbox / name for name in names] if names is not None else _folders(inbox)
    found = [one for box in boxes for one in _written_by_hand(box)]
    # Files that the code branch keeps in `inbox/` are the branch's own, not mail.
    tracked = coord.tracked.below("inbox") if found else frozenset()
    return tuple(one for one in found if one.key not in tracked)


def at(coord: Coord, key: str) -> Found | None:
    """Return the hand-written file at KEY; None where there is none, or it says nothing yet."""
    if not is_place(key):
        return None
    _, box, name = key.split("/")
    folder = coord.home / "inbox" / box
    found = None if folder.is_symlink() else _judged(folder, name)
    return None if found is None or key in coord.tracked.below("inbox") else found


def is_place(key: str) -> bool:
    """Tell whether a file at KEY was written by hand for a mailbox, as far as names tell."""
    match key.split("/"):
        case ["inbox", box, name]:
            return _is_mailbox(box) and _is_by_hand(name)
    return False


def is_unfinished(name: str) -> bool:
    """Tell whether a file's name is one that editors and downloads give to what is not whole yet."""
    return name.startswith(_UNFINISHED) or name.endswith(_UNFINISHED_ENDINGS)


def is_blank(path: Path) -> bool:
    """Tell whether a file says nothing: many an editor makes it first and writes to it later."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(_LONGEST_BLANK + 1)
    return len(data) <= _LONGEST_BLANK and not data.removeprefix(codecs.BOM_UTF8).strip()


def _written_by_hand(box: Path) -> Iterator[Found]:
    if box.is_symlink():
        return
    try:
        names = sorted(os.listdir(box))
    except OSError:
        return
    for name in names:
        if _is_by_hand(name) and (found := _judged(box, name)) is not None:
            yield found


def _is_by_hand(name: str) -> bool:
    return name != "read" and not is_unfinished(name) and keys.id_in(name) is None


def _judged(box: Path, name: str) -> Found | None:
    path = box / name
    try:
        status = path.lstat()
    except OSError:  # taken, or thrown away, since the folder was listed
        return None
    if not S_ISREG(status.st_mode) or is_blank(path):
        return None
    age, rest = datetime.now(UTC).timestamp() - status.st_mtime, SETTLE_AFTER.total_seconds()
    return Found(f"inbox/{box.name}/{name}", box.name, rest - age if 0 <= age < rest else 0.0)


def _folders(inbox: Path) -> list[Path]:
    try:
        entries = sorted(os.scandir(inbox), key=lambda entry: entry.name)
    except OSError:
        return []
    return [inbox / entry.name for entry in entries if entry.is_dir(follow_symlinks=False) and _is_mailbox(entry.name)]


def _is_mailbox(name: str) -> bool:
    return not name.startswith(".") and name not in APART
