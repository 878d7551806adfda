"""What the daemon asks for on its own account: retire mail, tell of mail that lies too long."""

from collections.abc import Sequence

from coord.model import codec, keys, quoting, times
from coord.model.errors import BadRecord
from coord.model.records import Change, Message
from coord.service import delivery
from coord.service.coord import Coord

_LISTED = 20
_LEVELS = {1: "mail.reminded", 2: "mail.escalated", 3: "mail.escalated"}


def retire(coord: Coord, chosen: Sequence[str], why: str) -> int:
    """Take records out of the folders, one event each; the ledger keeps every one.

    Nothing leaves that the ledger does not hold: what waits is committed first, and a key
    whose bytes the ledger's tip does not have stays where it is.
    """
    coord.committer.settle()
    coord.index.sync()
    held = {key: blob for folder in keys.FOLDERS for key, blob in coord.index.live(folder).items()}
    done = 0
    for key in chosen:
        stored = coord.store.get(key)
        if stored is None or held.get(key) != coord.blob_id(stored.data):
            continue
        name = key.split("/")[1]
        message = _message(key, stored.data)
        subject = f"{name}: {message.subject if message else key} ({why})"
        changes = [Change(key, None)]
        if why == "expired" and message is not None and message.ack == "required":
            changes += _tell_sender(coord, message, name)
        family = "decision" if key.startswith(f"{keys.DECISIONS}/") else "mail"
        kind = "mail.expired" if why == "expired" else f"{family}.retired"
        cause = [identifier] if (identifier := keys.id_in(key)) else ()
        coord.record(coord.event(kind, subject, changes, agent=delivery.COORD, cause=cause))
        done += 1
    return done


def discard(coord: Coord, names: Sequence[str]) -> None:
    """Remove logs of gates."""
    for name in names:
        (coord.private / "logs" / name).unlink(missing_ok=True)


def _message(key: str, data: bytes) -> Message | None:
    try:
        return codec.decode_message(data, key)
    except BadRecord:
        return None


def _tell_sender(coord: Coord, message: Message, name: str) -> tuple[Change, ...]:
    if message.sender not in (*coord.config.names, "owner"):
        return ()
    body = f"{name} never acknowledged your message `{message.id}`, which required it; it has expired.\n"
    word = delivery.notice(
        coord, message.sender, f"expired unacknowledged: {message.subject}", body, kind="alert", cause=(message.id,)
    )
    return delivery.copies(word, (message.sender,))


def remind(coord: Coord, mailbox: str, to: str, level: int, chosen: Sequence[str]) -> None:
    """Tell TO, in one notice, of messages that have waited too long in MAILBOX."""
    lines = []
    for key in coord.records(keys.mailbox(mailbox)):
        stored = coord.store.get(key) if keys.id_in(key) in chosen and not keys.is_read(key) else None
        message = _message(key, stored.data) if stored else None
        if message is not None:
            age = times.ago(message.sent_at, coord.now())
            subject = quoting.one_line(message.subject, 80)
            lines.append(f"- {message.id} from {message.sender}, {message.priority}, {age} {subject}")
    if not lines:
        return
    whose = "you" if to == mailbox else mailbox
    listed = "\n".join(lines[:_LISTED]) + (f"\n- and {len(lines) - _LISTED} more" if len(lines) > _LISTED else "")
    body = (
        f"Unread for too long, waiting for {whose}:\n\n{listed}\n\n"
        f"Read with `coord mail read`, or see `coord mail list --mailbox {mailbox}`.\n"
    )
    subject = f"{len(lines)} unread for {whose} too long"
    word = delivery.notice(coord, to, subject, body, kind="alert", priority="high", cause=tuple(chosen[:_LISTED]))
    coord.record(
        coord.event(
            _LEVELS[level],
            f"{to}: {subject}",
            delivery.copies(word, (to,)),
            agent=delivery.COORD,
            cause=tuple(chosen),
            level=level,
            mailbox=mailbox,
        )
    )
