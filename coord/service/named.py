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
    wanted = part.strip().upper()
    if len(wanted) < SHORTEST:
        raise Usage(f"{part!r} is too short for the id of a {noun}", hint=f"give {SHORTEST} characters or more of it")
    fitting: dict[str, str] = {}
    for key in among:
        identifier = keys.id_in(key) or ""
        if identifier.startswith(wanted) or identifier.endswith(wanted):
            fitting[identifier] = key
    if len(fitting) > 1:
        several = ", ".join(sorted(fitting)[:5])
        raise Usage(f"{part!r} fits several {noun}s: {several}", hint="give more of the id")
    return next(iter(fitting.values()), None)
