"""A record as the bytes of its file, and back; a hand-written message; anything of ours as plain data.

Records with prose are Markdown with front matter, their body byte for byte as its author
wrote it, line endings included. Locks are YAML.
"""

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from coord.model import mending, yamltext
from coord.model.errors import BadRecord, Usage
from coord.model.frontmatter import checked, decoded, fold, placed, split, split_by_hand
from coord.model.records import Ack, Checkpoint, Decision, Extra, Kind, Lock, MergeRequest, Message, Priority, Record
from coord.model.shapes import TABLES, Column, Table, path_fault
from coord.model.times import format_time
from coord.model.untrusted import clean_line
from coord.model.values import frozen
from coord.model.yamlnodes import Fields, Items, Node, Scalar, bad
from coord.model.yamltext import Value

FORMAT = 1
_R = TypeVar("_R", Message, Lock, Checkpoint, Decision, MergeRequest)
Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]


def encode(record: Record) -> bytes:
    """Write a record as its file; what has its default is left out.

    Times are written to the millisecond; everything else survives exactly.

    Raises:
        Usage: it could not be read again: no id, a name that must not be part of a path,
            half a character, a NUL, or more than the limits allow.
    """
    table = TABLES[type(record)]
    fields: dict[str, Value] = {"format": FORMAT}
    for column in table.columns:
        value = getattr(record, column.name)
        if isinstance(value, str) and (fault := path_fault(column, value)):
            raise Usage(f"a {table.noun} cannot be written: {fault}")
        written = column.write(value)
        if written is not None:
            fields[column.key] = written
    for key, kept in record.extra.items():
        if fold(key) in table.by_key or fold(key) == "format":
            raise Usage(f"a {table.noun} cannot be written: its extra key {key[:40]!r} is the name of a field")
        fields[key] = kept
    front = yamltext.write(fields).encode()
    if len(front) > yamltext.LIMIT:
        raise Usage(f"a {table.noun} cannot be written: its fields take {len(front):,} bytes", hint="Use the body.")
    if isinstance(record, Lock):
        return front
    try:
        if "\0" in record.body:
            raise Usage(f"a {table.noun} cannot be written: its body holds a NUL", hint="Attach it by reference.")
        return b"---\n" + front + b"---\n" + checked(record.body).encode()
    except BadRecord as fault:
        raise Usage(f"a {table.noun} cannot be written: {fault.facts['reason']}", hint=fault.hint) from None
    except UnicodeEncodeError:
        raise Usage(f"a {table.noun} cannot be written: its body holds half a character") from None


def decode(key: str, data: bytes) -> Record:
    """Read the record at KEY, of the kind that lives there.

    Raises:
        BadRecord: DATA is no such record, or no records live at KEY.
    """
    match key.split("/"):
        case ["inbox", "merges", _]:
            return decode_merge_request(data, key)
        case ["inbox", _, _] | ["inbox", _, "read", _]:
            return decode_message(data, key)
        case ["locks", _]:
            return decode_lock(data, key)
        case ["checkpoints", "decisions", _]:
            return decode_decision(data, key)
        case ["checkpoints", _, _]:
            return decode_checkpoint(data, key)
        case _:
            raise BadRecord(f"{key}: no records live here", hint="docs/formats.md says where they do.", where=key)


def decode_message(data: bytes, where: str) -> Message:
    """Read a message; WHERE names its file in a BadRecord."""
    return _decode(Message, data, where)


def decode_lock(data: bytes, where: str) -> Lock:
    """Read a lease; WHERE names its file in a BadRecord."""
    return _decode(Lock, data, where)


def decode_checkpoint(data: bytes, where: str) -> Checkpoint:
    """Read a checkpoint; WHERE names its file in a BadRecord."""
    return _decode(Checkpoint, data, where)


def decode_decision(data: bytes, where: str) -> Decision:
    """Read a decision; WHERE names its file in a BadRecord."""
    return _decode(Decision, data, where)


def decode_merge_request(data: bytes, where: str) -> MergeRequest:
    """Read a merge request; WHERE names its file in a BadRecord."""
    return _decode(MergeRequest, data, where)


def _decode(record: type[_R], data: bytes, where: str) -> _R:
    try:
        return record(**_values(TABLES[record], decoded(data)))
    except BadRecord as fault:
        raise placed(fault, where) from None


def _values(table: Table, text: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if table.has_body:
        parts = split(text)
        values["body"] = parts.body
        root = yamltext.read(parts.front, first_line=parts.first_line)
    else:
        root = yamltext.read(text)
    if not isinstance(root, Fields):
        raise bad(1, f"it holds no fields of a {table.noun}", hint="Write lines like `key: value`.")
    known, values["extra"] = _sorted(root, table)
    for column, node in known.items():
        value = column.read(node)
        if isinstance(value, str) and (fault := path_fault(column, value)):
            raise bad(node.line, fault)
        if value is not MISSING:
            values[column.name] = value
    for column in table.required:
        if column.name not in values:
            raise bad(root.line, f"`{column.key}` is missing", hint=f"Add a line `{column.key}: ...`.")
    return values


def _sorted(root: Fields, table: Table) -> tuple[dict[Column, Node], dict[str, str | tuple[str, ...]]]:
    """Tell the fields of a record from keys this version does not know, which are kept as they are."""
    known: dict[Column, Node] = {}
    extra: dict[str, str | tuple[str, ...]] = {}
    for key, node in root.items.items():
        column = table.by_key.get(key) or table.by_key.get(fold(key))
        if column is None and fold(key) == "format":
            _check_format(node)
        elif column is None:
            extra[key] = _kept(node)
        elif column in known:
            raise bad(root.key_lines[key], f"`{column.key}` is given twice")
        else:
            known[column] = node
    return known, extra


def _check_format(node: Node) -> None:
    number = node.text.strip() if isinstance(node, Scalar) else ""
    if number == str(FORMAT):
        return
    if re.fullmatch("[1-9][0-9]{0,8}", number):
        reason = f"written by a newer coord (format {number}; this one reads {FORMAT})"
        raise bad(node.line, reason, hint="Upgrade coord.")
    raise bad(node.line, "`format` is no format number", hint=f"Write `format: {FORMAT}`.")


def _kept(node: Node) -> str | tuple[str, ...]:
    """Keep a value of unknown meaning; what is nested is kept as JSON."""
    if isinstance(node, Items):
        return tuple(_as_text(item) for item in node.items)
    return _as_text(node)


def _as_text(node: Node) -> str:
    return node.text if isinstance(node, Scalar) else json.dumps(_bare(node), ensure_ascii=False)


def _bare(node: Node) -> Any:
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Items):
        return [_bare(item) for item in node.items]
    return {key: _bare(item) for key, item in node.items.items()}


@frozen(kw_only=True)
class Draft:
    """A message as somebody wrote it by hand: what is not there is None or empty, for the caller to fill in."""

    body: str
    id: str | None = None
    sender: str | None = None
    to: tuple[str, ...] = ()
    subject: str | None = None
    sent_at: datetime | None = None
    kind: Kind | None = None
    priority: Priority | None = None
    thread: str | None = None
    reply_to: str | None = None
    ack: Ack | None = None
    expires_at: datetime | None = None
    refs: tuple[str, ...] = ()
    cause: tuple[str, ...] = ()
    extra: Extra = field(default_factory=dict)


_SUBJECT_LIMIT = 72
_SYNONYMS: Mapping[str, str] = {
    **dict.fromkeys(("title", "about", "topic"), "subject"),
    **dict.fromkeys(("sender", "author", "agent"), "from"),
    **dict.fromkeys(("recipient", "recipients"), "to"),
    **dict.fromkeys(("date", "sent", "time", "timestamp", "created", "created_at"), "sent_at"),
    **dict.fromkeys(("type",), "kind"),
    **dict.fromkeys(("in_reply_to", "replying_to"), "reply_to"),
    **dict.fromkeys(("expires", "expiry"), "expires_at"),
    **dict.fromkeys(("ref", "references"), "refs"),
}
_MESSAGE = TABLES[Message]
_KEYS = frozenset((*_MESSAGE.by_key, *_SYNONYMS, "format"))


def draft_message(data: bytes, where: str) -> Draft:
    """Read a message as hands and models write it; see `split_by_hand` and `mending` for what is forgiven.

    Keys may have any letter case, and other names where they are plain (`title`, `date`): such a
    value is kept as it is where it does not fit. Without front matter, the first heading or else
    the first line is the subject.

    Raises:
        BadRecord: it cannot be understood; names WHERE, the line and the reason.
    """
    try:
        text = decoded(data)
        parts = split_by_hand(text, _KEYS)
        if parts is None:
            return Draft(body=checked(text), subject=_headline(text))
        root = mending.read(parts.front, first_line=parts.first_line)
        if root is None:
            return Draft(body=parts.body)
        if not isinstance(root, Fields):
            raise bad(parts.first_line, "its front matter holds no fields", hint="Write lines like `subject: ...`.")
        return Draft(body=parts.body, **_drafted(root))
    except BadRecord as fault:
        raise placed(fault, where) from None


def _drafted(root: Fields) -> dict[str, Any]:
    known, extra = _sorted(root, _MESSAGE)
    values = {column.name: column.read(node) for column, node in known.items()}
    for key in tuple(extra):
        column = _MESSAGE.by_key.get(_SYNONYMS.get(fold(key), ""))
        if column is None or column.name in values:
            continue
        try:
            values[column.name] = column.read(root.items[key])
            del extra[key]
        except BadRecord:
            continue
    given = {name: value for name, value in values.items() if value is not MISSING}
    return {**given, "extra": extra}


def _headline(text: str) -> str | None:
    first, fenced = None, False
    for line in text.splitlines():
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        elif not fenced and (words := clean_line(line.strip("#-=* \t"), _SUBJECT_LIMIT)):
            if re.match(r" {0,3}#{1,6}[ \t]", line):
                return words
            first = first or words
    return first


def to_plain(value: object) -> Plain:
    """Return anything of ours as what JSON can say.

    A record's keys are those of its file (`from`, not `sender`), `extra` only where it holds
    something; moments are text in UTC, lengths of time are seconds.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return [to_plain(item) for item in sorted(value, key=str)]
    if dataclasses.is_dataclass(value):
        plain = {one.name: to_plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
        return {_KEY_OF.get(name, name): item for name, item in plain.items() if name != "extra" or item}
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


_KEY_OF = {column.name: column.key for column in _MESSAGE.columns}
