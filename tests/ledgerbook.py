"""A repository with a ledger, for tests of what is derived from it."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from support import git as sh

from coord.git.ledger import Ledger
from coord.git.repo import Git
from coord.index import Index
from coord.model import codec, ids, keys
from coord.model.records import Change, Event, Message

NOW = datetime(2026, 11, 22, 12, 3, 11, 204_000, tzinfo=UTC)


def new(folder: Path) -> "Book":
    """Make a repository in FOLDER."""
    sh(folder, "init", "-q", "-b", "main", "project")
    return Book(folder.resolve() / "project")


class Book:
    """A repository with a ledger, and short words to write in it."""

    def __init__(self, top: Path) -> None:
        self.top, self.git = top, Git(top)
        self.ledger = Ledger(self.git)
        self.path = top / ".git" / "coord" / "index.db"
        self.clock = NOW

    def index(self, patience: float = 30.0) -> Index:
        return Index(self.path, self.git, patience=patience)

    def message(self, subject: str = "hello", *, thread: str = "") -> Message:
        self.clock += timedelta(milliseconds=1500)
        identifier = ids.ulid(self.clock, os.urandom(10))
        return Message(
            id=identifier, sender="a", to=("b",), subject=subject, body="x", sent_at=self.clock, thread=thread
        )

    def event(self, *changes: Change, kind: str = "mail.sent", agent: str = "backend", **facts: str) -> Event:
        self.clock += timedelta(milliseconds=1500)
        identifier = ids.ulid(self.clock, os.urandom(10))
        return Event(
            id=identifier,
            kind=kind,
            agent=agent,
            subject="s",
            at=self.clock,
            changes=changes,
            facts=facts,
            cause=("c",),
        )

    def append(self, *events: Event) -> str:
        return self.ledger.append(events, parent=self.ledger.tip(), now=self.clock)

    def send(self, message: Message, box: str = "b") -> str:
        key = keys.message(box, message)
        self.append(self.event(Change(key, codec.encode(message))))
        return key


def agrees(book: Book, index: Index) -> None:
    """The index that grew says the same as one made from nothing."""
    fresh = Index(book.path.with_name("fresh.db"), book.git)
    fresh.sync()
    try:
        assert index.entries() == fresh.entries()
        assert index.max_token() == fresh.max_token()
        for folder in keys.FOLDERS:
            assert index.live(folder) == fresh.live(folder)
        for entry in fresh.entries():
            assert sorted(index.find(entry.id)) == sorted(fresh.find(entry.id))
    finally:
        fresh.close()
        fresh.path.unlink()
