"""Time-sortable identifiers: ULIDs, 26 characters of Crockford's base 32.

Source: the ULID specification (48 bits of milliseconds, 80 bits of randomness).
"""

import re
from datetime import UTC, datetime, timedelta

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 26
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
_LATEST = 253_402_300_799_999  # milliseconds: the end of the year 9999, the last that a date can have
_SHAPE = re.compile(f"[0-7][{ALPHABET}]{{25}}")


def ulid(at: datetime, entropy: bytes) -> str:
    """Make the id for a moment and ten bytes of entropy.

    The same two give the same id, which is how a hand-written file keeps its id
    when its adoption is interrupted and done again.
    """
    value = (at - _EPOCH) // _MILLISECOND << 80 | int.from_bytes(entropy[:10].ljust(10, b"\0"), "big")
    return _spelled(value)


def after(identifier: str) -> str:
    """Return the id that sorts next behind IDENTIFIER."""
    value = 0
    for character in identifier:
        value = value << 5 | ALPHABET.index(character)
    return _spelled(value + 1)


def _spelled(value: int) -> str:
    return "".join(ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))


def is_ulid(text: str) -> bool:
    """Tell whether TEXT is an id in its canonical spelling."""
    return _SHAPE.fullmatch(text) is not None


def time_of(identifier: str) -> datetime:
    """Return the moment an id was made, to the millisecond; for one that no date can have, the latest that can be."""
    value = 0
    for character in identifier[:10]:
        value = value << 5 | ALPHABET.index(character)
    return _EPOCH + min(value, _LATEST) * _MILLISECOND


def slug(text: str, limit: int = 40) -> str:
    """Reduce a subject to lower-case ASCII words joined by hyphens; never empty, never longer than LIMIT."""
    words = "-".join(re.findall(r"[a-z0-9]+", text.lower()[: 4 * limit]))
    return words[:limit].strip("-") or "untitled"
