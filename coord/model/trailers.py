"""An event as a commit message, and back.

The message is a subject for people and one block of trailers for programs. Whatever an
agent wrote is escaped to one line before it gets here, so that nothing in it can end the
block, begin another or pass for a trailer.
"""

import re
from collections.abc import Mapping

from coord.model import keys
from coord.model.errors import Usage
from coord.model.records import Event
from coord.model.regex import regex
from coord.model.untrusted import UNSAFE, clean_line
from coord.model.values import frozen

SUBJECT_LIMIT = 72
_OWN = ("Event", "Id", "Agent", "Cause")
_NAME = regex(r"[A-Z][A-Za-z0-9-]*")
_LINE = regex(r"Coord-([A-Z][A-Za-z0-9-]*):(?: (.*))?")
_ESCAPED = regex(f"^ | $|[\\\\\x00-\x1f]|{UNSAFE.pattern}")
_ESCAPE = regex(r"\\(?:([\\nrt])|x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")
_SHORT = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LONG = {"\\": "\\", "n": "\n", "r": "\r", "t": "\t"}
_LAST = 0x10FFFF
_BY_COORD = ("coord", "owner", "git")


@frozen
class Parsed:
    """What a ledger's commit message says. Anybody may have written it: it is text, not truth."""

    subject: str
    kind: str
    id: str
    agent: str
    cause: tuple[str, ...]
    facts: Mapping[str, str]


def message(event: Event) -> str:
    """Write an event's commit message; what `parse` gives back, but for a subject cleaned and cut to fit.

    Raises:
        Usage: a fact's name is no trailer's name, or one of coord's own.
    """
    pairs = [("Event", event.kind), ("Id", event.id), ("Agent", event.agent)]
    pairs += [("Cause", one) for one in event.cause]
    pairs += [(_checked(name), event.facts[name]) for name in sorted(event.facts)]
    subject = clean_line(_prefix(event.kind) + event.subject, SUBJECT_LIMIT)
    return f"{subject}\n\n" + "".join(f"Coord-{name}: {_escaped(value)}".rstrip(" ") + "\n" for name, value in pairs)


def parse(message: str) -> Parsed | None:
    """Read a commit message; None where its last paragraph names no event, as in commits by others."""
    head, _, last = message.replace("\r\n", "\n").rstrip("\n ").rpartition("\n\n")
    cause: list[str] = []
    found: dict[str, str] = {}
    for line in last.split("\n"):
        if trailer := _LINE.fullmatch(line):
            name, value = trailer[1], _unescaped(trailer[2] or "")
            if name == "Cause":
                cause.append(value)
            else:
                found.setdefault(name, value)
    if not head or "Event" not in found:
        return None
    kind, identifier, agent = (found.pop(name, "") for name in _OWN[:3])
    subject = clean_line(head.lstrip().partition("\n")[0])
    subject = subject.removeprefix(_prefix(kind).rstrip()).lstrip()
    return Parsed(subject, kind, identifier, agent, tuple(cause), found)


def author(agent: str) -> tuple[str, str]:
    """Return the name and e-mail address of a commit by AGENT; `unknown` where that is nobody's name."""
    name = agent if keys.is_agent_name(agent) or agent in _BY_COORD else "unknown"
    return name, f"{name}@coord.local"


def _prefix(kind: str) -> str:
    """Return what a subject starts with: an event of kind `mail.sent` is of the family `mail`."""
    return f"{clean_line(kind.partition('.')[0], 24) or 'event'}: "


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name) or name.title() in _OWN:
        raise Usage(f"{name!r} cannot name a fact", hint="Use a capital and then letters, digits and hyphens: Token.")
    return name


def _escaped(value: str) -> str:
    return _ESCAPED.sub(_escape, value)


def _escape(found: re.Match[str]) -> str:
    character = found.group()
    code = ord(character)
    long = f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else long)


def _unescaped(value: str) -> str:
    return _ESCAPE.sub(_character, value)


def _character(found: re.Match[str]) -> str:
    code = found[2] or found[3] or found[4]
    if code is None:
        return _LONG[found[1]]
    number = int(code, 16)
    return chr(number) if number <= _LAST else found[0]
