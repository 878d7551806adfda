"""Before an edit: refused where it is another's, leased where it is nobody's."""

from coord.faces.hooks.dialect import Answer
from coord.faces.hooks.payload import Hooked
from coord.model.errors import CoordError, Corrupt, LeaseHeld, Unavailable
from coord.model.records import Lock
from coord.model.untrusted import clean_line
from coord.service.guard import editing
from coord.service.guard.editing import Ruling
from coord.service.session.callers import Called


def edit(hooked: Hooked, coord: Called, agent: str, answer: Answer) -> None:
    """Judge an edit; whether it is refused is in ANSWER before anything else is tried.

    Raises:
        CoordError: it is not refused, and a lease could not be taken.
    """
    if not hooked.paths:
        answer.faults.append(f"which file {clean_line(hooked.tool, 40)} writes is not said: nothing was looked up")
        return
    try:
        ruling = editing.rule(coord, agent, hooked.paths, hooked.cwd or str(coord.start))
    except (Corrupt, Unavailable) as fault:
        word = clean_line(f"{fault.message}; to mend it: {fault.hint}", 800)
        answer.refusal = f"coord: refused, since who has leased it cannot be told. {word}"
        return
    answer.refusal = ruling.refusal
    if not agent or ruling.refusal:
        return
    taken: tuple[Lock, ...] = ()
    try:
        if ruling.free or ruling.fading:
            taken = _claim(hooked, coord, ruling, answer)
    finally:
        if not answer.refusal:
            _note(coord, agent, ruling, taken, answer)


def _note(coord: Called, agent: str, ruling: Ruling, taken: tuple[Lock, ...], answer: Answer) -> None:
    try:
        editing.note(coord, agent, ruling, taken)
    except CoordError as fault:
        answer.faults.append(f"not noted under which lease this is edited, a commit is checked less strictly: {fault}")


def _claim(hooked: Hooked, coord: Called, ruling: Ruling, answer: Answer) -> tuple[Lock, ...]:
    mode = coord.config.hooks.lease
    if mode == "warn" and ruling.free:
        named = clean_line(", ".join(hooked.paths), 300)
        answer.context.append(f"coord: nobody has leased {named}; take it first: coord lock acquire PATH")
    elif mode == "auto":
        try:
            taken = editing.take(coord, (*ruling.free, *ruling.fading), f"edited by {hooked.client}")
        except LeaseHeld as held:
            answer.refusal = editing.held_by_others(held)
        except CoordError:
            answer.context.append("coord: you edit this without a lease: none could be taken")
            raise
        else:
            if taken.why:
                answer.context.append(f"coord: you edit this without a lease: {taken.why}")
            return taken.locks
    return ()
