"""Read JSON with the place of everything in it; comments and trailing commas where a client takes them."""

import json
import re
from collections.abc import Sequence
from typing import NoReturn

from coord.model.regex import regex
from coord.model.values import frozen

_DEEPEST = 100
_SPACE = regex(r"[ \t\r\n]*")
_COMMENT = regex(r"//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_SCALAR = regex(
    r'"(?:[^"\\\x00-\x1f]|\\.)*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])|(?:true|false|null)\b'
)


class Broken(Exception):
    """Raised when a text is not what its format asks for; says what, and in which line."""

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(f"line {line}: {reason}")
        self.reason = reason
        self.line = line


@frozen
class Node:
    """A value, where it stands, and its members or items."""

    value: object
    start: int
    end: int
    parts: "tuple[Part, ...]" = ()

    def part(self, key: str | int) -> "Part | None":
        """Return the member or item KEY."""
        return next((part for part in self.parts if part.key == key), None)


@frozen
class Part:
    """A member or item: its key, where it begins, its value, and where the comma behind it is."""

    key: str | int
    start: int
    node: Node
    comma: int | None


def line_of(text: str, at: int) -> int:
    """Return the line of a place."""
    return text.count("\n", 0, at) + 1


def read(text: str, *, comments: bool) -> Node:
    """Return the object that TEXT is; COMMENTS, and commas behind the last, may be in it.

    Raises:
        Broken: it is no JSON object, or has a key twice.
    """
    return _Reader(text, comments).document()


class _Reader:
    def __init__(self, text: str, comments: bool) -> None:
        self.text = text
        self.comments = comments
        self.at = 0

    def document(self) -> Node:
        if self.text.startswith("\ufeff"):
            self.at = 1
        self._skip()
        if self.text[self.at : self.at + 1] != "{":
            self._fail("an object is wanted, {...}")
        root = self._value(0)
        self._skip()
        if self.at < len(self.text):
            self._fail("there is more behind the end of the object")
        return root

    def _value(self, depth: int) -> Node:
        opening = self.text[self.at : self.at + 1]
        if depth > _DEEPEST:
            self._fail(f"nested more than {_DEEPEST} deep")
        if opening in ("{", "["):
            return self._container(depth, "}" if opening == "{" else "]")
        start, value = self.at, self._scalar("a value")
        return Node(value, start, self.at)

    def _container(self, depth: int, closing: str) -> Node:
        start, parts = self.at, list[Part]()
        self.at += 1
        self._skip()
        while not self._takes(closing):
            if parts and parts[-1].comma is None:
                self._fail(f"a comma or {closing} is wanted")
            begins = self.at
            key = self._key(parts) if closing == "}" else len(parts)
            node = self._value(depth + 1)
            self._skip()
            comma = self.at if self.text[self.at : self.at + 1] == "," else None
            self.at += comma is not None
            parts.append(Part(key, begins, node, comma))
            self._skip()
            if comma is not None and not self.comments and self.text[self.at : self.at + 1] == closing:
                self._fail(f"a comma stands before {closing}")
        values = [part.node.value for part in parts]
        value: object = dict(zip((part.key for part in parts), values, strict=True)) if closing == "}" else values
        return Node(value, start, self.at, tuple(parts))

    def _key(self, parts: Sequence[Part]) -> str:
        at, key = self.at, self._scalar("a key in quotation marks")
        if not isinstance(key, str):
            self.at = at
            self._fail("a key in quotation marks is wanted")
        if any(part.key == key for part in parts):
            self.at = at
            self._fail(f"the key {key!a} is there twice")
        self._skip()
        if not self._takes(":"):
            self._fail("a colon is wanted")
        self._skip()
        return key

    def _scalar(self, wanted: str) -> object:
        found = _SCALAR.match(self.text, self.at)
        if found is None:
            self._fail(f"{wanted} is wanted")
        try:
            value: object = json.loads(found[0])
        except ValueError:
            self._fail(f"{wanted} is wanted")
        self.at = found.end()
        return value

    def _takes(self, sign: str) -> bool:
        if self.at >= len(self.text):
            self._fail("it ends too early")
        if self.text[self.at] != sign:
            return False
        self.at += 1
        return True

    def _skip(self) -> None:
        while True:
            space = _SPACE.match(self.text, self.at)
            assert space is not None
            self.at = space.end()
            comment = _COMMENT.match(self.text, self.at)
            if comment is None:
                return
            if not self.comments:
                self._fail("a comment, which the program that reads this file does not take")
            self.at = comment.end()

    def _fail(self, reason: str) -> NoReturn:
        raise Broken(reason, line_of(self.text, self.at))
