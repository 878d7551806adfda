"""YAML as text: every scalar comes back as it was written, with its line, and nothing is guessed.

Only libyaml's event stream is used. It does not recurse, so a hundred thousand nested
brackets are an ordinary refusal; building nodes from it would crash the process.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import yaml

from coord.model.errors import BadRecord, Usage
from coord.model.times import format_time

LIMIT = 65_536
DEPTH = 8
KEY_LIMIT = 128  # libyaml gives up on a key of more than 1,024 characters, escapes included

_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_VALUES = frozenset((yaml.ScalarEvent, yaml.AliasEvent, yaml.MappingStartEvent, yaml.SequenceStartEvent))
_UNREADABLE = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Scalar:
    """One piece of text; `quoted` tells `""` and `"null"` from an empty place and a plain `null`."""

    text: str
    line: int
    quoted: bool


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: "tuple[Node, ...]"
    line: int


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping, in the order it was written."""

    items: "dict[str, Node]"
    key_lines: dict[str, int]
    line: int


Node = Scalar | Items | Fields
Flat = str | int | float | datetime
Value = Flat | Sequence[str] | Mapping[str, Flat]


@dataclass(slots=True)
class _Open:
    """A collection whose end has not been read yet; a mapping that waits for a value has a key."""

    line: int
    keyed: bool
    key: str | None = None
    nodes: list[Node] = field(default_factory=list)
    fields: dict[str, Node] = field(default_factory=dict)
    key_lines: dict[str, int] = field(default_factory=dict)

    def begin(self, key: str, line: int) -> None:
        if len(key) > KEY_LIMIT:
            raise bad(line, f"a key is longer than {KEY_LIMIT} characters")
        if key in self.fields:
            raise bad(line, f"{key!r} is given twice, first on line {self.key_lines[key]}")
        self.key = key
        self.key_lines[key] = line

    def add(self, node: Node) -> None:
        if not self.keyed:
            self.nodes.append(node)
        elif self.key is None:
            raise bad(node.line, "a key must be plain text, not a list or a mapping")
        else:
            self.fields[self.key] = node
            self.key = None

    def closed(self) -> Node:
        return Fields(self.fields, self.key_lines, self.line) if self.keyed else Items(tuple(self.nodes), self.line)


def bad(line: int, reason: str, *, hint: str = "") -> BadRecord:
    """Return the error for a fault on LINE; its facts `line` and `reason` let a caller name the file as well."""
    return BadRecord(f"line {line}: {reason}", hint=hint, line=line, reason=reason)


def read(text: str, *, first_line: int = 1, limit: int = LIMIT, depth: int = DEPTH) -> Node | None:
    """Read one YAML document; None where there is none.

    FIRST_LINE is the number of TEXT's first line in its file; LIMIT is in bytes of UTF-8.

    Raises:
        BadRecord: not YAML, too large, too deep, or using what coord's files do without:
            duplicate keys, anchors, aliases, tags, several documents, keys that are no text.
    """
    _check_characters(text, first_line, limit)
    try:
        return _build(yaml.parse(text, Loader=_LOADER), first_line, depth)
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(error, first_line) from None
    except yaml.YAMLError as error:
        raise bad(first_line, f"not YAML: {error}".splitlines()[0]) from None


def _build(events: Iterable[Any], first_line: int, depth: int) -> Node | None:
    stack: list[_Open] = []
    root: Node | None = None
    node: Node
    documents = 0
    for event in events:
        kind = type(event)
        line = event.start_mark.line + first_line
        if kind in _VALUES and (event.anchor or event.tag):
            raise _fancy(event, line)
        if kind is yaml.ScalarEvent:
            if stack and stack[-1].keyed and stack[-1].key is None:
                stack[-1].begin(event.value, line)
                continue
            node = Scalar(event.value, line, bool(event.style))
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            if len(stack) >= depth:
                raise bad(line, f"nested deeper than {depth}")
            stack.append(_Open(line, kind is yaml.MappingStartEvent))
            continue
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            node = stack.pop().closed()
        else:
            documents += kind is yaml.DocumentStartEvent
            if documents > 1:
                raise bad(line, "a second document starts here; one is allowed")
            continue
        if stack:
            stack[-1].add(node)
        else:
            root = node
    return root


def _not_yaml(error: yaml.MarkedYAMLError, first_line: int) -> BadRecord:
    """Name the line where the fault was seen; the fact `began` is where the thing that is wrong starts."""
    seen = error.problem_mark or error.context_mark
    began = error.context_mark or seen
    line, start = (first_line + (mark.line if mark else 0) for mark in (seen, began))
    reason = f"not YAML: {error.problem or error.context}"
    return BadRecord(f"line {line}: {reason}", line=line, reason=reason, began=start)


def _fancy(event: Any, line: int) -> BadRecord:
    """Name what makes a value more than text."""
    if isinstance(event, yaml.AliasEvent):
        what = f"an alias (*{event.anchor})"
    elif event.anchor:
        what = f"an anchor (&{event.anchor})"
    else:
        what = f"a tag ({event.tag})"
    return bad(line, f"{what} is not allowed", hint="Quote the text, or write the value out.")


def _check_characters(text: str, first_line: int, limit: int) -> None:
    if len(text) > limit or len(text.encode("utf-8", "surrogatepass")) > limit:
        raise bad(first_line, f"larger than {limit:,} bytes")
    if found := _UNREADABLE.search(text):
        line = first_line + len(_BREAK.findall(text, 0, found.start()))
        raise bad(line, f"the character U+{ord(found.group()):04X} is not allowed", hint="Remove it or escape it.")


# Written plain only where no reader of YAML 1.1 or 1.2 could take it for anything but text.
_WORDY = re.compile(r"[^\W\d_](?:[\w./:@+()'!=>;,? -]*[\w./@+()'!=>;?-])?")
_CODE = re.compile(r"(?=[0-9A-Za-z]*[G-NP-WYZg-np-wyz])[0-9A-Za-z]+")  # an id: it holds a letter that no number has
_NOT_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"))
_ESCAPED = re.compile(
    '["\\\\\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]'
)
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def write(fields: Mapping[str, Value]) -> str:
    """Write one mapping in the order given, a line a field; lists and the one inner mapping in brackets.

    Raises:
        Usage: text with a lone surrogate, a key over the limit, or a number that is not finite.
    """
    return "".join(f"{_key(name)}: {_value(value)}\n" for name, value in fields.items())


def _value(value: Value) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(name)}: {_flat(inner, flow=True)}" for name, inner in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(_flat(item, flow=True) for item in value) + "]"
    return _flat(value)


def _flat(value: Flat, *, flow: bool = False) -> str:
    if isinstance(value, str):
        return _text(value, flow=flow)
    if isinstance(value, datetime):
        return format_time(value)
    if not math.isfinite(value):
        raise Usage(f"{value} is not a number that can be written")
    return repr(value)


def _key(name: str) -> str:
    if len(name) > KEY_LIMIT:
        raise Usage(f"the key {name[:40]!r}… is longer than {KEY_LIMIT} characters")
    return _text(name, flow=True)


def _text(text: str, *, flow: bool) -> str:
    if _WORDY.fullmatch(text):
        ambiguous = ": " in text or text.lower() in _NOT_WORDS or (flow and ("," in text or "?" in text))
    else:
        ambiguous = not _CODE.fullmatch(text)
    return '"' + _ESCAPED.sub(_escape, text) + '"' if ambiguous else text


def _escape(found: re.Match[str]) -> str:
    character = found.group()
    code = ord(character)
    if 0xD800 <= code < 0xE000:
        raise Usage("the text holds half a character (a lone surrogate)", hint="Pass text that is valid UTF-8.")
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
