"""How the fields of a record lie in a file: one table a record, made from its dataclass.

A new field needs nothing here but, where formats.md gives it a place of its own, its
name in the order below.
"""

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from dataclasses import MISSING
from datetime import datetime
from typing import Any, Literal, get_args, get_origin

from coord.model import ids
from coord.model.errors import Usage
from coord.model.records import Checkpoint, Decision, Lock, MergeRequest, Message, Process, Record
from coord.model.regex import regex
from coord.model.times import parse_time
from coord.model.values import frozen
from coord.model.yamlnodes import Fields, Items, Node, Scalar, bad
from coord.model.yamltext import Value

_ORDERS: Mapping[type[Record], str] = {
    Message: "id sender to subject kind priority sent_at thread reply_to ack expires_at refs cause",
    Lock: "scope mode holder token granted_at expires_at process note",
    Checkpoint: "id agent title saved_at session task branch commit dirty touched locks open_messages next",
    Decision: "id made_by decided_at about choice confidence outcome outcome_at supersedes",
    MergeRequest: (
        "id title branch into head agent task requested_at state priority after reviewed "
        "batch position base candidate was gate result"
    ),
}
_RENAMED = {"sender": "from"}
_EXPECTED = ("mode", "state")  # written although they have their default: readers look for them
_PATHS = ("agent", "holder")  # these become part of a file's name, as `id` does
_APART = ("body", "extra")
_NOTHING = ("", "~", "null")
_SEGMENT = regex(r"[A-Za-z0-9_@][A-Za-z0-9_@.-]{0,63}")
_WHOLE = regex(r"[+-]?[0-9]{1,18}")
_NUMBER = regex(r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]*)?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,3})?")
_QUOTES = " \t\r\n\"'"

Reader = Callable[[Scalar, "Column"], Any]


@frozen(eq=False)
class Column:
    """One field: its name in the record, its key in the file, how it is read, its default and its choices."""

    name: str
    key: str
    read_scalar: Reader
    many: bool
    default: object
    choices: tuple[str, ...] = ()

    def read(self, node: Node) -> Any:
        """Return the field's value; MISSING where the file leaves its place empty.

        Raises:
            BadRecord: the value is of another kind; names the line, not the file.
        """
        if isinstance(node, Scalar):
            if not node.quoted and node.text.lower() in _NOTHING:
                return MISSING
            return self.read_scalar(node, self)
        if self.many and isinstance(node, Items):
            return tuple(_entry(item, self) for item in node.items)
        if self.key == "process" and isinstance(node, Fields):
            return _process(node)
        raise bad(node.line, f"`{self.key}` must be {'text or a list of texts' if self.many else 'one value'}")

    def write(self, value: Any) -> Value | None:
        """Return what goes into the file, None where the field is left out."""
        if value == self.default and self.name not in _EXPECTED:
            return None
        if isinstance(value, Process):
            return {"pid": value.pid, "started_at": value.started_at, "boot": value.boot}
        if self.name == "to" and len(value) == 1 and _split(value[0]) == value:
            return str(value[0])
        written: Value = value
        return written


@frozen
class Table:
    """The columns of a record in the order of its file, by key, and those it must have; NOUN names it in errors."""

    noun: str
    columns: tuple[Column, ...]
    by_key: Mapping[str, Column]
    required: tuple[Column, ...]
    has_body: bool


def _text(node: Scalar, _column: Column) -> str:
    return node.text


def _texts(node: Scalar, _column: Column) -> tuple[str, ...]:
    return _split(node.text)


def _split(text: str) -> tuple[str, ...]:
    """Read `a, b` or `[a, b]` as people write lists on one line."""
    inner = text.strip()
    if inner.startswith("[") and inner.endswith("]"):
        inner = inner[1:-1]
    return tuple(part for part in (piece.strip(_QUOTES) for piece in inner.split(",")) if part)


def _entry(node: Node, column: Column) -> str:
    if isinstance(node, Scalar):
        return node.text
    raise bad(node.line, f"`{column.key}` must be a list of texts")


def _choice(node: Scalar, column: Column) -> str:
    word = node.text.strip().lower()
    if word in column.choices:
        return word
    near = difflib.get_close_matches(word[:40], column.choices, n=1)
    known = ", ".join(column.choices)
    raise bad(
        node.line,
        f"`{column.key}: {node.text[:40]}` is none of {known}",
        hint=f"Did you mean {near[0]}?" if near else f"Write one of {known}.",
    )


def _time(node: Scalar, column: Column) -> datetime:
    try:
        return parse_time(node.text)
    except Usage as error:
        raise bad(node.line, f"`{column.key}`: {error.message}", hint=error.hint) from None


def _whole(node: Scalar, column: Column) -> int:
    if _WHOLE.fullmatch(node.text):
        return int(node.text)
    raise bad(node.line, f"`{column.key}: {node.text[:40]}` is no whole number")


def _number(node: Scalar, column: Column) -> float:
    if _NUMBER.fullmatch(node.text) and abs(number := float(node.text)) < float("inf"):
        return number
    raise bad(node.line, f"`{column.key}: {node.text[:40]}` is no number")


def _process(node: Fields) -> Process:
    flat = {name: value for name, value in node.items.items() if isinstance(value, Scalar)}
    pid = flat.get("pid")
    if pid is None or not _WHOLE.fullmatch(pid.text) or "started_at" not in flat or "boot" not in flat:
        raise bad(node.line, "`process` must have a whole `pid`, `started_at` and `boot`")
    return Process(pid=int(pid.text), started_at=flat["started_at"].text, boot=flat["boot"].text)


def _no_scalar(node: Scalar, column: Column) -> None:
    raise bad(node.line, f"`{column.key}` must be a mapping")


def path_fault(column: Column, value: str) -> str:
    """Return why VALUE must not become part of a file's name, or cannot, or nothing."""
    if column.name == "id" and not ids.is_ulid(value):
        return f"`id: {value[:40]}` is no id"
    if column.name in _PATHS and not _SEGMENT.fullmatch(value):
        return f"`{column.key}: {value[:40]}` is no name"
    if column.name == "scope" and not value:
        return "`scope` is empty"
    return ""


_READERS: Mapping[object, Reader] = {
    str: _text,
    int: _whole,
    float | None: _number,
    datetime: _time,
    datetime | None: _time,
    tuple[str, ...]: _texts,
    Process | None: _no_scalar,
}


def _column(field: "dataclasses.Field[Any]") -> Column:
    choices = get_args(field.type) if get_origin(field.type) is Literal else ()
    reader = _choice if choices else _READERS[field.type]
    key = _RENAMED.get(field.name, field.name)
    return Column(field.name, key, reader, field.type == tuple[str, ...], field.default, choices)


def _table(record: type[Record]) -> Table:
    names = [field.name for field in dataclasses.fields(record)]
    order = _ORDERS[record].split()
    columns = [_column(field) for field in dataclasses.fields(record) if field.name not in _APART]
    columns.sort(key=lambda column: order.index(column.name) if column.name in order else len(order))
    return Table(
        "merge request" if record is MergeRequest else record.__name__.lower(),
        tuple(columns),
        {column.key: column for column in columns},
        tuple(column for column in columns if column.default is MISSING),
        "body" in names,
    )


TABLES: Mapping[type[Record], Table] = {record: _table(record) for record in _ORDERS}
