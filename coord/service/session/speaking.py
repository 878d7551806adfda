"""Whose session a caller belongs to that names nobody: assistants pass on little of what they were started with.

A session's file (see `sessions.py`) is its token: its hook writes it when the session begins, for its owner's
eyes alone, with the agent that it is, its client's own name for it, and the client's process. A caller is of
the session that its client names, else of the one whose process it was started by.
"""

from coord.model.values import frozen
from coord.service.coord import Coord
from coord.service.session import sessions


@frozen
class Origin:
    """Where a caller comes from: what its client calls the session, best word first, and the processes above it."""

    sessions: tuple[str, ...] = ()
    above: tuple[int, ...] = ()


NOWHERE = Origin()


def agent(coord: Coord, origin: Origin) -> str:
    """Return the agent of the caller's session, or "" where no session that goes on is its own."""
    found = sessions.going_on(coord) if origin.sessions or origin.above else []
    named = [one for word in origin.sessions for one in found if one.id == word]
    started_by = [one for pid in origin.above for one in found if one.process and one.process.pid == pid]
    return next((one.agent for one in (*named, *started_by) if one.agent in coord.config.everybody), "")
