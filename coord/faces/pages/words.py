"""What all pages share: the moment that ages are counted from, and how ids are shortened."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the moment that ages on a page are counted from."""
    return datetime.now(UTC)


def short(identifier: str) -> str:
    """Return the part of an id that people type: its end, which tells ids of one moment apart."""
    return identifier[-8:]
