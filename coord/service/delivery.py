"""Putting a message where it belongs, in one event: shared by sending, adopting and coord's own notices."""

import hashlib
from collections.abc import Sequence
from datetime import timedelta

from coord.model import codec, ids, keys, mailboxes, routing, secrets
from coord.model.errors import Usage
from coord.model.records import Ack, Change, Event, Kind, Message, Priority
from coord.model.untrusted import clean_line
from coord.model.values import frozen
from coord.service.coord import Coord

COORD = "coord"
BODY_LIMIT = 256 * 1024
_AWAKE_WITHIN = timedelta(minutes=15)


@frozen
class Route:
    """The mailboxes a message reaches, what nobody answers to, and why `auto` went where it went."""

    mailboxes: tuple[str, ...]
    unknown: tuple[str, ...]
    why: str = ""


def route(coord: Coord, message: Message, addresses: Sequence[str]) -> Route:
    """Resolve addresses, deciding `auto` from evidence; what that cannot decide goes to the coordinator."""
    config = coord.config
    found = mailboxes.reach(addresses, agents=config.names, groups=groups(coord), sender=message.sender)
    if not found.undecided or found.unknown:
        return Route(found.mailboxes, found.unknown)
    choice = routing.choose(message, candidates(coord), form=coord.form, awake_within=_AWAKE_WITHIN.total_seconds())
    chosen = choice.agent or config.coordinator
    why = choice.why if choice.agent else f"{choice.why}; {chosen} decides"
    return Route(tuple(dict.fromkeys((*found.mailboxes, chosen))), (), why)


def groups(coord: Coord) -> dict[str, tuple[str, ...]]:
    """Return the members of every group by its name."""
    return {group.name: group.members for group in coord.config.groups}


def candidates(coord: Coord) -> list[routing.Candidate]:
    """Return every agent as the router sees it now."""
    found = []
    for agent in coord.config.agents:
        seen = coord.presence.last(agent.name)
        idle = (coord.now() - seen.at).total_seconds() if seen else None
        unread = sum(not keys.is_read(key) for key in coord.records(keys.mailbox(agent.name)))
        found.append(routing.Candidate(agent.name, agent.role, agent.globs, agent.words, unread, idle))
    return found


def copies(message: Message, names: Sequence[str]) -> tuple[Change, ...]:
    """Return the byte-identical copies of a message for some mailboxes."""
    data = codec.encode(message)
    return tuple(Change(keys.message(name, message), data) for name in names)


def notice(
    coord: Coord,
    to: str,
    subject: str,
    body: str,
    *,
    kind: Kind = "note",
    priority: Priority = "normal",
    ack: Ack = "none",
    cause: Sequence[str] = (),
    refs: Sequence[str] = (),
    thread: str = "",
) -> Message:
    """Compose coord's own word to somebody; put it into an event with `copies`.

    It may quote what others wrote or a test printed; credentials in it are replaced by their rule's name.
    """
    identifier = coord.new_id()
    return Message(
        id=identifier,
        sender=COORD,
        to=(to,),
        subject=clean_line(secrets.redacted(subject), 120),
        body=secrets.redacted(body).rstrip("\n") + "\n",
        sent_at=coord.now(),
        kind=kind,
        priority=priority,
        ack=ack,
        thread=thread or identifier,
        refs=tuple(refs),
        cause=tuple(cause),
    )


def sent(coord: Coord, kind: str, message: Message, found: Route, extra: Sequence[Change] = ()) -> Event:
    """Make the event of a message reaching its mailboxes."""
    to = ", ".join(found.mailboxes if len(found.mailboxes) <= 3 else message.to)
    return coord.event(
        kind,
        f"{message.sender} -> {to}: {message.subject}",
        (*copies(message, found.mailboxes), *extra),
        agent=message.sender,
        id=message.id,
        cause=message.cause,
        why=found.why,
    )


def subject_of(subject: str, body: str) -> str:
    """Return the subject given, else the body's first line, at a length that fits a list."""
    first = next((line.strip("# \t") for line in body.splitlines() if line.strip("# \t")), "")
    return clean_line(subject or first, 120) or "(no subject)"


def check_body(body: str, where: str) -> None:
    """Refuse a body that is too large for mail.

    Raises:
        Usage: it is over 256 KiB.
    """
    size = len(body.encode("utf-8", "surrogatepass"))
    if size > BODY_LIMIT:
        raise Usage(
            f"{where}: {size:,} bytes are more than a message may have ({BODY_LIMIT:,})",
            hint="attach it by reference: put it in a file or a commit and name it with --ref path:... or commit:...",
        )


def keyed_id(coord: Coord, sender: str, key: str) -> tuple[str, str]:
    """Return an id for a message with an idempotency key, and the suffix that every such id shares.

    The key lives in the id's random part, so that whatever holds a record of the message
    (mailbox, ledger, journal) also remembers that it was sent.
    """
    entropy = hashlib.sha256(f"{sender}\0{key}".encode("utf-8", "surrogatepass")).digest()[:10]
    identifier = ids.ulid(coord.now(), entropy)
    return identifier, identifier[10:]
