"""Mail for people."""

from functools import singledispatch

from coord.faces.page import Block, Body, Line, Style, Table
from coord.faces.pages.words import now, short, titled, unknown
from coord.model import quoting, times
from coord.model.records import Message
from coord.model.untrusted import clean_line
from coord.service import letters, mail

_PRIORITY: dict[str, Style] = {"urgent": "red", "high": "yellow", "low": "dim"}
blocks = singledispatch(unknown)


@blocks.register
def _sent(result: mail.Sent) -> list[Block]:
    message = result.message
    if result.duplicate:
        return [Line(f"sent before, not sent again: {message.id}", "yellow")]
    lines: list[Block] = [Line(f"sent {message.id} to {', '.join(result.delivered)}", "green")]
    return [*lines, Line(f"  chosen because: {result.why}", "dim")] if result.why else lines


@blocks.register
def _listing(result: mail.Listing) -> list[Block]:
    if not result.items:
        return [
            Line(f"{result.mailbox}: nothing unread" if not result.unread else f"{result.mailbox}: nothing to show")
        ]
    rows, styles = [], []
    for item in result.items:
        message = item.message
        mark = "ack!" if message.ack == "required" and item.unread else "" if item.unread else "read"
        rows.append(
            (
                short(message.id),
                times.ago(message.sent_at, now()),
                quoting.address(message.sender) + (" (by hand)" if _by_hand(message) else ""),
                message.priority,
                mark,
                quoting.one_line(message.subject),
            )
        )
        styles.append(_PRIORITY.get(message.priority, "") if item.unread else "dim")
    head = Line(f"{result.mailbox}: {result.unread} unread", "bold")
    more = [Line(f"… and {result.left_out} more (--limit)", "dim")] if result.left_out else []
    return [head, Table(("id", "age", "from", "priority", "", "subject"), tuple(rows), tuple(styles)), *more]


@blocks.register
def _read(result: mail.ReadMail) -> list[Block]:
    if not result.items:
        return [Line(f"{result.mailbox}: nothing unread")]
    made: list[Block] = []
    for item in result.items:
        made += [*_message(item.message), Line("")]
    left = f"{result.left_out} more unread; " if result.left_out else ""
    asked = [item for item in result.items if item.message.ack == "required"]
    if asked:
        left += f"to be acknowledged: coord mail ack {' '.join(short(item.message.id) for item in asked)}"
    return [*made, Line(left, "yellow")] if left else made[:-1]


@blocks.register
def _message(message: Message) -> list[Block]:
    """Say in coord's words who wrote what, when and how; all words of the sender's stand in the quotation."""
    to = ", ".join(map(quoting.address, message.to))
    head = f"from {quoting.origin(message.sender, by_hand=_by_hand(message))} to {to}, message {message.id}"
    about = [f"{times.format_time(message.sent_at)} ({times.ago(message.sent_at, now())} ago)"]
    about += [message.kind] if message.kind != "note" else []
    about += [message.priority] if message.priority != "normal" else []
    about += [f"ack {message.ack}"] if message.ack != "none" else []
    made: list[Block] = [Line(head, "bold"), Line("  ".join(about), "dim")]
    made += [Body(f"about {clean_line(', '.join(message.refs))}", "dim")] if message.refs else []
    return [*made, *titled(message.subject, message.body)]


@blocks.register
def _shown(result: letters.Shown) -> list[Block]:
    place = []
    if result.unread_by:
        place.append(f"unread: {', '.join(result.unread_by)}")
    if result.read_by:
        place.append(f"read: {', '.join(result.read_by)}")
    if result.retired:
        place.append("retired; only the ledger has it")
    return [*_message(result.message), Line("; ".join(place), "dim")]


@blocks.register
def _thread(result: mail.Thread) -> list[Block]:
    return [block for message in result.messages for block in (*_message(message), Line(""))][:-1]


def _by_hand(message: Message) -> bool:
    return message.extra.get(quoting.WRITTEN) == quoting.BY_HAND
