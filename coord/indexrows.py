"""The rows of the index: its tables, how ids and keys are packed, and what an event writes."""

import os
import re
import sqlite3
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from coord.git.history import Entry
from coord.model import ids, keys
from coord.model.regex import regex

Row = Mapping[str, Any]
FORMAT = 4  # 2: the highest token of a grant of several leases; 3: no text that git has; 4: threads are read when asked
_TOKEN = regex(r"[0-9]{1,15}", re.ASCII)
_NO_MESSAGES = (f"{keys.MERGES}/", f"{keys.DEAD}/")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
# Commits, blobs and ids are bytes, half the length of their text. `tail` is the end of an id read backwards, so that
# an ending is found as quickly as a beginning. A key is its folder, its id and the rest; one without an id has a number
# in its place, by which it is found. The thread of a message that began it is left out; 0 stands for what was not read.
SCHEMA = """
CREATE TABLE tip (id INTEGER PRIMARY KEY CHECK (id = 0), "commit" TEXT);
CREATE TABLE names (n INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE events (seq INTEGER PRIMARY KEY, "commit" BLOB, agent INTEGER, kind INTEGER, at INTEGER, token INTEGER);
CREATE INDEX events_at ON events (at);
CREATE INDEX events_token ON events (token) WHERE token IS NOT NULL;
CREATE TABLE records (
    n INTEGER PRIMARY KEY, id, folder INTEGER, rest TEXT, tail INTEGER, blob BLOB, live INTEGER, seq INTEGER
);
CREATE INDEX records_id ON records (id);
CREATE INDEX records_tail ON records (tail) WHERE tail IS NOT NULL;
CREATE INDEX records_live ON records (folder) WHERE live;
CREATE TABLE messages (id BLOB PRIMARY KEY, blob BLOB, thread) WITHOUT ROWID;
CREATE INDEX messages_thread ON messages (thread) WHERE thread IS NOT NULL;
"""
BLOB = "lower(hex(blob)) AS blob"
PLACE = f"name, id, rest, {BLOB} FROM records JOIN names ON folder = names.n"


class Writer:
    """Writes rows, each name once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._do = connection.execute
        self._names: dict[bytes, int] = {}

    def event(self, seq: int, entry: Entry) -> None:
        """Write an event at its place in the ledger's order."""
        numbers = [int(one) for one in entry.facts.get("Token", "").split(" ") if _TOKEN.fullmatch(one)]
        agent, kind = (self._name(text.encode(errors="replace")) for text in (entry.agent, entry.kind))
        values = (seq, bytes.fromhex(entry.commit), agent, kind, milliseconds(entry.at), max(numbers, default=None))
        self._do("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", values)

    def record(self, key: str, blob: str, live: bool, seq: int) -> None:
        """Write what an event made of a record, or, where it is no longer LIVE, that it is gone."""
        path, _, name = os.fsencode(key).rpartition(b"/")
        folder, state = self._name(path), (bytes.fromhex(blob), live, seq)
        place: tuple[bytes | int, int, bytes]
        if identifier := keys.id_in(key):
            place = (ids.packed(identifier), folder, name[ids.LENGTH :])
        else:
            place = (zlib.crc32(name), folder, name)
        where = "WHERE id = ? AND folder = ? AND rest = CAST(? AS TEXT)"
        known = self._do(f"UPDATE records SET blob = ?, live = ?, seq = ? {where}", (*state, *place))  # noqa: S608
        if not known.rowcount:
            values = (*place, ids.tail(identifier) if identifier else None, *state)
            self._do("INSERT INTO records VALUES (NULL, ?, ?, CAST(? AS TEXT), ?, ?, ?, ?)", values)

    def message(self, identifier: str, blob: str) -> None:
        """Note a message, to be read when somebody asks for its thread; one that is known as it is stays known."""
        changed = "ON CONFLICT (id) DO UPDATE SET blob = excluded.blob, thread = 0 WHERE blob != excluded.blob"
        values = (ids.packed(identifier), bytes.fromhex(blob))
        self._do(f"INSERT INTO messages VALUES (?, ?, 0) {changed}", values)  # noqa: S608

    def agree(self, tree: Mapping[str, str], seq: int) -> None:
        """Take the live records from TREE: of merges made by hand, single commits do not tell the outcome."""
        held = {joined(*place): blob for *place, blob in self._do(f"SELECT {PLACE} WHERE live")}
        for key, blob in held.items():
            if key not in tree:
                self.record(key, blob, False, seq)
        for key, blob in tree.items():
            if keys.is_record(key) and held.get(key) != blob:
                self.record(key, blob, True, seq)

    def _name(self, name: bytes) -> int:
        """Return the number that stands for a name."""
        if name not in self._names:
            self._do("INSERT OR IGNORE INTO names VALUES (NULL, CAST(? AS TEXT))", [name])
            (self._names[name],) = self._do("SELECT n FROM names WHERE name = CAST(? AS TEXT)", [name]).fetchone()
        return self._names[name]


def joined(folder: str, identifier: bytes | int, rest: str) -> str:
    """Return the key whose parts these are."""
    return f"{folder}/{ids.unpacked(identifier) if isinstance(identifier, bytes) else ''}{rest}"


def key_of(row: Row) -> str:
    """Return the key of a row that has its parts."""
    return joined(row["name"], row["id"], row["rest"])


def packed(identifier: str) -> object:
    """Return an id, or what stands for one, as it is kept."""
    return ids.packed(identifier) if ids.is_ulid(identifier) else plain(identifier)


def message_id(key: str) -> str | None:
    """Return the id of the message at a key, or None where none belongs there."""
    return keys.id_in(key) if key.startswith("inbox/") and not key.startswith(_NO_MESSAGES) else None


def plain(value: object) -> object:
    """Return a text without the half characters that SQLite refuses."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def milliseconds(at: datetime) -> int:
    """Return a moment as it is kept."""
    return (at - _EPOCH) // _MILLISECOND


def moment(kept: int) -> datetime:
    """Return the moment that is kept so."""
    return _EPOCH + kept * _MILLISECOND
