"""When an idle session is woken, and how one knows that it was.

A wake-up carries no mail, only a constant text. It makes the client ask its model, and the hook that the
client calls then hands over what is new, once, as ever: a wake-up that is lost, or comes twice, loses no
mail and doubles none.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from coord.model import backoff
from coord.model.records import Message
from coord.service.coord import Coord
from coord.service.session import handing
from coord.service.session.sessions import Kept, Session, Wake

NOTICE = "coord: you have unread mail. If it is not shown beside this, call check_messages."
_FIRST, _LONGEST = timedelta(minutes=1), timedelta(hours=1)  # until one that nothing came of is tried again


def due(coord: Coord, agent: str, kept: Kept) -> tuple[Message, ...]:
    """Return the mail for which a session is to be woken now; none while it works, or was just called for the same."""
    if kept.session.state != "idle":
        return ()
    found = tuple(message for message in handing.new(coord, agent, kept.memory.handed) if _is_worth_it(coord, message))
    wake = kept.session.wake
    if wake is not None and {message.id for message in found} <= set(wake.ids):
        return () if is_patient(kept.session, coord.now()) else found
    return found


def is_called(session: Session) -> bool:
    """Tell whether a session was called, and nothing shows yet that it woke."""
    return session.wake is not None and session.wake.seen_at is None


def is_patient(session: Session, now: datetime) -> bool:
    """Tell whether a session was called so lately that it may still wake of it."""
    wake = session.wake
    if wake is None or wake.seen_at is not None:
        return False
    patience: timedelta = backoff.pause(wake.tries, _FIRST, _LONGEST)
    return now - wake.at < patience


def called(session: Session, way: str, found: tuple[Message, ...], now: datetime) -> Session:
    """Return the session as it is once it was called by a way, for mail that was FOUND."""
    ids = tuple(message.id for message in found)
    before = session.wake
    again = before is not None and before.seen_at is None and set(ids) <= set(before.ids)
    since = max(session.seen_at, min(message.sent_at for message in found))
    tries = before.tries + 1 if before is not None and again else 1
    return replace(session, wake=Wake(way=way, ids=ids, since=since, at=now, tries=tries))


def seen(session: Session, now: datetime, *, asked: str | None, goes_on: bool) -> Wake | None:
    """Return the wake-up that a hook shows to have worked, or None.

    ASKED is the prompt, where the hook is a prompt's: a wake-up's own text is in it. In clients that
    call no hook for it, one that GOES_ON without a prompt while it was idle was woken.
    """
    wake = session.wake
    if wake is None or wake.seen_at is not None:
        return None
    worked = NOTICE in asked if asked is not None else goes_on and session.state == "idle"
    return replace(wake, seen_at=now) if worked else None


def record(coord: Coord, agent: str, session: Session, wake: Wake) -> None:
    """Record that a session was woken, which way, and after how long."""
    seconds = ((wake.seen_at or wake.at) - wake.since).total_seconds()
    subject = f"{agent} woken by {wake.way} after {seconds:.1f} s"
    event = coord.event(
        "session.woken",
        subject,
        agent=agent,
        cause=wake.ids,
        way=wake.way,
        seconds=f"{seconds:.3f}",
        client=session.client,
        session=session.id[:80],
    )
    coord.record(event)


def _is_worth_it(coord: Coord, message: Message) -> bool:
    return coord.config.hooks.wake == "all" or (coord.config.hooks.wake == "pressing" and handing.presses(message))
