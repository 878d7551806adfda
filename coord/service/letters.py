"""Looking into mailboxes: what lies where, and finding a message by a part of its id."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

from coord.model import codec, ids, keys, mailboxes, quoting
from coord.model.errors import BadRecord, Corrupt, NotFound
from coord.model.records import Message
from coord.model.values import frozen
from coord.service import named
from coord.service.byhand import provenance
from coord.service.coord import Coord


@frozen
class Item:
    """A message in somebody's mailbox."""

    message: Message
    mailbox: str
    unread: bool
    key: str


@frozen
class Shown:
    """One message wherever it is: who still has it unread, who has read it, and whether only the ledger has it."""

    message: Message
    unread_by: tuple[str, ...] = ()
    read_by: tuple[str, ...] = ()
    retired: bool = False


def find(coord: Coord, part: str) -> Shown:
    """Find a message by its id or an unambiguous beginning or end of it: live ones first, then the ledger's.

    Raises:
        NotFound: no message has such an id.
        Usage: several have.
    """
    live = everywhere(coord, part)
    if live:
        named.same((item.message.id for item in live), part, "message")
        return Shown(
            live[0].message,
            tuple(item.mailbox for item in live if item.unread),
            tuple(item.mailbox for item in live if not item.unread),
        )
    found = coord.indexed().find_message(part.strip().upper())
    if not found:
        raise NotFound(
            f"no message has the id {part!r}", hint="see `coord mail list --read` and `coord log --kind mail`"
        )
    named.same((identifier for identifier, _ in found), part, "message")
    identifier, blob = found[0]
    return Shown(codec.decode_message(coord.index.content(blob), identifier), retired=True)


def everywhere(coord: Coord, part: str) -> list[Item]:
    """Return every live copy of the messages whose id starts or ends with PART."""
    found: list[Item] = []
    for name in mailboxes.everyone(coord.config.names):
        found.extend(items(coord, name, named.fitting(keys_of(coord, name), part)))
    return found


def one_of(among: list[str], part: str, name: str) -> str:
    """Return the one key AMONG those of NAME's mailbox whose id starts or ends with PART."""
    found = named.fitting(among, part)
    named.same((keys.id_in(key) or "" for key in found), part, "message")
    if not found:
        raise NotFound(
            f"{name} has no message {part!r}",
            hint="see `coord mail list` (ids may be shortened to 4 characters or more)",
        )
    return found[0]


def keys_of(coord: Coord, name: str) -> list[str]:
    """Return the keys of the messages in a mailbox, read ones too."""
    return coord.records(keys.mailbox(name))


def require(coord: Coord, name: str) -> None:
    """Refuse a mailbox that cannot be looked into: an empty answer would say that nothing waits.

    One that is not there because nobody has written to NAME yet is empty indeed.

    Raises:
        Corrupt: it is gone, or a link or a file is in its place.
    """
    for folder in (keys.FOLDERS[0], keys.mailbox(name)):
        path = coord.home / folder
        if path.is_dir() and not path.is_symlink():
            continue
        there = os.path.lexists(path)
        if there or coord.indexed().live(keys.mailbox(name)):
            what = "is no real folder" if there else "is gone"
            raise Corrupt(f"{path} {what}: what waits for {name} cannot be told", hint="coord doctor --fix")


def items(coord: Coord, name: str, found: Sequence[str]) -> Iterator[Item]:
    """Read the messages at some keys of a mailbox; what is gone meanwhile is left out.

    One that hands put there as it is says so, whoever it says that it is from.
    """
    # What its owner has read, or what was retired, since the folder was listed is gone.
    there = {key: stored.data for key in found if (stored := coord.store.get(key)) is not None}
    unsent = provenance.by_hand(coord, there) if there else set()
    for key, data in there.items():
        try:
            message = codec.decode_message(data, key)
        except BadRecord as fault:
            message = _unreadable(key, fault)
        yield Item(as_by_hand(message) if key in unsent else message, name, not keys.is_read(key), key)


def as_by_hand(message: Message) -> Message:
    """Return a message that says of itself that no command sent it."""
    return replace(message, extra={**message.extra, quoting.WRITTEN: quoting.BY_HAND})


def _unreadable(key: str, fault: BadRecord) -> Message:
    """Stand in for a record that was damaged by hand, so that one bad file does not hide the others."""
    identifier = keys.id_in(key) or ""
    return Message(
        id=identifier,
        sender="unknown",
        to=(),
        subject=f"(unreadable: {fault.message})",
        body=f"{key} cannot be read: {fault.message}\n",
        sent_at=ids.time_of(identifier),
        thread=identifier,
    )
