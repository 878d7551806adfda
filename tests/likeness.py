"""What a play compares: coord's records and the oracle's entries, each in the same plain form; and its clocks."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from oracle import COORD, Entry

from coord.model.records import Message
from coord.service import checkpoints
from coord.service.coord import Coord

BEGIN = datetime(2030, 1, 1, tzinfo=UTC)


class Ticking:
    """Clocks that stand still until a play moves them, both by the same."""

    def __init__(self) -> None:
        self.at = BEGIN

    def now(self) -> datetime:
        """Return the moment of the play."""
        return self.at

    def monotonic(self) -> float:
        """Return the seconds since it began."""
        return 1_000_000 + (self.at - BEGIN).total_seconds()


def checkpoints_of(seer: Coord) -> list[Any]:
    """Return all checkpoints, oldest first."""
    found = checkpoints.list_(seer, agent="all", limit=10_000).items
    return sorted(found, key=lambda one: one.id)


def leases_shown(found: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Return leases of coord as they are compared."""
    return sorted((one.scope, one.holder, one.mode, one.token, one.expires_at) for one in found)


def leases_told(found: Iterable[Entry]) -> list[tuple[Any, ...]]:
    """Return leases of the oracle as they are compared."""
    return sorted((one["scope"], one["holder"], one["mode"], one["token"], one["until"]) for one in found)


def letter_shown(one: Message) -> tuple[Any, ...]:
    """Return a message of coord as it is compared."""
    body = "" if one.sender == COORD else one.body
    return one.sender, one.to, one.subject, body, one.kind, one.priority, one.ack, one.expires_at


def letter_told(one: Entry) -> tuple[Any, ...]:
    """Return a message of the oracle as it is compared."""
    body = "" if one["from"] == COORD else one["body"]
    return one["from"], one["to"], one["subject"], body, one["kind"], one["priority"], one["ack"], one["expires"]
