"""What all pages share: the moment that ages are counted from, how ids are shortened, and the refusal of a stranger."""

from datetime import UTC, datetime

from coord.faces.page import Block


def now() -> datetime:
    """Return the moment that ages on a page are counted from."""
    return datetime.now(UTC)


def short(identifier: str) -> str:
    """Return the part of an id that people type: its end, which tells ids of one moment apart."""
    return identifier[-8:]


def unknown(result: object) -> list[Block]:
    """Refuse a result; each noun registers over this what a person reads of its own."""
    raise TypeError(f"no page for {type(result).__name__}")
