"""Reading the records at some keys, so that one damaged file does not hide the others."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from coord.model.errors import BadRecord
from coord.service.coord import Coord

R = TypeVar("R")


def at(
    coord: Coord, found: Iterable[str], decode: Callable[[bytes, str], R], unreadable: list[str]
) -> Iterator[tuple[str, R]]:
    """Yield the records at the keys FOUND, each with its key; what is gone meanwhile is left out.

    Keys of damaged files are added to UNREADABLE.
    """
    for key in found:
        stored = coord.store.get(key)
        if stored is None:
            continue
        try:
            record = decode(stored.data, key)
        except BadRecord:
            unreadable.append(key)
        else:
            yield key, record
