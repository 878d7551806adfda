"""Whether a request was made under leases that have passed on to others, and who of them has looked at it."""

from collections.abc import Sequence

from coord.git.commits import Commit
from coord.model import mailboxes
from coord.model.errors import BadRecord
from coord.model.fencing import Passed
from coord.model.records import MergeRequest
from coord.model.values import frozen
from coord.service.coord import Coord
from coord.service.guard import fencing

_OWNER = mailboxes.OWNER
_FOR_ALL = f" by {_OWNER}"


@frozen
class Overtaken:
    """What stands against a request: the words for it, a way out, and the holders who have not looked at it yet."""

    what: str
    detail: str
    holders: tuple[str, ...]


@frozen
class Looked:
    """What was found: what stands against a request, if anything does, and the leases its changes were made under.

    `approved` are those who let it pass all the same, each with the token of the lease that overtook it.
    """

    overtaken: Overtaken | None = None
    leases: tuple[tuple[int, str], ...] = ()
    approved: tuple[tuple[str, int], ...] = ()


def look(coord: Coord, base: str, one: MergeRequest, span: Sequence[Commit] | None = None) -> Looked:
    """Look at the leases of a request; what its new holders agreed to does not stand against it.

    SPAN, where the caller has read them, are its commits that BASE lacks.
    """
    if coord.config.merge.fencing == "off":
        return Looked()
    try:
        if span is None:
            judged = fencing.of_commits(coord, base, one.head, agent=one.agent)
        else:
            judged = fencing.judged(coord, span, one.agent, base=base, head=one.head)
    except BadRecord as fault:
        return Looked(Overtaken(fault.message, fault.hint, ()))
    by = [(each, _agreed_by(one, each)) for each in judged.passed]
    left = [each for each, who in by if not who]
    if not left:
        return Looked(None, judged.leases, tuple(dict.fromkeys((who, each.to.token) for each, who in by)))
    refusal = fencing.refusal(coord, left)
    holders = tuple(dict.fromkeys(each.to.holder for each in left))
    return Looked(Overtaken(refusal.message, refusal.hint, holders), judged.leases)


def agreed(coord: Coord, base: str, one: MergeRequest, who: str) -> tuple[str, ...]:
    """Return what WHO agrees to by letting a request pass: a word for each of their leases that overtook it.

    The owner speaks for all, which is noted.
    """
    passed = fencing.of_commits(coord, base, one.head, agent=one.agent).passed
    if who == _OWNER:
        return tuple(dict.fromkeys(f"{word(each)}{_FOR_ALL}" for each in passed))
    return tuple(dict.fromkeys(word(each) for each in passed if each.to.holder == who))


def _agreed_by(one: MergeRequest, passed: Passed) -> str:
    """Return who agreed that a request passes this lease, or ""."""
    if word(passed) in one.reviewed:
        return passed.to.holder
    return _OWNER if f"{word(passed)}{_FOR_ALL}" in one.reviewed else ""


def word(passed: Passed) -> str:
    """Return how a request notes that a holder agreed: under a later token it must be asked again."""
    return f"{passed.to.holder} {passed.to.token}"
