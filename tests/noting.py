"""Short words to note events in a journal."""

import os
from datetime import UTC, datetime

from coord.model.eventline import Noted
from coord.model.records import Change, Event
from coord.stores import oslock
from coord.stores.journal import Journal

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def event(identifier: str, *changes: Change) -> Event:
    return Event(id=identifier, kind="test", agent="backend", subject="hello", at=NOON, changes=changes)


def change(key: str, data: bytes | None = b"x") -> Change:
    return Change(f"inbox/a/{key}.md", data)


def append(journal: Journal, *events: Event) -> None:
    for one in events:
        journal.append(one, oslock.me())


def ids(noted: tuple[Noted, ...]) -> list[str]:
    return [one.event.id for one in noted]


def segments(journal: Journal) -> list[str]:
    return sorted(name for name in os.listdir(journal._folder) if name.endswith(".log"))
