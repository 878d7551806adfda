"""Naming a record by its id, or by an unambiguous beginning or end of it."""

from collections.abc import Iterable

from coord.model import keys
from coord.model.errors import Usage

SHORTEST = 4


def one(among: Iterable[str], part: str, noun: str) -> str | None:
    """Return the key AMONG these whose id starts or ends with PART, or None.

    Raises:
        Usage: several have such an id, or PART is too short to mean one.
    """
    if len(part.strip()) < SHORTEST:
        raise Usage(f"{part!r} is too short for the id of a {noun}", hint=f"give {SHORTEST} characters or more of it")
    found = fitting(among, part)
    same((keys.id_in(key) or "" for key in found), part, noun)
    return found[-1] if found else None


def fitting(among: Iterable[str], part: str) -> list[str]:
    """Return the keys AMONG these whose id starts or ends with PART; none where it is too short to mean one."""
    wanted = part.strip().upper()
    if len(wanted) < SHORTEST:
        return []
    ids = {key: keys.id_in(key) or "" for key in among}
    return [key for key, identifier in ids.items() if identifier.startswith(wanted) or identifier.endswith(wanted)]


def same(found: Iterable[str], part: str, noun: str) -> None:
    """Pass where the ids FOUND are all one.

    Raises:
        Usage: PART fits several.
    """
    several = sorted(set(found))
    if len(several) > 1:
        raise Usage(f"{part!r} fits several {noun}s: {', '.join(several[:5])}", hint="give more of the id")
