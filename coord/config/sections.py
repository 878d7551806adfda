"""How a YAML file becomes frozen values, with every fault named in one go.

A field annotated with a `Key` is a key of the file: its default says the type, the `Key` explains
and checks it. Nothing here knows which keys there are.
"""

import dataclasses
import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ClassVar, Protocol, cast

from coord.model import yamltext
from coord.model.errors import BadRecord, ConfigError, Usage
from coord.model.times import parse_duration
from coord.model.values import frozen
from coord.model.yamlnodes import Fields, Items, Node, Scalar

_MOST_FAULTS = 20
_NOTHING = Fields({}, {}, 1)
_QUOTE_IT = 'Text that starts with one of * & ! % @ [ { must be quoted, like "*.js".'


class Section(Protocol):
    """Any dataclass; its fields annotated with a `Key` are the keys of one mapping in the file."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


@frozen
class Key:
    """Makes a field a key of the file: `ttl: Annotated[timedelta, Key("how long")] = ...`.

    ABOUT explains it in half a line; CHECK raises Usage for a value that will not do;
    FRESH ones are written into a new file even where they are at their default.
    """

    about: str
    check: Callable[[Any], None] | None = None
    fresh: bool = False


def keys_of(section: Section | type[Section]) -> dict[str, tuple[Key, object]]:
    """Return the keys of a section in their order, each with its default."""
    annotated = ((field, getattr(field.type, "__metadata__", ())) for field in dataclasses.fields(section))
    return {field.name: (extras[0], field.default) for field, extras in annotated if extras}


class Faults:
    """Collects what is wrong with one file, so that a person can mend it in one go."""

    def __init__(self, where: str) -> None:
        self.where = where
        self._found: list[tuple[int, str, str]] = []

    def add(self, line: int, message: str, hint: str = "") -> None:
        """Note a fault.

        Raises:
            ConfigError: there are so many that the file is something else altogether.
        """
        self._found.append((line, message, hint))
        if len(self._found) >= _MOST_FAULTS:
            self.settle()

    @contextmanager
    def noted(self, line: int, what: str) -> Iterator[None]:
        """Turn a Usage raised inside into a fault of WHAT on LINE, and go on."""
        try:
            yield
        except Usage as error:
            self.add(line, f"{what}: {error.message}", error.hint)

    def settle(self) -> None:
        """Pass if nothing was found.

        Raises:
            ConfigError: something was. One fault is one line and its hint; several are a line each, hint included.
        """
        if not self._found:
            return
        found = sorted(self._found)
        alone = len(found) == 1
        lines = (f"{self.where}:{line}: {text}{'' if alone else _aside(hint)}" for line, text, hint in found)
        raise ConfigError(
            "\n".join(lines),
            hint=found[0][2] if alone else f"Mend these {len(found)} places in {self.where}, then try again.",
            file=self.where,
            line=found[0][0],
            faults=[{"line": line, "message": text, "hint": hint} for line, text, hint in found],
        )


def _aside(hint: str) -> str:
    return f" ({hint})" if hint else ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Suggest what NAME may have been meant to be: the nearest of KNOWN, else all of them, else nothing."""
    names = [one for one in known if one.isascii() and one.isprintable()]
    near = difflib.get_close_matches(name[:40].lower(), names, n=2)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return f"Known: {', '.join(names[:20])}{', …' if len(names) > 20 else ''}." if names else ""


def shown(text: str) -> str:
    """Quote a piece of the file for a message: short, and harmless on a terminal."""
    return ascii(text if len(text) <= 60 else f"{text[:60]}...")


def document(text: str, faults: Faults) -> Fields:
    """Read the mapping that a file is.

    Raises:
        ConfigError: it is not one; this alone is reported, since the rest cannot be judged.
    """
    try:
        node = yamltext.read(text)
    except BadRecord as error:
        reason = str(error.facts["reason"])
        hint = error.hint or (_QUOTE_IT if reason.startswith("not YAML") else "")
        faults.add(cast(int, error.facts["line"]), reason, hint)
        node = None
    if isinstance(node, Items) or (isinstance(node, Scalar) and not is_empty(node)):
        faults.add(node.line, "a mapping is expected here, `key: value` on each line")
    faults.settle()
    return node if isinstance(node, Fields) else _NOTHING


def is_empty(node: Node) -> bool:
    """Tell whether nothing was written after a key, which means: leave it at its default."""
    return isinstance(node, Scalar) and not node.quoted and not node.text


def plain(node: Node) -> str:
    """Return one piece of text.

    Raises:
        Usage: it is a list or a mapping.
    """
    if not isinstance(node, Scalar):
        raise Usage(f"must be text, not a {'list' if isinstance(node, Items) else 'mapping'}")
    return node.text.strip()


def entries(node: Node) -> list[tuple[str, int]]:
    """Return the entries of a list, or of a text with commas, each with its line.

    Raises:
        Usage: it is a mapping, or holds anything but text.
    """
    if isinstance(node, Items) and all(isinstance(item, Scalar) for item in node.items):
        found = [(plain(item), item.line) for item in node.items]
    elif isinstance(node, Scalar):
        found = [(part.strip(), node.line) for part in node.text.split(",")]
    else:
        raise Usage("must be a list of texts, or one text with commas", hint="Write it like [one, two] or one, two.")
    return [(text, line) for text, line in found if text]


def read_section(
    kind: type[Section], node: Node, what: str, faults: Faults, own: Mapping[str, Callable[[Node], object]]
) -> dict[str, Any]:
    """Read the values written in one mapping, by key; what is wrong goes to FAULTS and keeps its default.

    WHAT is the way to it (`mail.unread_age`); OWN reads the keys that have a shape of their own.
    """
    values: dict[str, Any] = {}
    if is_empty(node):
        return values
    known = keys_of(kind)
    if not isinstance(node, Fields):
        faults.add(node.line, f"{what}: must be a mapping", f"Its keys: {', '.join(dict.fromkeys((*known, *own)))}.")
        return values
    for name, child in node.items.items():
        path = f"{what}.{name}" if what else name
        if name not in own and name not in known:
            place = f" in {what}" if what else ""
            faults.add(node.key_lines[name], f"unknown key {shown(name)}{place}", did_you_mean(name, {**own, **known}))
        elif not is_empty(child):
            with faults.noted(child.line, path):
                values[name] = own[name](child) if name in own else _value(*known[name], child, path, faults)
    return values


def _value(key: Key, default: object, node: Node, path: str, faults: Faults) -> object:
    value: object
    match default:
        case timedelta():
            value = parse_duration(plain(node))
        case int():
            value = _number(plain(node))
        case str():
            value = plain(node)
        case tuple():
            value = tuple(dict.fromkeys(text for text, _ in entries(node)))
        case section:
            kind = cast(type[Any], type(section))
            value = kind(**read_section(kind, node, path, faults, {}))
    if key.check is not None:
        key.check(value)
    return value


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise Usage(f"{shown(text)} is no whole number")
    return int(text)
