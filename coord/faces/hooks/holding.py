"""At a stop: go on while pressing mail is unread, as often as the client allows, and never for ever."""

from coord.service.coord import Coord
from coord.service.session import handing
from coord.service.session.handing import Handing
from coord.service.session.sessions import Memory

MOST = 8
_BUDGET = 1_500


def held_up(coord: Coord, agent: str, memory: Memory, *, again: bool) -> Handing:
    """Return the pressing mail for which AGENT goes on, or nothing where it may stop.

    AGAIN tells that it goes on for a hook already: the client ends that after MOST times in a row.
    Nor is it held up more often than that, stop after stop, while it reads none of what presses.
    """
    found = handing.pressing(coord, agent)
    ids = [message.id for message in found]
    if not set(memory.pressing) <= set(ids):
        memory.held_up = 0  # some of it was dealt with
    elif not set(ids) <= set(memory.pressing):
        memory.held_up = min(memory.held_up, MOST - 1)  # what is new holds it up once at least
    memory.in_a_row = memory.in_a_row if again else 0
    memory.pressing = ids
    if not found:
        memory.held_up = 0
        return Handing()
    if memory.held_up >= MOST or memory.in_a_row >= MOST:
        return Handing()
    memory.held_up += 1
    memory.in_a_row += 1
    title = f"coord: before you stop, {len(found)} pressing for {agent}: read each, and acknowledge what asks for it."
    return handing.page(coord, title, found, _BUDGET)
