"""What coord does when a coding assistant calls its hook, event by event.

First of all, before anything can fail, an edit is judged. Everything after that is tried,
each part by itself: a fault is told, and never keeps an agent from its other work.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from coord.faces.hooks import edits
from coord.faces.hooks.dialect import Answer
from coord.faces.hooks.payload import Hooked
from coord.model.errors import BadRecord, CoordError, LeaseHeld
from coord.model.untrusted import clean_line
from coord.service import editing, sessions
from coord.service.callers import Called
from coord.service.sessions import Kept

_PATIENCE = 1.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who runs the hook, as its surroundings say: the agent named there, and the process that started it."""

    named: str = ""
    parent: int = 0


def of(hooked: Hooked, coord: Called, caller: Caller) -> tuple[Answer, ExitStack]:
    """Return the answer to a hook, and what must be closed once the client has it, or never will."""
    answer = Answer()
    known = sessions.find(coord, hooked.client, hooked.session)
    before = known.agent if known and hooked.event != "started" else ""
    agent = coord.become(caller.named, before)
    if coord.wrong is not None:
        answer.faults.append(_said(coord.wrong))
    if hooked.event == "before tool" and (edits.is_edit(hooked.tool) or hooked.paths):
        _edit(hooked, coord, agent, answer)
    with ExitStack() as unfinished:
        unfinished.enter_context(coord)
        with _tried(answer, "keep the session"):
            if hooked.session:
                opened = sessions.opened(coord, hooked.client, hooked.session, timeout=_PATIENCE)
                kept = unfinished.enter_context(opened)
                _note(hooked, coord, agent, caller, kept)
        return answer, unfinished.pop_all()


def _edit(hooked: Hooked, coord: Called, agent: str, answer: Answer) -> None:
    if not hooked.paths:
        answer.faults.append(f"which file {clean_line(hooked.tool, 40)} writes is not said; it was not looked up")
        return
    try:
        ruling = editing.rule(coord, agent, hooked.paths, hooked.cwd or str(coord.start))
    except BadRecord as fault:
        answer.refusal = f"coord: refused, since a lease cannot be read and may be anybody's: {_said(fault)}"
        return
    answer.refusal = ruling.refusal
    if ruling.refusal or not agent:
        return
    mode = coord.config.hooks.lease
    with _tried(answer, "take a lease"):
        if mode == "warn" and ruling.free:
            named = ", ".join(hooked.paths)
            answer.context.append(
                f"coord: nobody has leased {clean_line(named, 300)}; take it first: coord lock acquire PATH"
            )
        elif mode == "auto" and (ruling.free or ruling.fading):
            try:
                why = editing.take(coord, (*ruling.free, *ruling.fading), f"edited by {hooked.client}")
            except LeaseHeld as held:
                answer.refusal = editing.held_by_others(held)
            else:
                if why:
                    answer.context.append(f"coord: you edit this without a lease: {why}")


def _note(hooked: Hooked, coord: Called, agent: str, caller: Caller, kept: Kept) -> None:
    del caller
    kept.session = replace(
        kept.session,
        agent=agent,
        version=hooked.version or kept.session.version,
        worktree=str(coord.place.top),
        seen_at=coord.now(),
    )


@contextmanager
def _tried(answer: Answer, doing: str) -> Iterator[None]:
    """Tell of a fault inside, and go on."""
    try:
        yield
    except CoordError as fault:
        answer.faults.append(f"could not {doing}: {_said(fault)}")
    except Exception as fault:
        answer.faults.append(f"could not {doing}: {type(fault).__name__}: {clean_line(str(fault), 200)}")


def _said(fault: CoordError) -> str:
    hint = f"; next: {fault.hint}" if fault.hint else ""
    return clean_line(f"{fault.message}{hint}", 500)
