"""Files below `inbox/` that hands put where nobody takes them for mail."""

import os
from collections.abc import Iterator
from pathlib import Path
from time import time

from coord.model import keys, mailboxes
from coord.model.untrusted import clean_line
from coord.model.values import frozen
from coord.service.byhand import handwritten
from coord.service.coord import Coord
from coord.stores import claim

_INBOX = keys.FOLDERS[0]
# Seconds. Whoever writes or moves is given time to end; whoever made an empty file, to write to it.
_REST, _SILENT = 2.0, 600.0


@frozen
class Stray:
    """A file that is no mail: why, and what to do with it. A `blank` one may become mail."""

    key: str
    what: str
    next: str
    blank: bool = False


def of(coord: Coord) -> tuple[Stray, ...]:
    """Return the strays in the order of their keys; neither what the code branch keeps there nor what is unfinished."""
    inbox = coord.home / _INBOX
    if inbox.is_symlink():
        return ()
    found = [stray for path in _files(inbox) if (stray := _judged(coord, path, time())) is not None]
    kept = coord.tracked.below(_INBOX) if found else frozenset[str]()
    return tuple(sorted((one for one in found if one.key not in kept), key=lambda one: one.key))


def _files(inbox: Path) -> Iterator[Path]:
    """Yield regular files below INBOX, neither behind links nor under hidden names."""
    for top, folders, names in os.walk(inbox):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(top) / name for name in names if not handwritten.is_unfinished(name))


def _judged(coord: Coord, path: Path, now: float) -> Stray | None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    rests = now - status.st_mtime
    if path.is_symlink() or not path.is_file() or 0 <= rests < _REST or claim.is_claimed(path.name):
        return None
    key = path.relative_to(coord.home).as_posix()
    record = keys.is_record(key)
    match key.split("/")[1:]:
        case [_]:
            return Stray(key, "it lies beside the mailboxes, where nobody looks", f"move it to {_INBOX}/<agent>/")
        case ["tasks", *_]:
            return None
        case ["merges", *_] if not record:
            return Stray(key, "it lies in the merge queue, and is no request", "run: coord merge request")
        case [box, *_] if box not in (*mailboxes.everyone(coord.config.names), *handwritten.APART):
            return None if record and keys.is_read(key) else _nobody(coord, key, box)
        case [box, _] if not record and rests >= _SILENT and handwritten.is_blank(path):
            return Stray(key, "it is empty, and no message before it says something", "write to it, or remove it", True)
        case [box, "read", _] if not record:
            return Stray(key, "it lies among what was read, and was never sent", f"move it to {_INBOX}/{box}/")
        case [box, _, *deeper] if deeper and not record:
            return Stray(key, "it lies in a folder within a mailbox, where nobody looks", f"move it to {_INBOX}/{box}/")
    return None


def _nobody(coord: Coord, key: str, box: str) -> Stray:
    near = mailboxes.nearest(box, agents=coord.config.names, groups=())
    guess = f"did you mean {' or '.join(near)}? " if near else ""
    move = f"move it to {_INBOX}/<agent>/, or name {clean_line(box, 40)} in .coord.yaml and run: coord init"
    return Stray(key, f"nobody here is called {clean_line(box, 40)}", f"{guess}{move}")
