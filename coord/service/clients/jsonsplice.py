"""Edit JSON by splicing its text: what is not edited keeps every byte, comments, order and indentation too.

Values are read whole, with the place of each; a caller finds what it wants and names it by its path.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

Path = tuple[str | int, ...]

_DEEPEST, _WIDEST = 100, 96
_SPACE = re.compile(r"[ \t\r\n]*")
_COMMENT = re.compile(r"//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_BESIDE = re.compile(r"[ \t]*(?://[^\r\n]*|/\*[^\r\n]*?\*/)")
_SCALAR = re.compile(
    r'"(?:[^"\\\x00-\x1f]|\\.)*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])|(?:true|false|null)\b'
)
_INDENT = re.compile(r"\n([ \t]+)\S")


class Broken(Exception):
    """Raised when a text is not what its format asks for; says what, and in which line."""

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(f"line {line}: {reason}")
        self.reason = reason
        self.line = line


@dataclass(frozen=True, slots=True)
class Node:
    """A value, where it stands, and its members or items."""

    value: object
    start: int
    end: int
    parts: "tuple[Part, ...]" = ()

    def part(self, key: str | int) -> "Part | None":
        """Return the member or item KEY."""
        return next((part for part in self.parts if part.key == key), None)


@dataclass(frozen=True, slots=True)
class Part:
    """A member or item: its key, where it begins, its value, and where the comma behind it is."""

    key: str | int
    start: int
    node: Node
    comma: int | None


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON text and what it says; every edit returns a new one."""

    text: str
    root: Node
    comments: bool = False

    @classmethod
    def read(cls, text: str, *, comments: bool = False) -> "Document":
        """Read TEXT; where the client takes COMMENTS, these and trailing commas may be in it.

        Raises:
            Broken: it is no JSON object, or has a key twice.
        """
        return cls(text, _Reader(text, comments).document(), comments)

    def at(self, path: Path) -> Node | None:
        """Return the value at PATH, or None where there is none."""
        node = self.root
        for key in path:
            if (part := node.part(key)) is None:
                return None
            node = part.node
        return node

    def line(self, node: Node) -> int:
        """Return the line in which a value begins."""
        return _line(self.text, node.start)

    def put(self, path: Path, value: object) -> "Document":
        """Set the value at PATH, or add it; behind the last item where PATH ends in the array's length."""
        *above, key = path
        for depth in range(len(path)):
            if self.at(path[: depth + 1]) is None:
                parent = self.at(path[:depth])
                assert parent is not None
                if depth == len(above) or not self._is_open(parent):
                    return self._added(parent, path[depth], _wrapped(path[depth + 1 :], value))
                empty: object = {} if isinstance(path[depth + 1], str) else []
                return self._added(parent, path[depth], empty).put(path, value)
        parent = self.at(tuple(above))
        assert parent is not None
        part = parent.part(key)
        assert part is not None
        text = self._written(value, self._indent_at(part.start), inline=not self._is_open(parent))
        return self._spliced((part.node.start, part.node.end, text))

    def drop(self, path: Path) -> "Document | None":
        """Take away what is at PATH, and what encloses nothing else; None where that is all there was."""
        while path:
            *above, key = path
            parent = self.at(tuple(above))
            assert parent is not None
            if len(parent.parts) > 1 or self._has_comments(parent):
                return self._spliced(*self._cuts(parent, key))
            path = tuple(above)
        return None

    def _added(self, parent: Node, key: str | int, value: object) -> "Document":
        name = f"{json.dumps(key, ensure_ascii=False)}: " if isinstance(key, str) else ""
        if not parent.parts:
            base = self._indent_at(parent.start)
            inside = self._line_break + base + self._unit
            made = f"{inside}{name}{self._written(value, base + self._unit)}"
            if self._has_comments(parent):
                return self._spliced((parent.start + 1, parent.start + 1, made))
            return self._spliced((parent.start + 1, parent.end - 1, f"{made}{self._line_break}{base}"))
        last = parent.parts[-1]
        if not self._is_open(parent):
            made = f"{name}{self._written(value, '', inline=True)}"
            at = last.node.end if last.comma is None else last.comma + 1
            return self._spliced((at, at, f", {made}" if last.comma is None else f" {made},"))
        indent = self._indent_at(last.start)
        made = f"{self._line_break}{indent}{name}{self._written(value, indent)}"
        at = last.node.end if last.comma is None else last.comma + 1
        beside = _BESIDE.match(self.text, at) if self.comments else None
        behind = beside.end() if beside else at
        if last.comma is not None:
            return self._spliced((behind, behind, f"{made},"))
        return self._spliced((at, at, ","), (behind, behind, made))

    def _cuts(self, parent: Node, key: str | int) -> "list[tuple[int, int, str]]":
        index = next(number for number, part in enumerate(parent.parts) if part.key == key)
        part = parent.parts[index]
        before = parent.parts[index - 1] if index else None
        behind = parent.start + 1 if before is None else before.node.end if before.comma is None else before.comma + 1
        start = len(self.text[: part.start].rstrip(" \t\r\n"))
        end = part.node.end if part.comma is None else part.comma + 1
        if "//" in self.text[behind:start].rpartition("\n")[2] and not self._line_ends(end):
            start = part.start  # what follows must not get into the comment
        cuts = [(start, end, "")]
        if part.comma is None and before is not None and before.comma is not None:
            cuts.insert(0, (before.comma, before.comma + 1, ""))
        return cuts

    def _line_ends(self, at: int) -> bool:
        return self.text[at:].lstrip(" \t")[:1] in ("\r", "\n", "")

    def _spliced(self, *cuts: tuple[int, int, str]) -> "Document":
        text = self.text
        for start, end, made in reversed(cuts):
            text = f"{text[:start]}{made}{text[end:]}"
        return Document.read(text, comments=self.comments)

    def _written(self, value: object, indent: str, *, inline: bool = False) -> str:
        flat = json.dumps(value, ensure_ascii=False)
        if inline or len(indent) + len(flat) <= _WIDEST or not isinstance(value, dict | list):
            return flat
        inner = self._line_break + indent + self._unit
        if isinstance(value, dict):
            lines = [f"{json.dumps(key)}: {self._written(one, indent + self._unit)}" for key, one in value.items()]
        else:
            lines = [self._written(one, indent + self._unit) for one in value]
        opening, closing = "{}" if isinstance(value, dict) else "[]"
        return f"{opening}{inner}{f',{inner}'.join(lines)}{self._line_break}{indent}{closing}"

    @property
    def _line_break(self) -> str:
        return "\r\n" if "\r\n" in self.text else "\n"

    @property
    def _unit(self) -> str:
        found = _INDENT.search(self.text)
        return found[1] if found else "  "

    def _indent_at(self, at: int) -> str:
        """Return the whitespace that the line of a place begins with."""
        line = self.text[self.text.rfind("\n", 0, at) + 1 : at].lstrip("\ufeff")
        return line[: len(line) - len(line.lstrip(" \t"))]

    def _is_open(self, parent: Node) -> bool:
        """Tell whether members stand on lines of their own."""
        return not parent.parts or "\n" in self.text[parent.start : parent.parts[0].start]

    def _has_comments(self, parent: Node) -> bool:
        between = parent.start + 1
        for part in parent.parts:
            if self.text[between : part.start].strip(" \t\r\n,"):
                return True
            between = part.node.end
        return bool(self.text[between : parent.end - 1].strip(" \t\r\n,"))


def _wrapped(path: Sequence[str | int], value: object) -> object:
    for key in reversed(path):
        value = {key: value} if isinstance(key, str) else [value]
    return value


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


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
        raise Broken(reason, _line(self.text, self.at))
