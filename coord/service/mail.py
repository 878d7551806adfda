"""Mail: send, list, read, ack, reply, thread, show, wait."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Annotated

from coord.model import codec, keys, mailboxes, quoting, times
from coord.model.errors import BadRecord, HoldsSecret, Refused, TimedOut, UnknownAgent, Usage
from coord.model.records import Ack, Change, Kind, Message, Priority
from coord.model.values import frozen
from coord.service import delivery, letters
from coord.service.byhand import adopt, handwritten
from coord.service.command import Prose, command, shown
from coord.service.coord import Coord

_POLL = 1.0
_FIRST, _ALL = 100, 1 << 30


@frozen
class Sent:
    """What sending did: the message, the mailboxes it is in, and why `auto` chose them."""

    message: Message
    delivered: tuple[str, ...]
    why: str = ""
    duplicate: bool = False


@frozen
class Listing:
    """Messages of a mailbox, oldest first, and how many there are in all."""

    mailbox: str
    unread: int
    items: tuple[letters.Item, ...]
    left_out: int = 0


@frozen
class ReadMail:
    """Messages as they were read, whole, and how many wait still."""

    mailbox: str
    unread: int
    items: tuple[letters.Item, ...]
    left_out: int = 0


@frozen
class Thread:
    """A conversation, oldest first."""

    id: str
    messages: tuple[Message, ...]


@command("mail send", writes=True, example='coord mail send frontend "getChefProfile now uses the Customers sheet"')
def send(
    coord: Coord,
    to: Annotated[tuple[str, ...], "agents, @group, all, owner or auto; several with commas…"],
    body: Annotated[Prose, "the message; - reads standard input"],
    *,
    subject: Annotated[str, "one line; default: the body's first"] = "",
    kind: Annotated[Kind, "what it is"] = "note",
    priority: Annotated[Priority, "how urgent it is"] = "normal",
    ack: Annotated[Ack, "whether an acknowledgement is wanted or required"] = "none",
    expires: Annotated[timedelta | None, "retire it unread after this long"] = None,
    ref: Annotated[tuple[str, ...], "what it is about: path:..., commit:..., task:...; repeatable"] = (),
    cause: Annotated[tuple[str, ...], "ids of the messages that led to it; repeatable"] = (),
    key: Annotated[str, "idempotency key: the same key from the same sender is sent once"] = "",
) -> Sent:
    """Send a message.

    When this returns the message is durable in every mailbox it reaches. `auto` lets
    coord choose by paths, domains, words, presence and load, and says why.

    Raises:
        UnknownAgent: an address is nobody's; nothing was sent.
    """
    sender = coord.me()
    delivery.check_body(body, "mail send")
    message = Message(
        id="",
        sender=sender,
        to=tuple(address.strip().lower() for address in to),
        subject=delivery.subject_of(subject, body),
        body=body,
        sent_at=coord.now(),
        kind=kind,
        priority=priority,
        ack=ack,
        expires_at=coord.now() + expires if expires is not None else None,
        refs=ref,
        cause=cause,
    )
    return post(coord, message, key=key)


def post(coord: Coord, message: Message, *, key: str = "") -> Sent:
    """Deliver a composed message (its id and thread are filled in), once per idempotency key."""
    if not key:
        return _post(coord, message, coord.new_id())
    with coord.exclusive("keyed-mail"):
        identifier, suffix = delivery.keyed_id(coord, message.sender, key)
        if (earlier := _keyed(coord, suffix)) is not None:
            return earlier
        return _post(coord, message, identifier)


def _keyed(coord: Coord, suffix: str) -> Sent | None:
    coord.committer.settle()
    coord.index.sync()
    for _, blob in coord.index.messages_ending(suffix):
        message = codec.decode_message(coord.index.content(blob), "ledger")
        held = tuple(item.mailbox for item in letters.everywhere(coord, message.id))
        return Sent(message, held, duplicate=True)
    return None


def _post(coord: Coord, message: Message, identifier: str) -> Sent:
    message = replace(message, id=identifier, thread=message.thread or identifier)
    found = delivery.route(coord, message, message.to)
    if found.unknown:
        raise unknown(coord, found)
    if not found.mailboxes:
        raise Usage(
            f"{', '.join(message.to)} reaches nobody",
            hint=f"a group or `all` never includes its own sender{coord.config.lack}",
        )
    coord.record(delivery.sent(coord, "mail.sent", message, found))
    return Sent(message, found.mailboxes, found.why)


def unknown(coord: Coord, found: "delivery.Route") -> UnknownAgent:
    """Make the error for addresses that nobody has, with the names they may have meant."""
    config = coord.config
    near = {
        name: mailboxes.nearest(name, agents=config.names, groups=tuple(delivery.groups(coord)))
        for name in found.unknown
    }
    guesses = "; ".join(f"{name}: did you mean {' or '.join(close)}?" for name, close in near.items() if close)
    known = ", ".join((*config.names, mailboxes.OWNER))
    return UnknownAgent(
        f"nobody here is called {', '.join(found.unknown)}; nothing was sent",
        hint=guesses or f"known: {known}",
        unknown=found.unknown,
        nearest=[name for close in near.values() for name in close],
    )


@command("mail list", example="coord mail list --as frontend")
def list_(
    coord: Coord,
    *,
    mailbox_: Annotated[str, "whose; default: your own"] = "",
    read: Annotated[bool, "also what was read"] = False,
    limit: Annotated[int, "at most this many, oldest first"] = _FIRST,
) -> Listing:
    """List the messages that wait for you. Looking never consumes.

    Raises:
        Corrupt: the mailbox is gone, or a link: what waits in it cannot be told.
    """
    most, name = shown(limit), _mailbox(coord, mailbox_)
    letters.require(coord, name)
    _take_in(coord, (name, *keys.SHARED_MAILBOXES))
    found = letters.keys_of(coord, name)
    unread = [key for key in found if not keys.is_read(key)]
    wanted = sorted(found, key=lambda key: keys.id_in(key) or "") if read else unread
    chosen = wanted[:most]
    return Listing(name, len(unread), tuple(letters.items(coord, name, chosen)), len(wanted) - len(chosen))


@command("mail read", writes=True, example="coord mail read")
def read(
    coord: Coord,
    which: Annotated[tuple[str, ...], "ids or parts of ids; default: all that is unread"] = (),
    *,
    limit: Annotated[int, "at most this many"] = 20,
) -> ReadMail:
    """Read mail: return it and mark it read.

    What asks for a required acknowledgement stays unread until `coord mail ack`.

    Raises:
        Corrupt: the mailbox is gone, or a link: what waits in it cannot be told.
    """
    most, name = shown(limit), coord.me()
    letters.require(coord, name)
    _take_in(coord, (name, *keys.SHARED_MAILBOXES))
    unread = [key for key in letters.keys_of(coord, name) if not keys.is_read(key)]
    chosen = [letters.one_of(unread, part, name) for part in which] if which else unread[:most]
    items = tuple(letters.items(coord, name, chosen))
    for item in items:
        if item.message.ack != "required":
            with suppress(HoldsSecret):  # written by hand: it can be read, and stays out of the ledger
                _move(coord, name, item, "mail.read")
    left = sum(not keys.is_read(key) for key in letters.keys_of(coord, name))
    return ReadMail(name, left, items, len(unread) - len(items))


@command("mail ack", writes=True, example="coord mail ack 01KAJ3X5")
def ack(
    coord: Coord,
    which: Annotated[tuple[str, ...], "ids or parts of ids"],
) -> Listing:
    """Acknowledge messages: they move to `read/`, and the ledger says who acknowledged and when.

    Acknowledging twice is harmless.
    """
    name = coord.me()
    _take_in(coord, (name,))
    everything = letters.keys_of(coord, name)
    items = tuple(letters.items(coord, name, [letters.one_of(everything, part, name) for part in which]))
    for item in items:
        if item.unread:
            _move(coord, name, item, "mail.acked")
    return Listing(name, sum(not keys.is_read(key) for key in letters.keys_of(coord, name)), items)


def _move(coord: Coord, name: str, item: letters.Item, kind: str) -> None:
    with coord.exclusive(f"mailbox-{name}"):
        stored = coord.store.get(item.key)
        if stored is None:
            return
        changes = (Change(keys.as_read(item.key), _as_shown(item, stored.data)), Change(item.key, None))
        subject = f"{name} <- {item.message.sender}: {item.message.subject}"
        coord.record(coord.event(kind, subject, changes, agent=name, cause=(item.message.id,)))


def _as_shown(item: letters.Item, data: bytes) -> bytes:
    """Return what a message is kept as: with the mark that it was shown with, where it has none and can be read."""
    if item.message.extra.get(quoting.WRITTEN) != quoting.BY_HAND:
        return data
    try:
        message = codec.decode_message(data, item.key)
    except BadRecord:
        return data
    marked = letters.as_by_hand(message)
    return data if marked == message else codec.encode(marked)


@command("mail reply", writes=True, example='coord mail reply 01KAJ3X5 "done, see commit 1a2b3c4"')
def reply(
    coord: Coord,
    which: Annotated[str, "id or part of the id answered"],
    body: Annotated[Prose, "the answer; - reads standard input"],
    *,
    kind: Annotated[Kind, "what it is"] = "answer",
    priority: Annotated[Priority, "how urgent it is"] = "normal",
    everyone: Annotated[bool, "to all who got the message, not its sender alone"] = False,
    key: Annotated[str, "idempotency key: the same key from the same sender is sent once"] = "",
) -> Sent:
    """Answer a message in its thread, and acknowledge it."""
    sender = coord.me()
    delivery.check_body(body, "mail reply")
    original = letters.find(coord, which).message
    if original.sender not in (*coord.config.names, mailboxes.OWNER):
        raise Refused(
            f"nobody reads mail to {original.sender}, who sent it",
            hint=f"write to somebody else with `coord mail send`, or take note of it with `coord mail ack {which}`",
        )
    to = [original.sender] if original.sender != sender else list(original.to)
    if everyone:
        to = [name for name in dict.fromkeys((original.sender, *original.to)) if name != sender]
    subject = original.subject if original.subject.lower().startswith("re: ") else f"Re: {original.subject}"
    answer = Message(
        id="",
        sender=sender,
        to=tuple(to),
        subject=delivery.subject_of(subject, body),
        body=body,
        sent_at=coord.now(),
        kind=kind,
        priority=priority,
        thread=original.thread or original.id,
        reply_to=original.id,
        cause=(original.id,),
    )
    sent = post(coord, answer, key=key)
    for item in letters.everywhere(coord, original.id):
        if item.mailbox == sender and item.unread:
            _move(coord, sender, item, "mail.acked")
    return sent


@command("mail show", example="coord mail show 01KAJ3X5")
def show(coord: Coord, which: Annotated[str, "id, or its beginning or end"]) -> letters.Shown:
    """Show one message, also when only the ledger still has it. Looking never consumes."""
    return letters.find(coord, which)


@command("mail thread", example="coord mail thread 01KAJ3X5")
def thread(coord: Coord, which: Annotated[str, "id of any message in it"]) -> Thread:
    """Show a conversation from its first message on, what was retired included."""
    root = letters.find(coord, which).message
    identifier = root.thread or root.id
    index = coord.indexed()
    found = {root.id: root}
    for one, blob in index.thread(identifier):
        if one not in found:
            found[one] = codec.decode_message(index.content(blob), one)
    return Thread(identifier, tuple(found[one] for one in sorted(found)))


@command("mail wait", example="coord mail wait --timeout 10m")
def wait(
    coord: Coord,
    *,
    timeout: Annotated[timedelta, "give up after this long"] = timedelta(minutes=10),
    from_: Annotated[str, "only mail from this sender counts"] = "",
    thread: Annotated[str, "only mail in this thread counts"] = "",
) -> Listing:
    """Block until there is unread mail, and list it. Looking never consumes.

    Raises:
        TimedOut: none came in time.
    """
    name = coord.me()
    deadline = coord.clock.monotonic() + timeout.total_seconds()
    coord.settle()
    with coord.store.watch(keys.mailbox(name)) as bell:
        while True:
            listing = list_(coord, mailbox_=name, limit=_ALL if from_ or thread else _FIRST)
            chosen = tuple(item for item in listing.items if _counts(item.message, from_, thread))
            if chosen:
                return replace(listing, items=chosen)
            left = deadline - coord.clock.monotonic()
            if left <= 0:
                raise TimedOut(
                    f"no mail for {name} in {times.format_duration(timeout)}",
                    hint="wait longer with --timeout",
                )
            # The bell tells of mail sent by command at once; files written by hand
            # without a daemon ring nothing, so look from time to time all the same.
            bell.wait(min(left, _POLL))


def _take_in(coord: Coord, names: tuple[str, ...]) -> None:
    if handwritten.waiting(coord, names):  # what adopts is loaded only where there is something to
        adopt.adopt_waiting(coord, names)


def _counts(message: Message, sender: str, thread: str) -> bool:
    return (not sender or message.sender == sender.lower()) and (not thread or message.thread.endswith(thread.upper()))


def _mailbox(coord: Coord, name: str) -> str:
    if not name:
        return coord.me()
    lowered = name.strip().lower()
    return lowered if lowered in keys.SHARED_MAILBOXES else coord.known(lowered)
