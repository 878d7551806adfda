"""What a request that is asked again did the first time, when its answer was lost with the server that gave it."""

from dataclasses import replace
from datetime import UTC, datetime

from coord.faces.mcp.tools import Tool
from coord.model import times
from coord.model.errors import CoordError
from coord.service import history, letters, mail
from coord.service.coord import Coord

_MOST = 200


def completed(coord: Coord, tool: Tool, result: object, since: float) -> object:
    """Return RESULT with the messages that were marked as read since SINCE: nobody has seen them."""
    if tool.command.name != "mail read" or not isinstance(result, mail.ReadMail):
        return result
    name = coord.me()
    moment = times.format_time(datetime.fromtimestamp(since, UTC))
    events = history.log(coord, agent=name, kind="mail.read", since=moment, limit=_MOST).events
    seen = {item.message.id for item in result.items}
    lost = dict.fromkeys(one for event in reversed(events) for one in event.cause if one not in seen)
    copies = (item for one in lost for item in letters.everywhere(coord, one) if item.mailbox == name)
    return replace(result, items=(*copies, *result.items))


def warned(fault: CoordError) -> CoordError:
    """Add to an error that its cause may be that the first asking succeeded."""
    fault.hint = f"{fault.hint}; the connection broke meanwhile: what was asked may be done already, so look first"
    return fault
