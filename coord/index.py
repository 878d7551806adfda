"""The derived index: where in the ledger the answers are.

A file that may be deleted at any moment. `sync` reads what the ledger has gained since;
every question is answered as of the last `sync`. It holds what is asked by and names the
commits and blobs that answer: their texts are read from git, which has them anyway. What
SQLite cannot read, or somebody keeps locked, is set aside and made again.
"""

import fcntl
import os
import re
import shutil
import sqlite3
import tempfile
import weakref
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any, Self, TypeVar

import sqlite_utils

from coord.git import discovery, history
from coord.git.history import Entry
from coord.git.ledger import REF
from coord.git.repo import Git
from coord.model import codec, ids, keys
from coord.model.errors import BadRecord, Unavailable

FORMAT = 3  # 2: the highest token of a grant of several leases; 3: no text that git has
_PATIENCE = 30.0  # seconds; making the index of 100,000 events again takes less
_NOT_ITS_FAULT = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY)
_KEPT_LOG = 1 << 22  # bytes of SQLite's own log that stay after much was written at once
_TOKEN = re.compile(r"[0-9]{1,15}", re.ASCII)
_NO_MESSAGES = (f"{keys.MERGES}/", f"{keys.DEAD}/")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_TOLD = 500  # events between two words of how far it is: a few hundredths of a second
_T = TypeVar("_T")
Tell = Callable[[int], None]
_Row = Mapping[str, Any]
# Commits, blobs and ids are bytes, half the length of their text. `tail` is the end of an id read backwards, so that
# an ending is found as quickly as a beginning. A key is its folder, its id and the rest; one without an id has a number
# in its place, by which it is found. The thread of a message that began it is left out.
_SCHEMA = """
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
_BLOB = "lower(hex(blob)) AS blob"
_BY_ID = "id BETWEEN ? AND ? OR tail BETWEEN ? AND ?"
_PLACE = f"name, id, rest, {_BLOB} FROM records JOIN names ON folder = names.n"
_LIVE = f"SELECT at, {_PLACE} JOIN events USING (seq) WHERE live"
_RECORDS = f"SELECT seq, {_PLACE} WHERE {_BY_ID}"
_MESSAGES = f"SELECT id, {_BLOB} FROM messages WHERE id IN (SELECT id FROM records WHERE {_BY_ID})"  # noqa: S608
_THREAD = f"SELECT id, {_BLOB} FROM messages WHERE thread = ? OR (id = ? AND thread IS NULL) ORDER BY id"  # noqa: S608


class Index:
    """The ledger in SQLite, at PATH; several processes may use it at once, and one thread after another."""

    def __init__(self, path: Path, git: Git, *, patience: float = _PATIENCE, tell: Tell | None = None) -> None:
        """TELL is called now and then while much is read, with the number of events read so far."""
        self.path = path
        self._tell = tell
        self.git = git
        self._patience = patience
        self._common = discovery.find(git.cwd).common
        self._database: sqlite_utils.Database | None = None
        self._opened = (0, 0)

    @classmethod
    def elsewhere(cls, git: Git, *, tell: Tell | None = None) -> Self:
        """Return an index in a temporary folder, for where no other can be written; it goes with the process."""
        folder = tempfile.mkdtemp(prefix="coord-")
        made = cls(Path(folder) / "index.db", git, tell=tell)
        weakref.finalize(made, shutil.rmtree, folder, ignore_errors=True)
        return made

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
        token: int | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[Entry]:
        """Return events in the ledger's order, or from its end; KIND begins a kind, times include, so does TOKEN."""
        tests: dict[str, object] = {}
        if agent is not None:
            tests["agent IN (SELECT n FROM names WHERE name = ?)"] = agent
        if kind is not None:
            tests[f"kind IN (SELECT n FROM names WHERE substr(name, 1, {len(kind)}) = ?)"] = kind  # noqa: S608
        for bound, moment in (("at >= ?", since), ("at <= ?", until)):
            if moment is not None:
                tests[bound] = _milliseconds(moment)
        if token is not None:
            tests["token >= ?"] = token
        where = f"WHERE {' AND '.join(tests)}" if tests else ""
        order = "DESC" if newest_first else "ASC"
        asked = f'SELECT "commit" FROM events {where} ORDER BY seq {order} LIMIT ?'  # noqa: S608
        rows = self._rows(asked, [*tests.values(), -1 if limit is None else limit])
        return list(history.chosen(self.git, [row["commit"].hex() for row in rows]))

    def live(self, folder: str) -> dict[str, str]:
        """Return the blob of every record now under FOLDER by its key."""
        return {key: row["blob"] for key, row in self._live(folder)}

    def live_since(self, folder: str) -> dict[str, datetime]:
        """Return since when every record now under FOLDER has been as it is, by its key."""
        return {key: _datetime(row["at"]) for key, row in self._live(folder)}

    def find(self, part: str) -> list[tuple[str, str]]:
        """Return (key, blob) of every record, retired or not, whose id begins or ends with PART; the last seen last."""
        found = [(row["seq"], _key_of(row), row["blob"]) for row in self._by_id(_RECORDS, part)]
        return [(key, blob) for _, key, blob in sorted(found)]

    def find_message(self, part: str) -> list[tuple[str, str]]:
        """Return (id, blob) of every message whose id begins or ends with PART."""
        return sorted((ids.unpacked(row["id"]), row["blob"]) for row in self._by_id(_MESSAGES, part))

    def messages_ending(self, suffix: str) -> list[tuple[str, str]]:
        """Return (id, blob) of every message whose id ends with SUFFIX."""
        return [found for found in self.find_message(suffix) if found[0].endswith(suffix)]

    def thread(self, identifier: str) -> list[tuple[str, str]]:
        """Return (id, blob) of every message of a thread, in the order of their ids."""
        rows = self._rows(_THREAD, [_packed(identifier)] * 2)
        return [(ids.unpacked(row["id"]), row["blob"]) for row in rows]

    def max_token(self) -> int:
        """Return the highest fencing token any event has named, or 0."""
        (row,) = self._rows("SELECT max(token) AS token FROM events WHERE token IS NOT NULL", [])
        return row["token"] or 0

    def content(self, blob: str) -> bytes:
        """Return what BLOB holds.

        Raises:
            Corrupt: the repository has it no more.
        """
        (found,) = history.blobs(self.git, [blob])
        return found

    def _live(self, folder: str) -> list[tuple[str, _Row]]:
        spans = [folder, f"{folder}/", f"{folder}0"]
        asked = f"{_LIVE} AND (name = ? OR (name >= ? AND name < ?))"
        return sorted(((_key_of(row), row) for row in self._rows(asked, spans)), key=itemgetter(0))

    def _by_id(self, asked: str, part: str) -> list[_Row]:
        """Return what a question finds whose rows have an id that begins or ends with PART."""
        if not part or not ids.may_be_part(part):
            return []
        rows = self._rows(asked, [*ids.beginning(part), *ids.ending(part)])
        found = [(ids.unpacked(row["id"]), row) for row in rows]
        return [row for identifier, row in found if identifier.startswith(part) or identifier.endswith(part)]

    def _rows(self, sql: str, values: Sequence[object]) -> list[_Row]:
        return self._twice(lambda: list(self._open().query(sql, [_plain(value) for value in values])))

    def _twice(self, work: Callable[[], _T]) -> _T:
        """Do WORK; when SQLite cannot, set its file aside, read the ledger again and do it once more."""
        try:
            return work()
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _NOT_ITS_FAULT:
                raise self._unusable(error) from error
            self._set_aside()
        try:
            self._sync()
            return work()
        except sqlite3.DatabaseError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> Unavailable:
        hint = "see that its disk has space and can be written, then: coord doctor --fix"
        return Unavailable(f"the index {self.path} cannot be used: {error}", hint=hint)

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
        connection = sqlite3.connect(self.path, timeout=self._patience, check_same_thread=False)
        self._opened = _identity(self.path)
        try:
            connection.text_factory = os.fsdecode  # a key may hold bytes that are no text
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA journal_size_limit = {_KEPT_LOG}")
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
                for table in ("events", "records", "messages", "names"):
                    connection.execute(f"DELETE FROM {table}")  # noqa: S608
            gained = self._gain(connection, base, tip) if tip is not None else 0
            connection.execute("INSERT OR REPLACE INTO tip VALUES (0, ?)", (tip,))
        return gained

    def _gain(self, connection: sqlite3.Connection, base: str | None, tip: str) -> int:
        before: int = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0]
        seq, by_others = before, False
        writer, messages = _Writer(connection), dict[str, str]()
        for seq, entry in enumerate(history.entries(self.git, since=base, until=tip), before + 1):
            by_others = by_others or not entry.kind
            writer.event(seq, entry)
            if self._tell is not None and not (seq - before) % _TOLD:
                self._tell(seq - before)
            for op, key, blob in entry.changes:
                if keys.is_record(key):
                    writer.record(key, blob, op != "D", seq)
                    if op != "D" and (identifier := _message_id(key)):
                        messages[identifier] = blob
        if by_others:
            writer.agree(history.tree(self.git, tip), seq)
        self._read_messages(connection, messages)
        return seq - before

    def _read_messages(self, connection: sqlite3.Connection, found: Mapping[str, str]) -> None:
        known = "SELECT 1 FROM messages WHERE id = ? AND blob = ?"
        packed = {identifier: (ids.packed(identifier), bytes.fromhex(blob)) for identifier, blob in found.items()}
        new = [one for one in found if not connection.execute(known, packed[one]).fetchone()]
        contents = history.blobs(self.git, [found[one] for one in new])
        for identifier, content in zip(new, contents, strict=True):
            thread = _thread(identifier, content)
            began = thread == identifier
            values = (*packed[identifier], None if began else _packed(thread))
            connection.execute("INSERT OR REPLACE INTO messages VALUES (?, ?, ?)", values)


class _Writer:
    """Writes rows, each name once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._do = connection.execute
        self._names: dict[bytes, int] = {}

    def event(self, seq: int, entry: Entry) -> None:
        numbers = [int(one) for one in entry.facts.get("Token", "").split(" ") if _TOKEN.fullmatch(one)]
        agent, kind = (self._name(text.encode(errors="replace")) for text in (entry.agent, entry.kind))
        values = (seq, bytes.fromhex(entry.commit), agent, kind, _milliseconds(entry.at), max(numbers, default=None))
        self._do("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", values)

    def record(self, key: str, blob: str, live: bool, seq: int) -> None:
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

    def agree(self, tree: Mapping[str, str], seq: int) -> None:
        """Take the live records from TREE: of merges made by hand, single commits do not tell the outcome."""
        held = {_key(*place): blob for *place, blob in self._do(f"SELECT {_PLACE} WHERE live")}
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


def _indexed(connection: sqlite3.Connection) -> str | None:
    row = connection.execute('SELECT "commit" FROM tip').fetchone()
    return row[0] if row else None


def _key(folder: str, identifier: bytes | int, rest: str) -> str:
    return f"{folder}/{ids.unpacked(identifier) if isinstance(identifier, bytes) else ''}{rest}"


def _key_of(row: _Row) -> str:
    return _key(row["name"], row["id"], row["rest"])


def _packed(identifier: str) -> object:
    return ids.packed(identifier) if ids.is_ulid(identifier) else _plain(identifier)


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
