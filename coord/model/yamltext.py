"""YAML as text: every scalar comes back as it was written, with its line, and nothing is guessed."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from coord.model import yamlevents, yamlplain
from coord.model.errors import Usage
from coord.model.regex import regex
from coord.model.times import format_time
from coord.model.yamlnodes import KEY_LIMIT, Node, bad

LIMIT = 65_536
DEPTH = 8

# Named one by one: Python 3.11 walks every character of a range, and all that can be read are a tenth of a start.
_UNREADABLE = regex("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_BREAK = regex("\r\n|[\r\n\x85\u2028\u2029]")

Flat = str | int | float | datetime
Value = Flat | Sequence[str] | Mapping[str, Flat]


def read(text: str, *, first_line: int = 1, limit: int = LIMIT, depth: int = DEPTH) -> Node | None:
    """Read one YAML document; None where there is none.

    FIRST_LINE is the number of TEXT's first line in its file; LIMIT is in bytes of UTF-8.

    Raises:
        BadRecord: not YAML, too large, too deep, or using what coord's files do without:
            duplicate keys, anchors, aliases, tags, several documents, keys that are no text.
    """
    _check_characters(text, first_line, limit)
    found = yamlplain.read(text, first_line, depth)
    return found if found is not None else yamlevents.read(text, first_line, depth)


def _check_characters(text: str, first_line: int, limit: int) -> None:
    if len(text) > limit or len(text.encode("utf-8", "surrogatepass")) > limit:
        raise bad(first_line, f"larger than {limit:,} bytes")
    if not text.replace("\n", "").isprintable() and (found := _UNREADABLE.search(text)):
        line = first_line + len(_BREAK.findall(text, 0, found.start()))
        raise bad(line, f"the character U+{ord(found.group()):04X} is not allowed", hint="Remove it or escape it.")


# Written plain only where no reader of YAML 1.1 or 1.2 could take it for anything but text.
_WORDY = regex(r"[^\W\d_](?:[\w./:@+()'!=>;,? -]*[\w./@+()'!=>;?-])?")
_CODE = regex(r"(?=[0-9A-Za-z]*[G-NP-WYZg-np-wyz])[0-9A-Za-z]+")  # an id: it holds a letter that no number has
_NOT_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"))
_ESCAPED = regex('["\\\\\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]')
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
