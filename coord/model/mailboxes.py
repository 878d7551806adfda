"""Which mailboxes an envelope reaches."""

import difflib
from collections.abc import Collection, Iterable, Mapping

from coord.model import keys
from coord.model.values import frozen

OWNER = "owner"
ALL = "all"
AUTO = "auto"


@frozen
class Reach:
    """Where an envelope goes: mailboxes in the order they were named, and the addresses nobody has."""

    mailboxes: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    undecided: bool = False


def reach(
    addresses: Iterable[str], *, agents: Collection[str], groups: Mapping[str, Collection[str]], sender: str
) -> Reach:
    """Resolve addresses to mailboxes.

    `all` is every agent but the sender, `@group` its members but the sender, `owner` the
    person; `auto` leaves the choice open (`undecided`). Nobody gets two copies. A sender who
    names himself by name does get his own: a note to one's next session is mail.
    """
    found: dict[str, None] = {}
    unknown: list[str] = []
    undecided = False
    for address in addresses:
        name = address.strip().lower()
        if name == AUTO:
            undecided = True
        elif name == ALL:
            found.update(dict.fromkeys(agent for agent in agents if agent != sender))
        elif name.startswith("@") and name[1:] in groups:
            found.update(dict.fromkeys(agent for agent in groups[name[1:]] if agent != sender))
        elif name == OWNER or name in agents:
            found[name] = None
        else:
            unknown.append(address)
    return Reach(tuple(found), tuple(unknown), undecided)


def nearest(address: str, *, agents: Collection[str], groups: Collection[str]) -> tuple[str, ...]:
    """Return up to three addresses that the writer may have meant, nearest first."""
    known = [*agents, *(f"@{group}" for group in groups), OWNER, ALL, AUTO]
    return tuple(difflib.get_close_matches(address.strip().lower(), known, n=3, cutoff=0.5))


def everyone(agents: Iterable[str]) -> tuple[str, ...]:
    """Return every mailbox that a repository with these agents has, shared ones last."""
    return (*agents, OWNER, *keys.SHARED_MAILBOXES)
