"""The derived index: what the ledger says, where it can be asked quickly.

A file that may be deleted at any moment. `sync` reads what the ledger has gained since;
every question is answered as of the last `sync`. What SQLite cannot read, or somebody
keeps locked, is set aside and made again.
"""

import fcntl
import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import sqlite_utils

from coord.git import discovery, history
from coord.git.history import Entry
from coord.git.ledger import REF
from coord.git.repo import Git
from coord.model import codec, keys
from coord.model.errors import BadRecord, Unavailable

FORMAT = 2  # 2: the highest token of a grant of several leases
_PATIENCE = 30.0  # seconds; making the index of 100,000 events again takes less
_TOKEN = re.compile(r"[0-9]{1,15}", re.ASCII)
_NO_MESSAGES = (f"{keys.MERGES}/", f"{keys.DEAD}/")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_T = TypeVar("_T")
_Row = Mapping[str, Any]
# `tail` is an id read backwards, so that an ending is found as quickly as a beginning.
_SCHEMA = """
CREATE TABLE tip (id INTEGER PRIMARY KEY CHECK (id = 0), "commit" TEXT);
CREATE TABLE events (seq INTEGER PRIMARY KEY, agent TEXT, kind TEXT, at INTEGER, token INTEGER, entry TEXT);
CREATE INDEX events_at ON events (at);
CREATE INDEX events_token ON events (token);
CREATE TABLE records (key TEXT PRIMARY KEY, id TEXT, tail TEXT, blob TEXT, live INTEGER, seq INTEGER) WITHOUT ROWID;
CREATE INDEX records_id ON records (id);
CREATE INDEX records_tail ON records (tail);
CREATE TABLE messages (id TEXT PRIMARY KEY, tail TEXT, thread TEXT, blob TEXT) WITHOUT ROWID;
CREATE INDEX messages_tail ON messages (tail);
CREATE INDEX messages_thread ON messages (thread);
"""


class Index:
    """The ledger in SQLite, at PATH; several processes may use it at once."""

    def __init__(self, path: Path, git: Git, *, patience: float = _PATIENCE) -> None:
        self.path = path
        self.git = git
        self._patience = patience
        self._common = discovery.find(git.cwd).common
        self._database: sqlite_utils.Database | None = None
        self._opened = (0, 0)

    def close(self) -> None:
        """Let go of the file; the next question opens it again."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def sync(self) -> int:
        """Read what the ledger has gained and return how many events that was.

        Costs no git process when nothing is new. A ledger that was rewritten is read from its beginning.

        Raises:
            Unavailable: the file can be neither used nor made again.
        """
        return self._twice(self._sync)

    def entries(
        self,
        *,
        agent: str | None = None,
        kind: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[Entry]:
        """Return events in the ledger's order, or from its end; KIND is the beginning of a kind, times include."""
        tests: dict[str, object] = {}
        if agent is not None:
            tests["agent = ?"] = agent
        if kind is not None:
            tests[f"substr(kind, 1, {len(kind)}) = ?"] = kind
        if since is not None:
            tests["at >= ?"] = _milliseconds(since)
        if until is not None:
            tests["at <= ?"] = _milliseconds(until)
        where = f"WHERE {' AND '.join(tests)}" if tests else ""
        order = "DESC" if newest_first else "ASC"
        asked = f"SELECT entry FROM events {where} ORDER BY seq {order} LIMIT ?"  # noqa: S608
        return [_read(row["entry"]) for row in self._rows(asked, [*tests.values(), -1 if limit is None else limit])]

    def live(self, folder: str) -> dict[str, str]:
        """Return the blob of every record now under FOLDER by its key."""
        return {row["key"]: row["blob"] for row in self._live(folder)}

    def live_since(self, folder: str) -> dict[str, datetime]:
        """Return since when every record now under FOLDER has been as it is, by its key."""
        return {row["key"]: _datetime(row["at"]) for row in self._live(folder)}

    def find(self, part: str) -> list[tuple[str, str]]:
        """Return (key, blob) of every record, retired or not, whose id begins or ends with PART; the last seen last."""
        return [(row["key"], row["blob"]) for row in self._by_id("key, blob", "records", part, "seq, key")]

    def find_message(self, part: str) -> list[tuple[str, str]]:
        """Return (id, blob) of every message whose id begins or ends with PART."""
        return [(row["id"], row["blob"]) for row in self._by_id("id, blob", "messages", part, "id")]

    def messages_ending(self, suffix: str) -> list[tuple[str, str]]:
        """Return (id, blob) of every message whose id ends with SUFFIX."""
        return [found for found in self.find_message(suffix) if found[0].endswith(suffix)]

    def thread(self, identifier: str) -> list[tuple[str, str]]:
        """Return (id, blob) of every message of a thread, in the order of their ids."""
        rows = self._rows("SELECT id, blob FROM messages WHERE thread = ? ORDER BY id", [identifier])
        return [(row["id"], row["blob"]) for row in rows]

    def max_token(self) -> int:
        """Return the highest fencing token any event has named, or 0."""
        (row,) = self._rows("SELECT max(token) AS token FROM events", [])
        return row["token"] or 0

    def content(self, blob: str) -> bytes:
        """Return what BLOB holds.

        Raises:
            Corrupt: the repository has it no more.
        """
        (found,) = history.blobs(self.git, [blob])
        return found

    def _live(self, folder: str) -> list[_Row]:
        asked = "SELECT key, blob, at FROM records JOIN events USING (seq) WHERE live AND key >= ? AND key < ?"
        return self._rows(asked, [f"{folder}/", f"{folder}0"])

    def _by_id(self, columns: str, table: str, part: str, order: str) -> list[_Row]:
        if not part:
            return []
        either = " OR ".join(f"({column} >= ? AND {column} < ?)" for column in ("id", "tail"))
        asked = f"SELECT {columns} FROM {table} WHERE {either} ORDER BY {order}"  # noqa: S608
        backwards = part[::-1]
        return self._rows(asked, [part, f"{part}~", backwards, f"{backwards}~"])

    def _rows(self, sql: str, values: Sequence[object]) -> list[_Row]:
        return self._twice(lambda: list(self._open().query(sql, [_plain(value) for value in values])))

    def _twice(self, work: Callable[[], _T]) -> _T:
        """Do WORK; when SQLite cannot, set its file aside, read the ledger again and do it once more."""
        try:
            return work()
        except sqlite3.DatabaseError:
            self._set_aside()
        try:
            self._sync()
            return work()
        except sqlite3.DatabaseError as error:
            raise Unavailable(
                f"the index {self.path} cannot be used: {error}", hint="see that its disk has space and can be written"
            ) from error

    def _set_aside(self) -> None:
        self.close()
        if _identity(self.path) != self._opened:
            return  # somebody else has done it
        for suffix in ("", "-wal", "-shm"):
            file = self.path.with_name(self.path.name + suffix)
            if file.exists():
                file.replace(self.path.with_name(f"{self.path.name}.damaged{suffix}"))

    def _open(self) -> "sqlite_utils.Database":
        if self._database is not None and _identity(self.path) == self._opened:
            return self._database
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=self._patience)
        self._opened = _identity(self.path)
        try:
            connection.text_factory = os.fsdecode  # a key may hold bytes that are no text
            connection.execute("PRAGMA synchronous = NORMAL")
            self._database = sqlite_utils.Database(connection, execute_plugins=False)
            self._prepare(connection)
        except BaseException:
            self._database = None
            connection.close()
            raise
        return self._database

    def _prepare(self, connection: sqlite3.Connection) -> None:
        if connection.execute("PRAGMA user_version").fetchone()[0] == FORMAT:
            return
        with _alone(self.path.with_name(f"{self.path.name}.lock")):
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            if found == FORMAT:
                return
            if found != 0:
                raise sqlite3.DatabaseError(f"its format is {found}, not {FORMAT}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {FORMAT}; COMMIT;")

    def _sync(self) -> int:
        connection = self._open().conn
        if _indexed(connection) == self.git.peek(self._common, REF):
            return 0
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            # Looked at only now: while we waited, somebody may have read further than we saw before.
            base, tip = _indexed(connection), self.git.peek(self._common, REF)
            if base == tip:
                return 0
            if base is not None and (tip is None or not history.is_ancestor(self.git, base, tip)):
                base = None
            if base is None:
                for table in ("events", "records", "messages"):
                    connection.execute(f"DELETE FROM {table}")  # noqa: S608
            gained = self._gain(connection, base, tip) if tip is not None else 0
            connection.execute("INSERT OR REPLACE INTO tip VALUES (0, ?)", (tip,))
        return gained

    def _gain(self, connection: sqlite3.Connection, base: str | None, tip: str) -> int:
        before: int = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0]
        seq, by_others = before, False
        messages: dict[str, str] = {}
        for seq, entry in enumerate(history.entries(self.git, since=base, until=tip), before + 1):
            by_others = by_others or not entry.kind
            connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", _event(seq, entry))
            for op, key, blob in entry.changes:
                if keys.is_record(key):
                    _note(connection, key, blob, op != "D", seq)
                    if op != "D" and (identifier := _message_id(key)):
                        messages[identifier] = blob
        if by_others:
            _agree(connection, history.tree(self.git, tip), seq)
        self._read_messages(connection, messages)
        return seq - before

    def _read_messages(self, connection: sqlite3.Connection, found: Mapping[str, str]) -> None:
        known = "SELECT 1 FROM messages WHERE id = ? AND blob = ?"
        new = [item for item in found.items() if not connection.execute(known, item).fetchone()]
        contents = history.blobs(self.git, [blob for _, blob in new])
        for (identifier, blob), content in zip(new, contents, strict=True):
            values = (identifier, identifier[::-1], _plain(_thread(identifier, content)), blob)
            connection.execute("INSERT OR REPLACE INTO messages VALUES (?, ?, ?, ?)", values)


def _indexed(connection: sqlite3.Connection) -> str | None:
    row = connection.execute('SELECT "commit" FROM tip').fetchone()
    return row[0] if row else None


def _event(seq: int, entry: Entry) -> tuple[object, ...]:
    token = entry.facts.get("Token", "")
    moments = {"at": _milliseconds(entry.at), "committed_at": _milliseconds(entry.committed_at)}
    written = {name: getattr(entry, name) for name in Entry.__slots__} | moments | {"facts": dict(entry.facts)}
    numbers = [int(one) for one in token.split(" ") if _TOKEN.fullmatch(one)]
    highest = max(numbers, default=None)
    return seq, _plain(entry.agent), _plain(entry.kind), moments["at"], highest, json.dumps(written)


def _read(text: str) -> Entry:
    values = json.loads(text)
    values["at"], values["committed_at"] = _datetime(values["at"]), _datetime(values["committed_at"])
    values["cause"], values["changes"] = tuple(values["cause"]), tuple(map(tuple, values["changes"]))
    return Entry(**values)


def _note(connection: sqlite3.Connection, key: str, blob: str, live: bool, seq: int) -> None:
    identifier = keys.id_in(key) or ""
    values = (os.fsencode(key), identifier, identifier[::-1], blob, live, seq)
    connection.execute("INSERT OR REPLACE INTO records VALUES (CAST(? AS TEXT), ?, ?, ?, ?, ?)", values)


def _agree(connection: sqlite3.Connection, tree: Mapping[str, str], seq: int) -> None:
    """Take the live records from TREE: of merges made by hand, single commits do not tell the outcome."""
    held = dict(connection.execute("SELECT key, blob FROM records WHERE live"))
    for key, blob in held.items():
        if key not in tree:
            _note(connection, key, blob, False, seq)
    for key, blob in tree.items():
        if keys.is_record(key) and held.get(key) != blob:
            _note(connection, key, blob, True, seq)


def _message_id(key: str) -> str | None:
    return keys.id_in(key) if key.startswith("inbox/") and not key.startswith(_NO_MESSAGES) else None


def _thread(identifier: str, content: bytes) -> str:
    try:
        return codec.decode_message(content, identifier).thread or identifier
    except BadRecord:
        return identifier


def _plain(value: object) -> object:
    """Return a text without the half characters that SQLite refuses."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def _milliseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MILLISECOND


def _datetime(milliseconds: int) -> datetime:
    return _EPOCH + milliseconds * _MILLISECOND


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Let one process at a time make the tables: SQLite changes its journal's mode without waiting for others."""
    with lock.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _identity(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return found.st_dev, found.st_ino
