"""Messages written by hand: take them in, fan them out, bounce or bury what cannot be delivered.

A file that an agent or a person wrote into a mailbox becomes a message: what is missing is
filled in, and it is delivered where its folder and its `to:` say. Its id is made from the
file's own time, path and content, so an adoption that was interrupted and is done again
yields the same message, not a second one.
"""

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from coord.model import codec, ids, keys, mailboxes, quoting, secrets
from coord.model.codec import Draft
from coord.model.errors import BadRecord, HoldsSecret, Unavailable
from coord.model.records import Change, Message
from coord.model.untrusted import clean_line
from coord.service import delivery
from coord.service.byhand import handwritten
from coord.service.coord import Coord
from coord.service.delivery import Route
from coord.stores import claim, durable

GUARD = "adopt"
# Below the dead letters, one deeper than any record: nothing there is ever committed.
WITHHELD = f"{keys.DEAD}/withheld"
_SIZE_LIMIT = 1 << 20


def adopt_waiting(coord: Coord, names: Iterable[str] | None = None) -> int:
    """Adopt the hand-written files that have rested; return how many there were.

    One that cannot be taken in now hides no others: it stays where it is.
    """
    done = 0
    for found in handwritten.waiting(coord, names):
        if found.ripe_in <= 0:
            with suppress(Unavailable):
                done += adopt(coord, found.key)
    return done


def adopt(coord: Coord, key: str) -> bool:
    """Make the hand-written file at KEY a message and deliver it; False where it is gone already."""
    with coord.exclusive(GUARD):
        taken = _take(coord, key)
        if taken is None:
            return False
        key, data, identifier = taken
        mailbox = key.split("/")[1]
        if len(data) > _SIZE_LIMIT:
            set_aside(coord, key, identifier, mailbox)
            return True
        try:
            _take_in(coord, key, data, mailbox, identifier)
        except HoldsSecret as fault:
            withhold(coord, key, data, identifier, fault)
        return True


def _take_in(coord: Coord, key: str, data: bytes, mailbox: str, identifier: str) -> None:
    try:
        draft = codec.draft_message(data, clean_line(claim.given(key)))
    except BadRecord as fault:
        bury(coord, key, data, identifier, fault.message, mailbox=mailbox)
        return
    _deliver(coord, key, data, mailbox, _completed(coord, draft, mailbox, identifier))


def _take(coord: Coord, key: str) -> tuple[str, bytes, str] | None:
    """Claim the file at KEY: return its key now, what is in it and its id; None where it is gone or still written."""
    claimed = claim.claim(coord.home, key)
    taken = claim.read(coord.home, claimed, _SIZE_LIMIT + 1) if claimed is not None else None
    if claimed is None or taken is None:
        return None
    # Its age may lie before 1970 or after the year 10,000: any number is a file's time.
    moment = datetime.fromtimestamp(min(max(taken.modified / 1e9, 0), 4e9), UTC)
    place = os.fsencode(f"{claim.given(key)}\0{taken.modified}\0")
    return claimed, taken.data, ids.ulid(moment, hashlib.sha256(place + taken.data).digest()[:10])


def _completed(coord: Coord, draft: Draft, mailbox: str, identifier: str) -> Message:
    extra = {**draft.extra, quoting.WRITTEN: quoting.BY_HAND}
    if draft.id and draft.id != identifier:
        extra["given-id"] = draft.id
    sender = (draft.sender or "unknown").strip().lower()
    known = sender in coord.config.names or sender == mailboxes.OWNER
    if not known and sender != "unknown":
        extra["given-from"] = clean_line(draft.sender or "", 120)
    to = tuple(address.strip().lower() for address in draft.to)
    place = () if mailbox in keys.SHARED_MAILBOXES and to else (mailbox,)
    return Message(
        id=identifier,
        sender=sender if known else "unknown",
        to=tuple(dict.fromkeys((*place, *to))),
        subject=delivery.subject_of(draft.subject or "", draft.body),
        body=draft.body,
        sent_at=draft.sent_at or ids.time_of(identifier),
        kind=draft.kind or "note",
        priority=draft.priority or "normal",
        thread=draft.thread or draft.reply_to or identifier,
        reply_to=draft.reply_to or "",
        ack=draft.ack or "none",
        expires_at=draft.expires_at,
        refs=draft.refs,
        cause=draft.cause,
        extra=extra,
    )


def _deliver(coord: Coord, key: str, data: bytes, mailbox: str, message: Message) -> None:
    found = delivery.route(coord, message, message.to)
    if found.unknown:
        bounce(coord, key, data, message, found)
        return
    if not found.mailboxes:
        bury(coord, key, data, message.id, "it reaches nobody: its sender is the only one it names", mailbox=mailbox)
        return
    fresh = Route(tuple(name for name in found.mailboxes if not _has(coord, name, message)), (), found.why)
    coord.record(delivery.sent(coord, "mail.adopted", message, fresh, (Change(key, None),)))


def _has(coord: Coord, name: str, message: Message) -> bool:
    unread = keys.message(name, message)
    return any(coord.store.get(key) is not None for key in (unread, keys.as_read(unread)))


def bounce(coord: Coord, key: str, data: bytes, message: Message, found: Route) -> None:
    """Return mail that names somebody nobody knows to its sender, with the nearest names."""
    config = coord.config
    lines = []
    for name in found.unknown:
        near = mailboxes.nearest(name, agents=config.names, groups=tuple(delivery.groups(coord)))
        guess = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join((*config.names, 'owner'))}"
        lines.append(f"nobody here is called {clean_line(name, 80)}; {guess}")
    bury(coord, key, data, message.id, "; ".join(lines), mailbox=message.to[0], sender=message.sender)


def bury(coord: Coord, key: str, data: bytes, identifier: str, reason: str, *, mailbox: str, sender: str = "") -> None:
    """Move what cannot be delivered to the dead letters, byte for byte, and tell whoever can mend it."""
    dead = _grave(key, identifier)
    mender = _mender(coord, sender, mailbox)
    shown = clean_line(claim.given(key))
    body = (
        f"`{shown}` could not be delivered: {clean_line(reason, 600)}\n\n"
        f"It is kept, byte for byte, as `{dead}`.\n"
        f"Mend it and put it back: edit a copy and move it to `inbox/<agent>/`, or send it with\n"
        f"`coord mail send <agent> - < {dead}`.\n"
    )
    word = delivery.notice(coord, mender, f"undeliverable: {Path(shown).name}", body, kind="alert", cause=(identifier,))
    why = Change(f"{dead}.why.md", body.encode())
    changes = (Change(dead, data), why, Change(key, None), *delivery.copies(word, (mender,)))
    subject = f"{sender or 'unknown'} -> {mailbox}: {Path(shown).name} is undeliverable"
    coord.record(coord.event("mail.dead", subject, changes, agent=delivery.COORD, id=identifier, why=reason))


def withhold(coord: Coord, key: str, data: bytes, identifier: str, fault: HoldsSecret) -> None:
    """Move a file that carries a credential to where no record is, and tell its author and the owner its place.

    None of its bytes enters the ledger: it is renamed, and no look at the folders takes it for a record.
    """
    shown = secrets.redacted(clean_line(claim.given(key)))
    kept = f"{WITHHELD}/{Path(_grave(shown, identifier)).name}"
    body = (
        f"`{shown}` was not delivered. {fault.message}.\n\n"
        f"It is in `{kept}`, which is no part of the ledger. Write the message again without the credential, and\n"
        f"delete that file. If others may have seen it, revoke it.\n"
    )
    mailbox = key.split("/")[1]
    sender = _sender(data)
    told = tuple(dict.fromkeys((_mender(coord, sender, mailbox), mailboxes.OWNER)))
    subject = f"a credential in {Path(shown).name}"
    word = delivery.notice(coord, told[0], subject, body, kind="alert", priority="high", cause=(identifier,))
    line = f"{mailbox}: {subject}"
    coord.record(coord.event("mail.withheld", line, delivery.copies(word, told), agent=delivery.COORD))
    target = coord.home / kept
    with durable.faults(f"set aside {shown}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        (coord.home / key).rename(target)


def set_aside(coord: Coord, key: str, identifier: str, mailbox: str) -> None:
    """Move a file that is far too large for mail to the dead letters as it is, and tell whoever can mend it.

    It is renamed, not copied, and stays out of the ledger: git would keep it for ever. That comes last:
    killed before, the next look does both again, and nobody is left untold.
    """
    dead = coord.home / _grave(key, identifier)
    dead.parent.mkdir(parents=True, exist_ok=True)
    limit = f"{delivery.BODY_LIMIT:,}"
    shown = clean_line(claim.given(key))
    body = (
        f"`{shown}` is too large for mail (a body may have {limit} bytes). It is in `{keys.DEAD}/{dead.name}`.\n\n"
        f"Put it where it belongs and send its path: `coord mail send <agent> 'see ...' --ref path:...`.\n"
    )
    mender = _mender(coord, "", mailbox)
    word = delivery.notice(coord, mender, f"too large: {Path(shown).name}", body, kind="alert", cause=(identifier,))
    subject = f"unknown -> {mailbox}: {Path(shown).name} is too large"
    coord.record(coord.event("mail.dead", subject, delivery.copies(word, (mender,)), agent=delivery.COORD))
    (coord.home / key).rename(dead)


def _grave(key: str, identifier: str) -> str:
    place = Path(claim.given(key))
    suffix = "".join(character for character in place.suffix if character.isalnum() or character == ".")[:12]
    return f"{keys.DEAD}/{identifier}-{ids.slug(place.stem)}{suffix}"


def _sender(data: bytes) -> str:
    """Return who a hand-written file says wrote it, or ""."""
    try:
        return (codec.draft_message(data, "").sender or "").strip().lower()
    except BadRecord:
        return ""


def _mender(coord: Coord, sender: str, mailbox: str) -> str:
    if sender in coord.config.names or sender == mailboxes.OWNER:
        return sender
    return mailbox if mailbox in coord.config.names and not sender else mailboxes.OWNER


def forward(coord: Coord, key: str) -> bool:
    """Deliver a message that lies, complete, in `inbox/all/` or `inbox/auto/`; False where it is gone already."""
    with coord.exclusive(GUARD):
        stored = coord.store.get(key)
        if stored is None:
            return False
        identifier = keys.id_in(key) or coord.new_id()
        try:
            _forward(coord, key, stored.data, identifier)
        except HoldsSecret as fault:
            withhold(coord, key, stored.data, identifier, fault)
        return True


def _forward(coord: Coord, key: str, data: bytes, identifier: str) -> None:
    mailbox = key.split("/")[1]
    try:
        message = codec.decode_message(data, key)
    except BadRecord as fault:
        bury(coord, key, data, identifier, fault.message, mailbox=mailbox)
        return
    _deliver(coord, key, data, mailbox, replace(message, to=(mailbox,)))
