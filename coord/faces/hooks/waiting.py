"""What coord answers the process that waits beside a session: leave, go on waiting, or wake it.

A monitor runs beside the client, for whatever session that has. It yields where a waiter stands, and where one
may be about to come: so that a session is woken one way at a time.
"""

from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial

from coord.faces.hooks.answer import Caller
from coord.faces.hooks.dialect import Answer
from coord.faces.hooks.payload import Hooked
from coord.model import keys
from coord.model.records import Message
from coord.service.session import sessions
from coord.service.session.callers import Called
from coord.service.session.sessions import Kept
from coord.service.wake import waiters, waking

WAY, MONITOR = "stop hook", "monitor"
_PATIENCE = 5.0
_COMES_WITHIN = timedelta(seconds=5)  # a waiter, after the stop that it follows


def of(hooked: Hooked, coord: Called, caller: Caller) -> tuple[Answer, ExitStack]:
    """Return the answer to a waiter or a monitor, and what must be closed once it has it, or never will."""
    what, _, pid = caller.waits.partition(" ")
    if what in ("beside", "instead"):
        return _monitored(hooked, coord, caller, what)
    return _waited(hooked, coord, caller, what, waiters.name(int(pid)))


def _waited(hooked: Hooked, coord: Called, caller: Caller, what: str, waiter: str) -> tuple[Answer, ExitStack]:
    """Answer a waiter; a new one takes the place of the one before."""
    answer = Answer()
    known = sessions.find(coord, hooked.client, hooked.session)
    agent = coord.become(caller.named, known.agent if known else "")
    if not agent or not hooked.session or hooked.event not in ("started", "stopping"):
        return answer, ExitStack()
    with ExitStack() as unfinished:
        unfinished.enter_context(coord)
        kept = unfinished.enter_context(sessions.opened(coord, hooked.client, hooked.session, timeout=_PATIENCE))
        client = sessions.client_process(caller.parent)
        if what == "new" and not sessions.is_there(kept.session):
            kept.session = replace(kept.session, process=client)
        if coord.config.hooks.wake == "off" or not (waiter and client) or client != kept.session.process:
            return answer, unfinished.pop_all()
        if what == "new":
            waiters.enter(coord, kept.session, agent, waiter)
        elif not waiters.is_newest(coord, kept.session, waiter):
            return answer, unfinished.pop_all()
        found = waking.due(coord, agent, kept)
        if found and what != "new":
            _wake(answer, coord, kept, found, WAY)
        else:
            place = (str(sessions.waiter_file(coord, kept.session)), waiter)
            answer.waits = (*place, *_where(coord, agent), str(client.pid), "again" if _at_work(kept) else "")
        return answer, unfinished.pop_all()


def _monitored(hooked: Hooked, coord: Called, caller: Caller, what: str) -> tuple[Answer, ExitStack]:
    """Answer a monitor: its client's process tells which session it is beside, another one after each `/clear`."""
    answer = Answer()
    client = sessions.client_process(caller.parent)
    known = next(
        (one for one in sessions.going_on(coord) if (one.client, one.process) == (hooked.client, client)), None
    )
    agent = coord.become(caller.named, known.agent if known else "")
    if not agent or client is None or coord.config.hooks.wake == "off":
        return answer, ExitStack()
    with ExitStack() as unfinished:
        unfinished.enter_context(coord)
        again = True
        if known is not None:
            kept = unfinished.enter_context(sessions.opened(coord, hooked.client, known.id, timeout=_PATIENCE))
            found = waking.due(coord, agent, kept)
            settled = coord.now() - kept.session.seen_at > _COMES_WITHIN
            if found and what == "instead" and settled and not waiters.is_waiting(coord, kept.session):
                _wake(answer, coord, kept, found, MONITOR)
                return answer, unfinished.pop_all()
            again = bool(found) or _at_work(kept)
        answer.waits = ("", "", *_where(coord, agent), str(client.pid), "again" if again else "")
        return answer, unfinished.pop_all()


def _at_work(kept: Kept) -> bool:
    return kept.session.state != "idle" or waking.is_called(kept.session)


def _where(coord: Called, agent: str) -> tuple[str, str]:
    """Return the bell that rings at what comes, and where that then is."""
    return coord.bells.folder(waiters.bell(agent)), f"{coord.home}/{keys.mailbox(agent)}"


def _wake(answer: Answer, coord: Called, kept: Kept, found: tuple[Message, ...], way: str) -> None:
    answer.wakes = waking.NOTICE
    answer.delivered.append(partial(_called, coord, kept, found, way))


def _called(coord: Called, kept: Kept, found: tuple[Message, ...], way: str) -> None:
    kept.session = waking.called(kept.session, way, found, coord.now())
