"""What coord answers the process that waits beside a session: leave, go on waiting, or wake it."""

from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from coord.faces.hooks.answer import Caller
from coord.faces.hooks.dialect import Answer
from coord.faces.hooks.payload import Hooked
from coord.model import keys
from coord.model.records import Message
from coord.service import sessions, waiters, waking
from coord.service.callers import Called
from coord.service.sessions import Kept

WAY = "stop hook"
_PATIENCE = 5.0


def of(hooked: Hooked, coord: Called, caller: Caller) -> tuple[Answer, ExitStack]:
    """Return the answer to a waiter, and what must be closed once it has it, or never will.

    A new one takes the place of the one before.
    """
    answer = Answer()
    known = sessions.find(coord, hooked.client, hooked.session)
    agent = coord.become(caller.named, known.agent if known else "")
    if not agent or not hooked.session or hooked.event not in ("started", "stopping"):
        return answer, ExitStack()
    what, _, pid = caller.waits.partition(" ")
    waiter = waiters.name(int(pid))
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
            answer.wakes = waking.NOTICE
            answer.delivered.append(partial(_called, coord, kept, found))
        else:
            at_work = kept.session.state != "idle" or waking.is_called(kept.session)
            place = (str(sessions.waiter_file(coord, kept.session)), waiter, coord.bells.folder(waiters.bell(agent)))
            mailbox = f"{coord.home}/{keys.mailbox(agent)}"
            answer.waits = (*place, mailbox, str(client.pid), "again" if at_work else "")
        return answer, unfinished.pop_all()


def _called(coord: Called, kept: Kept, found: tuple[Message, ...]) -> None:
    kept.session = waking.called(kept.session, WAY, found, coord.now())
