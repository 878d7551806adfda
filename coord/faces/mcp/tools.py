"""Commands as tools: what each is called, takes, gives and may do. Nothing of the protocol's SDK."""

import difflib
from collections.abc import Mapping
from functools import cache
from typing import Any

from coord.faces import render, wire
from coord.faces.mcp import shortcuts
from coord.model.errors import NotFound, Usage
from coord.model.regex import regex
from coord.model.values import frozen
from coord.service import commands
from coord.service.command import Command, Param

# An agent has no use for minutes of measuring on a machine that others work on; whoever ends the daemon
# ends the host that would answer; whether commits are guarded, or assistants begin with coord, is the owner's to
# say; and git alone has a message to sign. All stay commands.
_OWNERS = frozenset({"guard install", "guard uninstall", "agents install", "agents remove"})
WITHHELD = _OWNERS | {"bench", "watch stop", "guard sign"}
# So that looking for faults can be allowed once and for all: mending them is the owner's, who is told how.
# A connection has keys of its own, and what is always loaded must be short.
_NOT_TAKEN = {"doctor": ("fix", "rebuild"), "mail reply": ("key",)}

# Tools that a client should put before the model unasked, beside the shortcuts; the rest it finds by searching.
_LOUD = frozenset({"mail ack", "mail reply", "lock check"})
# What takes away, and what may be called twice to the same effect. What only looks is neither.
_DESTRUCTIVE = frozenset({"lock break", "worktree remove", "merge cancel"})
_IDEMPOTENT = frozenset({"mail ack", "lock acquire", "lock renew", "ledger verify"})

_FOR_TERMINALS = regex("; (?:- reads standard input|repeatable(?:, in order)?)|…$")
_SHAPES: Mapping[str, Mapping[str, object]] = {
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "flag": {"type": "boolean"},
    "time": {"type": "string", "format": "date-time"},
}


@frozen
class Tool:
    """One tool: a command under the names that its callers know."""

    name: str
    command: Command[Any, Any]
    takes: Mapping[str, Param]
    summary: str
    description: str
    loud: bool
    singly: frozenset[str] = frozenset()  # what is shown as one text though the command takes many

    @property
    def reads_only(self) -> bool:
        """Whether it changes nothing, whatever it is given."""
        return not self.command.writes

    @property
    def destructive(self) -> bool:
        """Whether it may take away what others rely on."""
        return self.command.name in _DESTRUCTIVE

    @property
    def idempotent(self) -> bool:
        """Whether calling it twice changes no more than calling it once."""
        return self.reads_only or self.command.name in _IDEMPOTENT

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of its arguments."""
        made: dict[str, Any] = {
            "type": "object",
            "properties": {name: _property(param, one=name in self.singly) for name, param in self.takes.items()},
        }
        if required := [name for name, param in self.takes.items() if param.required]:
            made["required"] = required
        return {**made, "additionalProperties": False}

    def gives(self) -> dict[str, Any]:
        """Return the JSON schema of its structured answer; of a loud tool, which every model pays for, its outline."""
        whole = wire.schema(self.command.returns)
        return _outline(whole) if self.loud else whole

    def arguments(self, given: Mapping[str, Any]) -> tuple[list[object], dict[str, object]]:
        """Type what a caller gave, for the command.

        Raises:
            Usage: something is unknown, missing or of another kind; names it.
        """
        for name in given:
            if name not in self.takes:
                raise Usage(f"{self.name} takes no {name!r}", hint=_near(name, self.takes) or "it takes nothing")
        said = {param.name: _typed(name, param, given.get(name)) for name, param in self.takes.items()}
        positional: list[object] = []
        named: dict[str, object] = {}
        for param in self.command.params:
            value = said.get(param.name, param.default)
            if param.positional:
                positional.append(value)
            else:
                named[param.name] = value
        return positional, named


@cache
def every() -> Mapping[str, Tool]:
    """Return all tools by name, those that are always shown first."""
    made = {one.name: _shortened(one) for one in shortcuts.TOOLS}
    plain = [_plain(command) for command in commands.every() if command.name not in WITHHELD]
    return made | {tool.name: tool for tool in sorted(plain, key=lambda tool: not tool.loud)}


def find(name: str) -> Tool:
    """Return the tool NAME.

    Raises:
        NotFound: there is none; names those near.
    """
    found = every().get(name)
    if found is None:
        raise NotFound(f"there is no tool {name!r}", hint=_near(name, every()))
    return found


def _plain(command: Command[Any, Any]) -> Tool:
    withheld = _NOT_TAKEN.get(command.name, ())
    text = command.help.partition("\nRaises:\n")[0].rstrip()
    return Tool(
        name=command.name.replace(" ", "_"),
        command=command,
        takes={one.name.rstrip("_"): one for one in command.params if one.name not in withheld},
        summary=text.partition("\n")[0].rstrip("."),
        description=text,
        loud=command.name in _LOUD,
    )


def _shortened(one: shortcuts.Shortcut) -> Tool:
    command = commands.find(one.command)
    params = {param.name: param for param in command.params}
    return Tool(
        name=one.name,
        command=command,
        takes={name: one.shaped(name, params[of]) for name, of in one.takes.items()},
        summary=one.summary,
        description=one.description,
        loud=True,
        singly=one.singly,
    )


def _outline(whole: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object's schema without what lies below its first level."""
    return {"type": "object", "properties": {name: _flat(part) for name, part in whole["properties"].items()}}


def _flat(part: Mapping[str, Any]) -> dict[str, Any]:
    if "type" in part:
        return {"type": part["type"]}
    return {"anyOf": list(map(_flat, part["anyOf"]))} if "anyOf" in part else dict(part)


def _near(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}" if known else ""


def _property(param: Param, *, one: bool = False) -> dict[str, Any]:
    item: dict[str, Any] = dict(_SHAPES.get(param.kind, {"type": "string"}))
    if param.kind == "choice":
        item["enum"] = list(param.choices)
    made: dict[str, Any] = {"type": "array", "items": item} if param.many and not one else item
    if about := _told(param):
        made["description"] = about
    if param.default not in (None, "", (), False):
        made["default"] = render.default(param.default) if param.kind == "duration" else param.default
    return made


def _told(param: Param) -> str:
    text = _FOR_TERMINALS.sub("", param.help)
    return f"{text}, like 45m or 2h" if param.kind == "duration" else text


def _typed(name: str, param: Param, value: object) -> object:
    if value is None:
        if param.required:
            raise Usage(f"{name} is missing", hint=f"{name}: {_told(param)}")
        return param.default
    if not param.many:
        return _one(name, param, value)
    several = list(value) if isinstance(value, list) else [value]
    if param.help.endswith("…"):
        several = [piece for one in several for piece in (one.split(",") if isinstance(one, str) else [one])]
    typed = tuple(_one(name, param, one.strip() if isinstance(one, str) else one) for one in several if one != "")
    if param.required and not typed:
        raise Usage(f"{name} is empty", hint=f"{name}: {_told(param)}")
    return typed


def _one(name: str, param: Param, value: object) -> object:
    if isinstance(value, bool) and param.kind == "flag":
        return value
    text = _text(param, value)
    if text is None or param.kind == "flag":
        raise Usage(f"{name}: {value!r:.60} is no {param.kind}", hint=f"{name}: {_told(param)}")
    try:
        return wire.parse(param, text)
    except Usage as fault:
        said = fault.message.removeprefix(f"{wire.spelled(param)}: ")
        raise Usage(f"{name}: {said}", hint=fault.hint) from None


def _text(param: Param, value: object) -> str | None:
    """Return a value as the command line would spell it, or None if it is of another kind."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or param.kind in ("text", "prose", "choice"):
        return None
    if param.kind == "duration":
        return f"{value}s"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
