"""YAML of any kind, by libyaml; loaded where a text is more than `yamlplain` reads.

Only libyaml's event stream is used. It does not recurse, so a hundred thousand nested
brackets are an ordinary refusal; building nodes from it would crash the process.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import yaml

from coord.model.errors import BadRecord
from coord.model.yamlnodes import KEY_LIMIT, Fields, Items, Node, Scalar, bad

_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_VALUES = frozenset((yaml.ScalarEvent, yaml.AliasEvent, yaml.MappingStartEvent, yaml.SequenceStartEvent))


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
            raise bad(line, f"{key!r} is given twice, first on line {self.key_lines[key]}", hint="Keep one.")
        self.key = key
        self.key_lines[key] = line

    def add(self, node: Node) -> None:
        if not self.keyed:
            self.nodes.append(node)
        elif self.key is None:
            raise bad(node.line, "a key must be plain text, not a list or a mapping", hint="Quote it.")
        else:
            self.fields[self.key] = node
            self.key = None

    def closed(self) -> Node:
        return Fields(self.fields, self.key_lines, self.line) if self.keyed else Items(tuple(self.nodes), self.line)


def read(text: str, first_line: int, depth: int) -> Node | None:
    """Read one YAML document; see `yamltext.read`, which has looked at its characters."""
    try:
        return _build(yaml.parse(text, Loader=_LOADER), first_line, depth)
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(error, first_line, depth) from None
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


def _not_yaml(error: yaml.MarkedYAMLError, first_line: int, depth: int) -> BadRecord:
    """Name the line where the fault was seen; the fact `began` is where the thing that is wrong starts."""
    seen = error.problem_mark or error.context_mark
    began = error.context_mark or seen
    line, start = (first_line + (mark.line if mark else 0) for mark in (seen, began))
    reason = f"not YAML: {error.problem or error.context}"
    if (
        "nesting depth" in reason
    ):  # newer versions of libyaml have a limit of their own, and meet it before they say more
        reason = f"nested deeper than {depth}"
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
