"""Which messages no command brought to where they lie: a name in a file that hands put there proves nothing."""

import hashlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from coord.model import eventline, ids, keys
from coord.model.errors import CoordError
from coord.model.records import Event
from coord.model.regex import regex
from coord.service.coord import Coord
from coord.stores.framing import unframe

# What `hands.py` makes of a message that it found anywhere: all other kinds come of commands.
_HANDS = ("mail.restored", "mail.edited", "mail.moved")
_INDEX = "index.db"
# The ids in the keys of a note's changes.
_NAMED = regex(rb"/([0-7][%b]{%d})[-.]" % (ids.ALPHABET.encode(), ids.LENGTH - 1))
# Of the tables of `index.py`, asked without what it loads to write them: a listing must not wait for that.
_LIVE = """
SELECT folders.name, rest, blob, kinds.name FROM records
JOIN names AS folders ON folder = folders.n JOIN events USING (seq) JOIN names AS kinds ON kind = kinds.n
WHERE live AND records.id = ?
"""


def by_hand(coord: Coord, found: Mapping[str, bytes]) -> set[str]:
    """Return the keys of those messages, FOUND as these bytes, that only hands brought there as they are.

    The index is asked as it stands, then the journal; only what neither knows makes the index read on.
    Where the ledger cannot be read nothing can be told, and nobody is accused.
    """
    told = _indexed(coord.private / _INDEX, found)
    unknown = found.keys() - told.keys()
    if unknown:
        unknown -= _sent_lately(coord, {key: found[key] for key in unknown})
    if unknown:
        try:
            later = _indexed(coord.indexed().path, {key: found[key] for key in unknown})
        except CoordError:
            later = dict.fromkeys(unknown, False)
        told |= {key: later.get(key, True) for key in unknown}
    return {key for key, hands in told.items() if hands}


def _indexed(path: Path, found: Mapping[str, bytes]) -> dict[str, bool]:
    """Tell of the messages that the index knows to lie there as these bytes whether hands brought them."""
    if not path.exists():  # then SQLite need not be loaded either
        return {}
    told: dict[str, bool] = {}
    places = _places(found)
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            connection.text_factory = os.fsdecode
            for identifier in {identifier for place in places if (identifier := keys.id_in(place))}:
                for folder, rest, blob, kind in connection.execute(_LIVE, [ids.packed(identifier)]):
                    key = places.get(f"{folder}/{identifier}{rest}")
                    if key is not None and _name(found[key], len(blob)) == blob:
                        told[key] = kind in _HANDS
    except (sqlite3.Error, UnicodeDecodeError):
        return {}
    return told


def _places(found: Mapping[str, bytes]) -> dict[str, str]:
    """Return where each message may have been sent to: where it lies, or its mailbox, if hands moved it to `read/`."""
    unread = {key.replace("/read/", "/", 1): key for key in found if keys.is_read(key)}
    return {**unread, **{key: key for key in found}}


def _name(data: bytes, size: int) -> bytes:
    """Return git's name of a blob, in the algorithm whose names have this SIZE."""
    made = hashlib.sha1(usedforsecurity=False) if size == 20 else hashlib.sha256()
    made.update(b"blob %d\0" % len(data))
    made.update(data)
    return made.digest()


def _sent_lately(coord: Coord, found: Mapping[str, bytes]) -> set[str]:
    """Return which of the messages a command noted in what is there of the journal, committed or not."""
    wanted = {identifier for key in found if (identifier := keys.id_in(key))}
    places = _places(found)
    events = (event for event in _noted(coord.private / "journal", wanted) if event.kind not in _HANDS)
    changes = (change for event in events for change in event.changes if change.key in places)
    return {key for change in changes if found[key := places[change.key]] == change.data}


def _noted(journal: Path, wanted: set[str]) -> Iterator[Event]:
    names = {one.encode() for one in wanted}
    for segment in sorted(journal.glob("*.log")):
        try:
            lines = segment.read_bytes().split(b"\n")
        except OSError:  # drained and removed meanwhile, or something else in its place
            continue
        # A thousand notes must not be checked and compared with a hundred messages each.
        about = [line for line in lines if not names.isdisjoint(_NAMED.findall(line))]
        for _, text in unframe(b"\n".join([*about, b""]), final=False).texts:
            try:
                yield eventline.decode(text).event
            except CoordError:
                continue
