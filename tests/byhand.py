"""What hands do in the folders, without coord."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from coord.model import keys
from coord.model.records import Message
from coord.service import mail
from coord.service.command import Prose
from coord.service.coord import Coord

As = Callable[..., Coord]
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ID = "01KAJ3X5ZC9Q0V7T2D4M8N6P1R"


def sent(coord_for: As, text: str = "hello") -> str:
    """Send a message from backend to frontend and return its key."""
    coord = coord_for("backend")
    message = mail.send(coord, ("frontend",), Prose(text)).message
    coord.settle()
    return keys.message("frontend", message)


def drop(home: Path, key: str, data: bytes) -> None:
    (home / key).parent.mkdir(parents=True, exist_ok=True)
    (home / key).write_bytes(data)


def message(**given: object) -> Message:
    fields = {
        "id": ID,
        "sender": "backend",
        "to": ("frontend",),
        "subject": "hi",
        "body": "hi\n",
        "sent_at": NOW,
        "thread": ID,
    }
    return Message(**{**fields, **given})  # type: ignore[arg-type]
