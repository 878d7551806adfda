"""Decisions: what was chosen and why, and what came of it."""

from dataclasses import replace
from typing import Annotated

from coord.model import codec, keys
from coord.model.errors import NotFound, Refused, Usage
from coord.model.records import Change, Decision
from coord.model.untrusted import clean_line
from coord.model.values import frozen
from coord.service import named, readable
from coord.service.command import Prose, command, shown
from coord.service.coord import Coord

GUARD = "decisions"
_ABOUT_LIMIT = 200
_CHOICE_LIMIT = 4_000
_OUTCOME_LIMIT = 8_000
_WHY_LIMIT = 64_000
_NO_WORDS = Prose("")


@frozen
class Ruling:
    """A decision, and the id of the one that took its place, if any."""

    decision: Decision
    superseded_by: str = ""

    @property
    def open(self) -> bool:
        """Whether it still stands and nobody has said what came of it."""
        return not self.superseded_by and not self.decision.outcome


@frozen
class Decisions:
    """Decisions, newest first; `left_out` older ones fit too, `unreadable` are keys of damaged files."""

    items: tuple[Ruling, ...]
    left_out: int = 0
    unreadable: tuple[str, ...] = ()


@command(
    "decision record", writes=True, example='coord decision record "where chef profiles live" "the Customers sheet"'
)
def record(
    coord: Coord,
    about: Annotated[str, "the question, on one line"],
    choice: Annotated[Prose, "what was chosen; - reads standard input"],
    *,
    why: Annotated[Prose, "the reasons, and what else was weighed; - reads standard input"] = _NO_WORDS,
    confidence: Annotated[float | None, "how sure you are, from 0 to 1"] = None,
    supersedes: Annotated[str, "id, or part of the id, of the decision that this one replaces"] = "",
) -> Ruling:
    """Record a choice, so that others can build on it and somebody can say later what came of it.

    Raises:
        Refused: the decision it is to supersede was superseded already.
    """
    maker = coord.me()
    if confidence is not None and not 0 <= confidence <= 1:
        raise Usage(f"a confidence of {confidence:g} is none: it goes from 0 to 1", hint="write --confidence 0.8")
    question, chosen = _checked(about, "question", _ABOUT_LIMIT), _checked(choice, "choice", _CHOICE_LIMIT)
    if why.strip():
        _checked(why, "why", _WHY_LIMIT)
    with coord.exclusive(GUARD):
        earlier = _find(coord, supersedes)[1] if supersedes else None
        if earlier is not None and earlier.superseded_by:
            raise Refused(
                f"{earlier.decision.id} was superseded already, by {earlier.superseded_by}",
                hint=f"supersede that one: --supersedes {earlier.superseded_by}",
            )
        made = Decision(
            id=coord.new_id(),
            made_by=maker,
            decided_at=coord.now(),
            about=clean_line(question),
            choice=chosen,
            body=why.strip("\n") + "\n" if why.strip() else "",
            confidence=confidence,
            supersedes=earlier.decision.id if earlier else "",
        )
        cause = (made.supersedes,) if made.supersedes else ()
        _write(coord, "decision.recorded", made, f"{maker}: {made.about}: {made.choice}", id=made.id, cause=cause)
    return Ruling(made)


@command("decision list", example="coord decision list --open")
def list_(
    coord: Coord,
    *,
    open: Annotated[bool, "only those that still stand and have no outcome yet"] = False,
    by: Annotated[str, "only those of this agent"] = "",
    limit: Annotated[int, "at most this many, newest first"] = 50,
) -> Decisions:
    """List the decisions, newest first; superseded ones say by which."""
    most = shown(limit)
    unreadable: list[str] = []
    found = [one for _, one in rulings(coord, unreadable)][::-1]
    if by:
        author = by.strip().lower()
        found = [one for one in found if one.decision.made_by == author]
        if not found:
            coord.known(author)
    if open:
        found = [one for one in found if one.open]
    chosen = found[:most]
    return Decisions(tuple(chosen), len(found) - len(chosen), tuple(unreadable))


@command("decision outcome", writes=True, example='coord decision outcome 4D8M6P1R "no clash in two weeks; it holds"')
def outcome(
    coord: Coord,
    which: Annotated[str, "id, or its beginning or end"],
    outcome: Annotated[Prose, "what came of it; - reads standard input"],
    *,
    again: Annotated[bool, "replace the outcome that is there; the ledger keeps it"] = False,
) -> Ruling:
    """Say what came of a decision.

    Raises:
        Refused: it has an outcome already, and --again was not given.
    """
    who = coord.me()
    text = _checked(outcome, "outcome", _OUTCOME_LIMIT)
    with coord.exclusive(GUARD):
        key, found = _find(coord, which)
        known = found.decision
        if known.outcome and not again:
            raise Refused(
                f"{known.id} has an outcome already: {clean_line(known.outcome, 120)}",
                hint="replace it with --again; the ledger keeps the old one",
            )
        judged = replace(known, outcome=text, outcome_at=coord.now())
        subject = f"{who}: {known.about}: {text}"
        _write(coord, "decision.outcome", judged, subject, cause=(known.id,), key=key)
    return Ruling(judged, found.superseded_by)


def rulings(coord: Coord, unreadable: list[str] | None = None) -> list[tuple[str, Ruling]]:
    """Return every decision with its key, oldest first; keys of damaged files are added to UNREADABLE."""
    damaged = [] if unreadable is None else unreadable
    found = list(readable.at(coord, coord.records(keys.DECISIONS), codec.decode_decision, damaged))
    followers = {one.supersedes: one.id for _, one in found if one.supersedes}
    return [(key, Ruling(one, followers.get(one.id, ""))) for key, one in found]


def _find(coord: Coord, part: str) -> tuple[str, Ruling]:
    found = dict(rulings(coord))
    key = named.one(found, part, "decision")
    if key is None:
        raise NotFound(
            f"there is no decision {part!r}",
            hint="see `coord decision list`; the ledger has older ones: `coord log --kind decision`",
        )
    return key, found[key]


def _write(
    coord: Coord,
    kind: str,
    made: Decision,
    subject: str,
    *,
    id: str = "",
    cause: tuple[str, ...] = (),
    key: str = "",
) -> None:
    change = Change(key or keys.decision(made), codec.encode(made))
    coord.record(coord.event(kind, clean_line(subject, 200), (change,), id=id, cause=cause))


def _checked(text: str, what: str, limit: int) -> str:
    stripped = text.strip()
    if not stripped:
        raise Usage(f"the {what} is empty", hint=f"say the {what} in a few words")
    if len(stripped) > limit:
        raise Usage(
            f"{len(stripped):,} characters are more than the {what} of a decision may have ({limit:,})",
            hint="say the core of it here, and put the rest into --why or a file",
        )
    return stripped
