"""What YAML says, as text: every scalar as it was written, with its line."""

from typing import NamedTuple

from coord.model.errors import BadRecord

KEY_LIMIT = 128  # libyaml gives up on a key of more than 1,024 characters, escapes included


class Scalar(NamedTuple):
    """One piece of text; `quoted` tells `""` and `"null"` from an empty place and a plain `null`."""

    text: str
    line: int
    quoted: bool


class Items(NamedTuple):
    """A list."""

    items: "tuple[Node, ...]"
    line: int


class Fields(NamedTuple):
    """A mapping, in the order it was written."""

    items: "dict[str, Node]"
    key_lines: dict[str, int]
    line: int


Node = Scalar | Items | Fields


def bad(line: int, reason: str, *, hint: str = "") -> BadRecord:
    """Return the error for a fault on LINE; its facts `line` and `reason` let a caller name the file as well."""
    return BadRecord(f"line {line}: {reason}", hint=hint, line=line, reason=reason)
