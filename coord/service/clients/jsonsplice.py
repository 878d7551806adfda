"""Edit JSON by splicing its text: what is not edited keeps every byte, comments, order and indentation too."""

import json
from collections.abc import Sequence

from coord.model.regex import regex
from coord.model.values import frozen
from coord.service.clients import jsonread
from coord.service.clients.jsonread import Node

Path = tuple[str | int, ...]

_WIDEST = 96
_BESIDE = regex(r"[ \t]*(?://[^\r\n]*|/\*[^\r\n]*?\*/)")
_INDENT = regex(r"\n([ \t]+)\S")


@frozen
class Document:
    """A JSON text and what it says; every edit returns a new one."""

    text: str
    root: Node
    comments: bool = False

    @classmethod
    def read(cls, text: str, *, comments: bool = False) -> "Document":
        """Read TEXT, in which COMMENTS may be.

        Raises:
            Broken: it is no JSON object, or has a key twice.
        """
        return cls(text, jsonread.read(text, comments=comments), comments)

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
        return jsonread.line_of(self.text, node.start)

    def put(self, path: Path, value: object) -> "Document":
        """Set the value at PATH, or add it; behind the last item where PATH ends in the array's length."""
        above = path[:-1]
        for depth in range(len(path)):
            if self.at(path[: depth + 1]) is None:
                parent = self._there(path[:depth])
                if depth == len(above) or not self._is_open(parent):
                    return self._added(parent, path[depth], _wrapped(path[depth + 1 :], value))
                empty: object = {} if isinstance(path[depth + 1], str) else []
                return self._added(parent, path[depth], empty).put(path, value)
        parent, old = self._there(above), self._there(path)
        text = self._written(value, self._indent_at(old.start), inline=not self._is_open(parent))
        return self._spliced((old.start, old.end, text))

    def drop(self, path: Path) -> "Document | None":
        """Take away what is at PATH, and what encloses nothing else; None where that is all there was."""
        while path:
            *above, key = path
            parent = self._there(tuple(above))
            if len(parent.parts) > 1 or self._has_comments(parent):
                return self._spliced(*self._cuts(parent, key))
            path = tuple(above)
        return None

    def _there(self, path: Path) -> Node:
        found = self.at(path)
        assert found is not None, path
        return found

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
