"""What an assistant may look at without calling a tool: mailboxes, leases, and what happened last."""

from collections.abc import Callable, Mapping
from typing import Any

from coord.faces.mcp.calls import Caller, text_of
from coord.model.codec import to_plain
from coord.model.errors import NotFound
from coord.model.values import frozen
from coord.service import commands
from coord.service.coord import Coord

INBOX = "inbox://"
TEMPLATE = f"{INBOX}{{agent}}"
_LATEST = 20


@frozen
class Resource:
    """One thing to look at."""

    uri: str
    name: str
    about: str


def listed(caller: Caller) -> tuple[Resource, ...]:
    """Return all there is: the same for whoever asks."""
    boxes = (Resource(f"{INBOX}{name}", f"mail of {name}", f"what waits unread for {name}") for name in agents(caller))
    return (
        *boxes,
        Resource("locks://", "leases", "who holds which files, until when, and who waits"),
        Resource("ledger://recent", "recent events", f"the last {_LATEST} things that happened here"),
    )


def agents(caller: Caller) -> tuple[str, ...]:
    """Return everybody who has a mailbox here."""
    with Coord.open(caller.cwd) as coord:
        return tuple(coord.config.everybody)


def read(caller: Caller, uri: str) -> str:
    """Return what is at URI as text, in which others' words are quoted; looking consumes nothing.

    Raises:
        NotFound: there is nothing of that name.
    """
    with Coord.open(caller.cwd, who=caller.who) as coord:
        return text_of(_look(coord, uri)) + "\n"


def state(caller: Caller, uri: str) -> object:
    """Return something that differs where what is at URI does."""
    with Coord.open(caller.cwd, who=caller.who) as coord:
        found = _look(coord, uri)
    events = getattr(found, "events", None)
    return events[0].id if events else to_plain(found)  # the age of events is in them, so their newest stands for them


def _look(coord: Coord, uri: str) -> Any:
    if uri.startswith(INBOX):
        return commands.find("mail list")(coord, mailbox_=uri.removeprefix(INBOX).rstrip("/"))
    found = _PLACES.get(uri)
    if found is None:
        raise NotFound(f"there is no resource {uri!r}", hint=f"{TEMPLATE}, {', '.join(_PLACES)}")
    return found(coord)


_PLACES: Mapping[str, Callable[[Coord], Any]] = {
    "locks://": lambda coord: commands.find("lock list")(coord),  # noqa: PLW0108 - finding it loads its module
    "ledger://recent": lambda coord: commands.find("log")(coord, limit=_LATEST),
}
