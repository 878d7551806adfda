"""The derived index: where in the ledger the answers are.

A file that may be deleted at any moment. `sync` reads what the ledger has gained since;
every question is answered as of the last `sync`. It holds what is asked by and names the
commits and blobs that answer: their texts are read from git, which has them anyway. What
SQLite cannot read, or somebody keeps locked, is set aside and made again.
"""

import fcntl
import os
import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Self, TypeVar

import sqlite_utils

from coord import indexrows
from coord.git import discovery, history
from coord.git.history import Entry
from coord.git.ledger import REF
from coord.git.repo import Git
from coord.indexrows import BLOB, FORMAT, PLACE, Row
from coord.model import codec, ids, keys
from coord.model.errors import BadRecord, Unavailable

_PATIENCE = 30.0  # seconds; making the index of 100,000 events again takes less
_NOT_ITS_FAULT = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY)
_KEPT_LOG = 1 << 22  # bytes of SQLite's own log that stay after much was written at once
_TOLD = 500  # events between two words of how far it is: a few hundredths of a second
_T = TypeVar("_T")
Tell = Callable[[int], None]
_BY_ID = "id BETWEEN ? AND ? OR tail BETWEEN ? AND ?"
_LIVE = f"SELECT at, {PLACE} JOIN events USING (seq) WHERE live"
_RECORDS = f"SELECT seq, {PLACE} WHERE {_BY_ID}"
_MESSAGES = f"SELECT id, {BLOB} FROM messages WHERE id IN (SELECT id FROM records WHERE {_BY_ID})"  # noqa: S608
_UNREAD = f"SELECT id, {BLOB} FROM messages WHERE thread = 0"  # noqa: S608
_THREAD = f"SELECT id, {BLOB} FROM messages WHERE thread = ? OR (id = ? AND thread IS NULL) ORDER BY id"  # noqa: S608


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
                tests[bound] = indexrows.milliseconds(moment)
        if token is not None:
            tests["token >= ?"] = token
        where = f"WHERE {' AND '.join(tests)}" if tests else ""
        order = "DESC" if newest_first else "ASC"
        asked = f'SELECT "commit" FROM events {where} ORDER BY seq {order} LIMIT ?'  # noqa: S608
        rows = self._rows(asked, [*tests.values(), -1 if limit is None else limit])
        return list(history.chosen(self.git, [row["commit"].hex() for row in rows]))

    def live(self, folder: str) -> dict[str, str]:
        """Return the blob of every record now under FOLDER by its key."""
        asked = f"{_LIVE} AND (name = ? OR (name >= ? AND name < ?))"
        rows = self._rows(asked, [folder, f"{folder}/", f"{folder}0"])
        return dict(sorted((indexrows.key_of(row), row["blob"]) for row in rows))

    def live_since(self, folders: str) -> dict[str, datetime]:
        """Return since when every record now in FOLDERS, a glob, has been as it is, by its key."""
        rows = self._rows(f"{_LIVE} AND name GLOB ? ORDER BY name, id", [folders])
        return {indexrows.key_of(row): indexrows.moment(row["at"]) for row in rows}

    def find(self, part: str) -> list[tuple[str, str]]:
        """Return (key, blob) of every record, retired or not, whose id begins or ends with PART; the last seen last."""
        found = [(row["seq"], indexrows.key_of(row), row["blob"]) for row in self._by_id(_RECORDS, part)]
        return [(key, blob) for _, key, blob in sorted(found)]

    def find_message(self, part: str) -> list[tuple[str, str]]:
        """Return (id, blob) of every message whose id begins or ends with PART."""
        return sorted((ids.unpacked(row["id"]), row["blob"]) for row in self._by_id(_MESSAGES, part))

    def messages_ending(self, suffix: str) -> list[tuple[str, str]]:
        """Return (id, blob) of every message whose id ends with SUFFIX."""
        return [found for found in self.find_message(suffix) if found[0].endswith(suffix)]

    def thread(self, identifier: str) -> list[tuple[str, str]]:
        """Return (id, blob) of every message of a thread, in the order of their ids."""
        index = self
        try:
            self._twice(self._read_threads)
        except Unavailable:  # its disk is full or read-only
            index = Index.elsewhere(self.git, tell=self._tell)
            index.sync()
            index._read_threads()
        rows = index._rows(_THREAD, [indexrows.packed(identifier)] * 2)
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

    def _by_id(self, asked: str, part: str) -> list[Row]:
        """Return what a question finds whose rows have an id that begins or ends with PART."""
        if not part or not ids.may_be_part(part):
            return []
        rows = self._rows(asked, [*ids.beginning(part), *ids.ending(part)])
        found = [(ids.unpacked(row["id"]), row) for row in rows]
        return [row for identifier, row in found if identifier.startswith(part) or identifier.endswith(part)]

    def _rows(self, sql: str, values: Sequence[object]) -> list[Row]:
        return self._twice(lambda: list(self._open().query(sql, [indexrows.plain(value) for value in values])))

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
            connection.execute("PRAGMA cache_size = -512")  # KB; four times as much made nothing faster
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
            connection.executescript(f"BEGIN IMMEDIATE; {indexrows.SCHEMA} PRAGMA user_version = {FORMAT}; COMMIT;")

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
            found = history.gained(self.git, base, tip) if base is not None and tip is not None else None
            if found is None:
                for table in ("events", "records", "messages", "names"):
                    connection.execute(f"DELETE FROM {table}")  # noqa: S608
                found = history.entries(self.git, until=tip) if tip is not None else iter(())
            gained = self._gain(connection, found, tip)
            connection.execute("INSERT OR REPLACE INTO tip VALUES (0, ?)", (tip,))
        return gained

    def _gain(self, connection: sqlite3.Connection, found: Iterator[Entry], tip: str | None) -> int:
        before: int = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0]
        seq, by_others, writer = before, False, indexrows.Writer(connection)
        for seq, entry in enumerate(found, before + 1):
            by_others = by_others or not entry.kind
            writer.event(seq, entry)
            if self._tell is not None and not (seq - before) % _TOLD:
                self._tell(seq - before)
            for op, key, blob in entry.changes:
                if keys.is_record(key):
                    writer.record(key, blob, op != "D", seq)
                    if op != "D" and (identifier := indexrows.message_id(key)):
                        writer.message(identifier, blob)
        if by_others and tip is not None:
            writer.agree(history.tree(self.git, tip), seq)
        return seq - before

    def _read_threads(self) -> None:
        """Look into the messages that nobody was asked the thread of yet."""
        if not (unread := self._rows(_UNREAD, [])):
            return
        contents = history.blobs(self.git, [row["blob"] for row in unread])
        with (connection := self._open().conn):
            for row, content in zip(unread, contents, strict=True):
                thread = _thread(identifier := ids.unpacked(row["id"]), content)
                values = (
                    None if thread == identifier else indexrows.packed(thread),
                    row["id"],
                    bytes.fromhex(row["blob"]),
                )
                connection.execute("UPDATE messages SET thread = ? WHERE id = ? AND blob = ?", values)


def _indexed(connection: sqlite3.Connection) -> str | None:
    row = connection.execute('SELECT "commit" FROM tip').fetchone()
    return row[0] if row else None


def _thread(identifier: str, content: bytes) -> str:
    try:
        return codec.decode_message(content, identifier).thread or identifier
    except BadRecord:
        return identifier


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
