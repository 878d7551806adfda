"""The requests in the folder, as they are now."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from coord.model import codec, keys
from coord.model.errors import BadRecord
from coord.model.records import Change, MergeRequest
from coord.service.coord import Coord

GUARD = "merges"
"""The critical section of whoever decides about requests."""


def found(coord: Coord) -> dict[str, tuple[str, MergeRequest]]:
    """Return the requests with their keys, by id.

    A file that is no readable request is left out here; `coord ledger verify` names it.
    """
    waiting = {}
    for key in coord.records(keys.MERGES):
        stored = coord.store.get(key)
        if stored is None:
            continue
        try:
            one = codec.decode_merge_request(stored.data, key)
        except BadRecord:
            continue
        waiting[one.id] = (key, one)
    return waiting


def written(pairs: Iterable[tuple[str, MergeRequest]]) -> tuple[Change, ...]:
    """Return the changes that write requests at their keys."""
    return tuple(Change(key, codec.encode(one)) for key, one in pairs)


def followers(waiting: Mapping[str, tuple[str, MergeRequest]], old: str, new: str = "") -> tuple[Change, ...]:
    """Return the changes by which those that come after the request OLD come after NEW instead, or after nothing."""
    changed = []
    for key, one in waiting.values():
        if old in one.after:
            after = tuple(dict.fromkeys(new if other == old else other for other in one.after))
            changed.append((key, replace(one, after=tuple(other for other in after if other))))
    return written(changed)
