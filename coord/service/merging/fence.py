"""Whether a request was made under leases that have passed on to others, and who of them has looked at it."""

from collections.abc import Sequence
from dataclasses import dataclass

from coord.model.errors import BadRecord
from coord.model.fencing import Passed
from coord.model.records import MergeRequest
from coord.service.coord import Coord
from coord.service.guard import fencing


@dataclass(frozen=True, slots=True)
class Overtaken:
    """What stands against a request: the words for it, a way out, and the holders who have not looked at it yet."""

    what: str
    detail: str
    holders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found: what stands against a request, if anything does, and the leases its changes were made under."""

    overtaken: Overtaken | None = None
    leases: tuple[tuple[int, str], ...] = ()


def look(coord: Coord, base: str, one: MergeRequest) -> Looked:
    """Look at the leases of a request; what its new holders agreed to does not stand against it."""
    if coord.config.merge.fencing == "off":
        return Looked()
    try:
        judged = fencing.of_commits(coord, base, one.head, agent=one.agent)
    except BadRecord as fault:
        return Looked(Overtaken(fault.message, fault.hint, ()))
    left = [each for each in judged.passed if word(each) not in one.reviewed]
    if not left:
        return Looked(leases=judged.leases)
    refusal = fencing.refusal(coord, left)
    holders = tuple(dict.fromkeys(each.to.holder for each in left))
    return Looked(Overtaken(refusal.message, refusal.hint, holders), judged.leases)


def agreed(coord: Coord, base: str, one: MergeRequest, who: Sequence[str]) -> tuple[str, ...]:
    """Return what WHO agrees to by letting a request pass: a word for each of their leases that overtook it."""
    passed = fencing.of_commits(coord, base, one.head, agent=one.agent).passed
    return tuple(dict.fromkeys(word(each) for each in passed if each.to.holder in who))


def word(passed: Passed) -> str:
    """Return how a request notes that a holder agreed: under a later token it must be asked again."""
    return f"{passed.to.holder} {passed.to.token}"
