"""The process that waits beside a session to wake it: at most one, the newest; none once the session is over.

A file beside the session's names it, by pid, start time and boot: whoever finds another name there leaves.
"""

from contextlib import suppress

from coord.model import keys
from coord.model.records import Process
from coord.service.coord import Coord
from coord.service.session import sessions
from coord.service.session.sessions import Session
from coord.stores import durable, folders, oslock

_LARGEST = 4096


def name(pid: int) -> str:
    """Return what names the process PID in the file, or "" where it is gone."""
    found = oslock.process_of(pid)
    return f"{found.pid} {found.started_at} {found.boot}" if found else ""


def enter(coord: Coord, session: Session, agent: str, waiter: str) -> None:
    """Let a waiter take the place of the one before it, which is told.

    Raises:
        Unavailable: the file cannot be written.
    """
    path = sessions.waiter_file(coord, session)
    with durable.faults(f"keep {path}"):
        durable.replace(path, waiter.encode(), sync=False)
    coord.bells.ring(bell(agent))


def is_newest(coord: Coord, session: Session, waiter: str) -> bool:
    """Tell whether a waiter still has the place."""
    return bool(waiter) and _named(coord, session) == waiter


def is_waiting(coord: Coord, session: Session) -> bool:
    """Tell whether somebody who lives waits beside a session."""
    match _named(coord, session).split(" "):
        case [pid, started_at, boot] if pid.isdecimal():
            return oslock.is_alive(Process(pid=int(pid), started_at=started_at, boot=boot)) is True
    return False


def dismiss(coord: Coord, session: Session) -> None:
    """Send away whoever waits beside a session: it is over."""
    with suppress(OSError):
        sessions.waiter_file(coord, session).unlink()
        coord.bells.ring(bell(session.agent))


def bell(agent: str) -> str:
    """Return the bell that rings at every delivery to an agent."""
    return f"keys/{keys.mailbox(agent)}"


def _named(coord: Coord, session: Session) -> str:
    try:
        return folders.regular(sessions.waiter_file(coord, session), _LARGEST).decode(errors="replace")
    except OSError:
        return ""
