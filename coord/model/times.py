"""Moments and lengths of time as text. No clock: the caller says what time it is."""

import re
from datetime import UTC, datetime, timedelta

from coord.model.errors import Usage
from coord.model.regex import regex

LONGEST = timedelta(days=36_525)  # a century, so that now + a duration is always a date

_MOMENT = regex(
    r"(\d{4}-\d\d-\d\d)(?:(?:t|\s+)(\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?)\s*(z|utc|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII | re.IGNORECASE,
)
_PART = regex(
    r"(\d{1,12}(?:\.\d{1,9})?)\s*(ms|s|m|h|d|w|sec(?:ond)?s?|min(?:ute)?s?|hrs?|hours?|days?|weeks?)(?![a-z])\s*",
    re.ASCII | re.IGNORECASE,
)
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_SHOWN = ("d", "h", "m", "s", "ms")


def format_time(at: datetime) -> str:
    """Write an aware moment in UTC, to the millisecond where it has any: `2026-11-22T12:03:11.204Z`."""
    precision = "milliseconds" if at.microsecond >= 1000 else "seconds"
    return at.astimezone(UTC).isoformat(timespec=precision)[:-6] + "Z"


def parse_time(text: str) -> datetime:
    """Read a moment as people and programs write it; without an offset it is UTC, a date alone is its midnight.

    Raises:
        Usage: TEXT is no moment, or none that exists.
    """
    if found := _MOMENT.fullmatch(text.strip()):
        date, clock, offset = found.groups()
        zone = "Z" if not offset or offset[0] not in "+-" else offset
        try:
            return datetime.fromisoformat(f"{date}T{clock or '00:00'}{zone}").astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    hint = "Write it like 2026-11-22T12:03:11Z, 2026-11-22 13:03 +01:00 or 2026-11-22."
    raise Usage(f"{_shown(text)} is no time", hint=hint)


def parse_duration(text: str) -> timedelta:
    """Read a length of time such as `30m`, `1h 30m`, `500ms` or `0`.

    Raises:
        Usage: TEXT is no length of time, has no unit, is negative or longer than a century.
    """
    rest = text.strip()
    hint = "Write it like 30m, 1h30m, 90s, 2d or 500ms."
    if re.fullmatch(r"[+-]?[\d.]+", rest, re.ASCII):
        if not rest.strip("0"):
            return timedelta(0)
        if not rest.startswith("-"):
            raise Usage(f"the duration {_shown(rest)} needs a unit", hint=f"Did you mean {rest[:12]}s or {rest[:12]}m?")
    if rest.startswith("-"):
        raise Usage(f"the duration {_shown(rest)} is negative", hint=hint)
    total, position = timedelta(0), 0
    while found := _PART.match(rest, position):
        amount, unit = found.groups()
        size = _UNITS["ms" if unit.lower() == "ms" else unit[0].lower()]
        if float(amount) * size.total_seconds() + total.total_seconds() > LONGEST.total_seconds():
            raise Usage(f"the duration {_shown(text)} is longer than a century", hint=hint)
        total += size * (float(amount) if "." in amount else int(amount))
        position = found.end()
    if position < len(rest) or not rest:
        raise Usage(f"{_shown(text)} is no duration", hint=hint)
    return total


def format_duration(length: timedelta) -> str:
    """Write a length of time for people in its two largest units, the rest cut off: `1h 30m`, `2d`, `500ms`, `0s`."""
    rest, sign = abs(length), "-" if length < timedelta(0) else ""
    counts: list[tuple[int, str]] = []
    for unit in _SHOWN:
        count, rest = divmod(rest, _UNITS[unit])
        counts.append((count, unit))
    first = next((position for position, (count, _) in enumerate(counts) if count), None)
    if first is None:
        return "0s"
    return sign + " ".join(f"{count}{unit}" for count, unit in counts[first : first + 2] if count)


def ago(then: datetime, now: datetime) -> str:
    """Say in one unit how long ago THEN was: `12s`, `5m`, `3h`, `2d`; what is still to come counts as `0s`."""
    past = now - then
    if past < _UNITS["s"]:
        return "0s"
    return format_duration(past).split(" ", 1)[0]


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
