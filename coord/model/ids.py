"""Time-sortable identifiers: ULIDs, 26 characters of Crockford's base 32.

Source: the ULID specification (48 bits of milliseconds, 80 bits of randomness).
"""

import re
from datetime import UTC, datetime, timedelta

from coord.model.regex import regex

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 26
_PAIRS = tuple(first + second for first in ALPHABET for second in ALPHABET)
_TAIL = 9  # characters: SQLite keeps them in six bytes
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
_LATEST = 253_402_300_799_999  # milliseconds: the end of the year 9999, the last that a date can have
_SHAPE = regex(f"[0-7][{ALPHABET}]{{25}}")


def ulid(at: datetime, entropy: bytes) -> str:
    """Make the id for a moment and ten bytes of entropy.

    The same two give the same id, which is how a hand-written file keeps its id
    when its adoption is interrupted and done again.
    """
    value = (at - _EPOCH) // _MILLISECOND << 80 | int.from_bytes(entropy[:10].ljust(10, b"\0"), "big")
    return _spelled(value)


def after(identifier: str) -> str:
    """Return the id that sorts next behind IDENTIFIER."""
    return _spelled(_value(identifier) + 1)


def packed(identifier: str) -> bytes:
    """Return an id as its 16 bytes, which sort as ids do."""
    return _value(identifier).to_bytes(16, "big")


def unpacked(data: bytes) -> str:
    """Return the id of 16 bytes."""
    return _spelled(int.from_bytes(data, "big"))


def tail(identifier: str) -> int:
    """Return the end of an id, read backwards, as a number: those with one ending lie beside each other."""
    return _value(identifier[: -_TAIL - 1 : -1])


def may_be_part(text: str) -> bool:
    """Tell whether an id can hold TEXT."""
    return len(text) <= LENGTH and all(character in ALPHABET for character in text)


def beginning(part: str) -> tuple[bytes, bytes]:
    """Return the first and the last packed id that begins with PART; the wrong way round where none can."""
    if part[:1] > "7":
        return b"\1", b"\0"
    return packed(part.ljust(LENGTH, ALPHABET[0])), packed(part.ljust(LENGTH, ALPHABET[-1]))


def ending(part: str) -> tuple[int, int]:
    """Return the first and the last tail of ids that end with PART, or with as much of it as a tail has."""
    backwards = part[: -_TAIL - 1 : -1]
    return _value(backwards.ljust(_TAIL, ALPHABET[0])), _value(backwards.ljust(_TAIL, ALPHABET[-1]))


def _value(text: str) -> int:
    value = 0
    for character in text:
        value = value << 5 | ALPHABET.index(character)
    return value


def _spelled(value: int) -> str:
    return "".join(_PAIRS[value >> shift & 1023] for shift in range(120, -1, -10))


def is_ulid(text: str) -> bool:
    """Tell whether TEXT is an id in its canonical spelling."""
    return _SHAPE.fullmatch(text) is not None


def time_of(identifier: str) -> datetime:
    """Return the moment an id was made, to the millisecond; for one that no date can have, the latest that can be."""
    return _EPOCH + min(_value(identifier[:10]), _LATEST) * _MILLISECOND


def slug(text: str, limit: int = 40) -> str:
    """Reduce a subject to lower-case ASCII words joined by hyphens; never empty, never longer than LIMIT."""
    words = "-".join(re.findall(r"[a-z0-9]+", text.lower()[: 4 * limit]))
    return words[:limit].strip("-") or "untitled"
