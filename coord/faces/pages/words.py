"""What all pages share: the moment that ages are counted from, how ids are shortened, and the refusal of a stranger."""

from datetime import UTC, datetime

from coord.faces.page import Block, Body
from coord.model.untrusted import clean_line


def now() -> datetime:
    """Return the moment that ages on a page are counted from."""
    return datetime.now(UTC)


def short(identifier: str) -> str:
    """Return the part of an id that people type: its end, which tells ids of one moment apart."""
    return identifier[-8:]


def titled(title: str, body: str) -> list[Block]:
    """Quote a title and a body; a title that nobody gave is the body's first line, and said once is enough."""
    words = body.lstrip("\n")
    if not words.strip():
        return [Body(clean_line(title), "bold")]
    if clean_line(words.partition("\n")[0].strip("# \t")) == clean_line(title):
        return [Body(words)]
    return [Body(clean_line(title), "bold"), Body(f"\n{words}")]


def unknown(result: object) -> list[Block]:
    """Refuse a result; each noun registers over this what a person reads of its own."""
    raise TypeError(f"no page for {type(result).__name__}")
