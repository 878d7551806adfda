"""What coord does when a coding assistant calls its hook, event by event.

First of all, before anything can fail, an edit is judged. Everything after that is tried,
each part by itself: a fault is told, and never keeps an agent from its other work.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from coord.faces.hooks import before, edits, holding
from coord.faces.hooks.dialect import Answer
from coord.faces.hooks.payload import Event, Hooked
from coord.model.errors import CoordError
from coord.model.untrusted import clean_line
from coord.model.values import frozen
from coord.service import checkpoints
from coord.service.guard import editnotes, trespass
from coord.service.session import handing, parting, sessions
from coord.service.session.callers import Called
from coord.service.session.handing import Handing
from coord.service.session.sessions import Kept, Session, State, Wake
from coord.service.wake import calling, waiters, waking

_PATIENCE, _LAST_PATIENCE = 1.0, 30.0  # who ends comes no second time
_OFTEN = 1800.0  # seconds; one client tells of a compaction before every request to its model
_LIMITS = ("rate_limit", "overloaded")


@frozen
class Caller:
    """Who runs the hook, as its surroundings say: the agent named there, and the process that started it.

    One that waits beside a session says in `waits` that it is "new" or asks "again", and its pid.
    `store` is where the client keeps its sessions, as it was told to; `terminal` is tmux's word for where it is.
    """

    named: str = ""
    parent: int = 0
    waits: str = ""
    store: str = ""
    terminal: tuple[str, ...] = ()


@frozen
class Call:
    """One call of a hook while it is answered."""

    hooked: Hooked
    coord: Called
    agent: str
    answer: Answer
    kept: Kept
    woken: Wake | None = None


def of(hooked: Hooked, coord: Called, caller: Caller) -> tuple[Answer, ExitStack]:
    """Return the answer to a hook, and what must be closed once the client has it, or never will."""
    answer = Answer()
    known = sessions.find(coord, hooked.client, hooked.session)
    agent = coord.become(caller.named, known.agent if known and hooked.event != "started" else "")
    if coord.wrong is not None:
        answer.faults.append(said(coord.wrong))
    if hooked.event == "before tool" and (edits.is_edit(hooked.tool) or hooked.paths):
        with tried(answer, "take a lease"):
            before.edit(hooked, coord, agent, answer)
    with ExitStack() as unfinished:
        unfinished.enter_context(coord)
        with tried(answer, "keep the session"):
            if hooked.session:
                patience = _LAST_PATIENCE if hooked.event == "ended" else _PATIENCE
                opened = sessions.opened(coord, hooked.client, hooked.session, timeout=patience)
                kept = unfinished.enter_context(opened)
                call = Call(hooked, coord, agent, answer, kept, woken=_woken(hooked, coord, kept.session))
                _note(call, caller)
                _EVENTS[hooked.event](call)
        return answer, unfinished.pop_all()


def _woken(hooked: Hooked, coord: Called, session: Session) -> Wake | None:
    asked = hooked.prompt if hooked.event == "asked" else None
    goes_on = hooked.event in ("before tool", "after tool", "stopping")
    return waking.seen(session, coord.now(), asked=asked, goes_on=goes_on)


def _note(call: Call, caller: Caller) -> None:
    """Note a sign of life."""
    hooked, coord, agent, kept = call.hooked, call.coord, call.agent, call.kept
    old = kept.session
    process = old.process
    if hooked.event == "started" or process is None:
        process = sessions.client_process(caller.parent)
    socket, pane = calling.pane(caller.terminal) if hooked.event == "started" else (old.socket, old.pane)
    kept.session = replace(
        old,
        agent=agent,
        version=hooked.version or old.version,
        worktree=str(coord.place.top),
        seen_at=coord.now(),
        state=_state(hooked, old),
        why=hooked.trouble,
        doing=_doing(hooked) or old.doing,
        process=process,
        store=(caller.store or old.store) if hooked.client == "codex" else "",
        socket=socket,
        pane=pane,
        wake=call.woken or old.wake,
    )
    kept.memory.said = hooked.said or kept.memory.said
    kept.memory.worked = kept.memory.worked or hooked.event in ("asked", "after tool", "stopping")
    if agent and hooked.event != "ended":
        coord.presence.note(agent, kept.session.doing or "session")
    if call.woken:
        with tried(call.answer, "record that it was woken"):
            waking.record(coord, agent, kept.session, call.woken)


def _state(hooked: Hooked, old: Session) -> State:
    if hooked.trouble in _LIMITS:
        return "limited"
    if hooked.event == "compacting" or hooked.source == "compact":  # in the middle of anything, or while it waits
        return "active" if old.state == "active" else "idle"
    if hooked.event == "started":  # it waits for its first prompt
        return "idle"
    states: Mapping[Event, State] = {"stopping": "idle", "failed": "idle", "ended": "ended"}
    return states.get(hooked.event, "active")


def _doing(hooked: Hooked) -> str:
    if hooked.event == "before tool":
        return clean_line(" ".join((hooked.tool, *hooked.paths[:1])), 120)
    return {"started": "session started", "asked": "thinking", "stopping": "waiting for its person"}.get(
        hooked.event, ""
    )


# ---- event by event ----


def _started(call: Call) -> None:
    memory, answer, coord = call.kept.memory, call.answer, call.coord
    sessions.sweep(coord)
    editnotes.sweep(coord)
    if call.hooked.source != "resume":  # what was handed over is no longer before the model's eyes
        memory.handed = []
    memory.introduced = False
    if not call.agent:
        _introduce(call)
        return
    with tried(answer, "write the restore brief"):
        brief = checkpoints.restore(coord, budget=coord.config.hooks.brief)
        head = f"coord: you are {call.agent}, one of several agents in this repository. Where you stand:"
        answer.context.append(f"{head}\n{brief.text}")
        ids = [message.id for message in handing.new(coord, call.agent, memory.handed)]
        _deliver(call, handing.shown(brief.text, ids))


def _asked(call: Call) -> None:
    call.kept.memory.in_a_row = 0
    _hand_over(call)


def _before_tool(call: Call) -> None:
    if call.hooked.shell and not call.answer.refusal:
        with tried(call.answer, "look at what others have leased"):
            trespass.look(call.coord, call.agent, call.kept.memory)


def _after_tool(call: Call) -> None:
    if call.hooked.shell:
        with tried(call.answer, "look for changes under others' leases"):
            memory = call.kept.memory
            if found := trespass.look(call.coord, call.agent, memory):
                call.answer.context.append(trespass.told(found))
                trespass.tell_holders(call.coord, call.agent, found, memory)
    if not call.hooked.subagent:  # its words would end in a memory that its agent never sees
        _hand_over(call)


def _stopping(call: Call) -> None:
    if call.agent:
        with tried(call.answer, "look for pressing mail"):
            found = holding.held_up(call.coord, call.agent, call.kept.memory, again=call.hooked.stopping_again)
            if call.woken and not found.text:  # it was told that there is mail, and called no hook to show it
                found = _new(call)
            if found.text:
                call.answer.goes_on = found.text
                call.kept.session = replace(call.kept.session, state="active")
                _deliver(call, found.ids)


def _compacting(call: Call) -> None:
    kept = call.kept
    since = call.coord.now().timestamp() - max(kept.memory.saved_at, kept.session.since.timestamp())
    if call.hooked.client == "gemini" and call.hooked.source != "manual" and since < _OFTEN:
        return
    _checkpoint(call, "a compaction of its memory")


def _ended(call: Call) -> None:
    waiters.dismiss(call.coord, call.kept.session)
    _checkpoint(call, "the end of a session")


_EVENTS: Mapping[Event, Callable[[Call], None]] = {
    "started": _started,
    "asked": _asked,
    "before tool": _before_tool,
    "after tool": _after_tool,
    "stopping": _stopping,
    "failed": lambda _call: None,  # its state says it
    "compacting": _compacting,
    "ended": _ended,
}


def _hand_over(call: Call) -> None:
    if not call.agent:
        _introduce(call)
        return
    with tried(call.answer, "hand mail over"):
        if (page := _new(call)).text:
            call.answer.context.append(page.text)
            _deliver(call, page.ids)


def _new(call: Call) -> Handing:
    found = handing.new(call.coord, call.agent, call.kept.memory.handed)
    if not found:
        return Handing()
    title = f"coord: {len(found)} unread message{'s' if len(found) > 1 else ''} for {call.agent}."
    return handing.page(call.coord, title, found, call.coord.config.hooks.mail)


def _deliver(call: Call, ids: tuple[str, ...]) -> None:
    """Note that messages were handed over, once the client has them; those that nobody has unread are forgotten."""

    def done() -> None:
        memory = call.kept.memory
        there = frozenset(handing.ids(call.coord, call.agent))
        memory.handed = [one for one in dict.fromkeys((*memory.handed, *ids)) if one in there]

    call.answer.delivered.append(done)


def _introduce(call: Call) -> None:
    """Say once how a session says which agent it is."""
    if call.kept.memory.introduced:
        return
    known = ", ".join(call.coord.config.everybody)
    call.answer.context.append(
        "coord: this repository is shared by several agents, and nothing says which one you are: no mail reaches you "
        "and no lease is taken for you. Ask your person to start you in an agent's worktree, or with COORD_AGENT=NAME; "
        f"known: {known}{call.coord.config.lack}. Until then give --as NAME to coord's commands."
    )

    def done() -> None:
        call.kept.memory.introduced = True

    call.answer.delivered.append(done)


def _checkpoint(call: Call, when: str) -> None:
    if call.agent:
        with tried(call.answer, "save a checkpoint"):
            parting.save(call.coord, call.agent, call.kept, when)


@contextmanager
def tried(answer: Answer, doing: str) -> Iterator[None]:
    """Tell of a fault inside, and go on."""
    try:
        yield
    except CoordError as fault:
        answer.faults.append(f"could not {doing}: {said(fault)}")
    except Exception as fault:
        answer.faults.append(f"could not {doing}: {type(fault).__name__}: {clean_line(str(fault), 200)}")


def said(fault: CoordError) -> str:
    """Return a fault and its next step on one line."""
    hint = f"; next: {fault.hint}" if fault.hint else ""
    return clean_line(f"{fault.message}{hint}", 500)
