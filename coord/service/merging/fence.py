"""Whether a request was made under leases that have passed on to others, and who of them has looked at it."""

from collections.abc import Sequence
from dataclasses import dataclass

from coord.model.errors import BadRecord
from coord.model.fencing import Passed
from coord.model.records import MergeRequest
from coord.service import fencing
from coord.service.coord import Coord


@dataclass(frozen=True, slots=True)
class Overtaken:
    """What stands against a request: the words for it, a way out, and the holders who have not looked at it yet."""

    what: str
    detail: str
    holders: tuple[str, ...]


def overtaken(coord: Coord, base: str, one: MergeRequest) -> Overtaken | None:
    """Return what of a request was overtaken, or None where nothing was, or its new holders agreed, or nobody asks."""
    if coord.config.merge.fencing == "off":
        return None
    try:
        passed = fencing.of_commits(coord, base, one.head, agent=one.agent).passed
    except BadRecord as fault:
        return Overtaken(fault.message, fault.hint, ())
    left = [each for each in passed if word(each) not in one.reviewed]
    if not left:
        return None
    refusal = fencing.refusal(coord, left)
    return Overtaken(refusal.message, refusal.hint, tuple(dict.fromkeys(each.to.holder for each in left)))


def agreed(coord: Coord, base: str, one: MergeRequest, who: Sequence[str]) -> tuple[str, ...]:
    """Return what WHO agrees to by letting a request pass: a word for each of their leases that overtook it."""
    passed = fencing.of_commits(coord, base, one.head, agent=one.agent).passed
    return tuple(dict.fromkeys(word(each) for each in passed if each.to.holder in who))


def word(passed: Passed) -> str:
    """Return how a request notes that a holder agreed: under a later token it must be asked again."""
    return f"{passed.to.holder} {passed.to.token}"
