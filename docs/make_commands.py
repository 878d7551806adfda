"""Write commands.md from the commands themselves: python docs/make_commands.py [FILE]; `-` is standard output."""

import io
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from coord.faces import render, wire
from coord.main import tree
from coord.model import errors, records
from coord.service import setup
from coord.service.command import Command, Param
from coord.service.commands import every

HERE = Path(__file__).parent
INTRODUCTION = """\
# Commands

This page is generated from the commands by `make docs`.

Every command takes `--as NAME` (speak as this agent, or as `owner`), `--repo PATH` (default: the repository you
stand in), `--json` and `--help`, before or after its own words. Without `--as`, the variable `COORD_AGENT` says who
speaks, else the agent's worktree that you stand in. Every command that writes takes `--allow-secret`, for the owner
alone: see [security.md](security.md#when-it-is-none-or-must-go-through).

Ids may be shortened to any beginning or end that fits only one. Durations are written `90s`, `30m`, `1h30m`, `2d`;
moments `2026-11-22T12:03:11Z`, `2026-11-22 13:03 +01:00` or `2026-11-22`, in UTC where no offset is given. A text
that may be long is read from standard input where it is given as `-`.

With `--json` the result is one JSON object on standard output. Its keys are below for each command; a key that ends
in `?` may be `null`. Moments are ISO 8601 in UTC, durations are seconds. An error is one object, too, on standard
output:

```json
{"error": {"code": "lease_held", "message": "...", "hint": "...", "retryable": true, "facts": {}}}
```

## Exit statuses

| status | means | `code` in JSON |
|---|---|---|
| 0 | done | |
"""
_SHARED = (
    records.Message,
    records.Lock,
    records.Process,
    records.Checkpoint,
    records.Decision,
    records.MergeRequest,
)
_NAMED = {one.__name__ for one in _SHARED}
_OF_OWN = {"init": setup.Initialised}
_MEANS = {
    "CoordError": "anything else",
    "Usage": "the words of the command make no sense here",
    "NotFound": "what was named does not exist",
    "Refused": "understood, and not allowed now",
    "Conflict": "somebody else's claim or change stands in the way",
    "Unavailable": "disk, git or a process cannot serve now, or a wait ran out",
    "Corrupt": "stored data is not what its format promises",
}
_EXTRA = {"type": "object", "description": "keys of the file that this version does not know, where there are any"}
_WORDS = {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false", "null": "null"}


def document() -> Iterator[str]:
    """Yield the page in pieces."""
    yield INTRODUCTION
    yield from _statuses()
    yield "\n## Contents\n\n"
    names = _names()
    nouns = dict.fromkeys(name.partition(" ")[0] for name in names)
    for noun in nouns:
        inside = [name for name in names if name.partition(" ")[0] == noun]
        links = (f"[{name}](#coord-{name.replace(' ', '-')})" for name in inside)
        yield f"- {', '.join(links)}\n"
    derived = {one.name: one for one in every()}
    root = tree()
    for name in names:
        yield f"\n## coord {name}\n\n"
        if name in derived:
            yield from _derived(derived[name])
        else:
            yield from _of_own(name, root)
    yield "\n## Records\n\nThe records that the results above hold. Their files are in [formats.md](formats.md).\n"
    for one in _SHARED:
        yield f"\n### {one.__name__}\n\n```\n{_shape(wire.schema(one), top=True)}```\n"


def _names() -> list[str]:
    mine = tree().own
    names = ["init", *(one.name for one in every() if not one.name.startswith("watch ")), "watch"]
    names += [one.name for one in every() if one.name.startswith("watch ")]
    return names + [name for name in mine if name not in names]


def _statuses() -> Iterator[str]:
    found = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.CoordError)]
    for status in sorted({one.exit_status for one in found}):
        classes = [one for one in found if one.exit_status == status]
        codes = ", ".join(f"`{one.code}`" for one in classes)
        yield f"| {status} | {_MEANS[classes[0].__name__]} | {codes} |\n"
    yield "| 130 | interrupted; nothing is half done | |\n"


def _derived(command: Command[Any, Any]) -> Iterator[str]:
    text, _, failures = command.help.partition("\nRaises:\n")
    usage = [f"coord {command.name}"]
    usage += [_argument(param) for param in command.params if param.positional]
    options = [param for param in command.params if not param.positional]
    usage += [f"--{wire.option(param)} {_value(param)}" for param in options if param.required]
    usage += ["[options]"] if any(not param.required for param in options) else []
    yield f"{text.strip()}\n\n```\n{' '.join(usage)}\n```\n\n"
    if command.params:
        yield "| | | default |\n|---|---|---|\n"
        for param in command.params:
            spelled = _argument(param) if param.positional else f"--{wire.option(param)} {_value(param)}".strip()
            yield f"| `{_cell(spelled)}` | {_cell(param.help.rstrip('…'))} | {_default(param)} |\n"
        yield "\n"
    yield f"Example: `{command.example}`\n"
    if failures:
        yield "\nFails when:\n\n"
        yield from (f"- {line}\n" for line in _failures(failures))
    yield f"\nResult:\n\n```\n{_shape(wire.schema(command.returns), top=True)}```\n"


def _failures(text: str) -> Iterator[str]:
    for name, words in re.findall(r"^\s*(\w+): (.+?)(?=^\s*\w+: |\Z)", text, re.MULTILINE | re.DOTALL):
        status = getattr(errors, name).exit_status
        yield f"{' '.join(words.split()).rstrip('.')}: status {status}, `{getattr(errors, name).code}`"


def _argument(param: Param) -> str:
    shown = param.name.rstrip("_").upper() + ("..." if param.many else "")
    return shown if param.required else f"[{shown}]"


def _value(param: Param) -> str:
    if param.kind == "flag":
        return ""
    return "|".join(param.choices) or param.kind.upper()


def _default(param: Param) -> str:
    if param.required:
        return "required"
    return "" if param.default in (None, "", (), False) else f"`{render.default(param.default)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _of_own(name: str, root: click.Group) -> Iterator[str]:
    context = click.Context(root, info_name="coord")
    command = root.get_command(context, name)
    assert command is not None
    inherited = {param.name for param in root.params}
    options = [one for one in command.params if one.name not in inherited]
    words = [one.make_metavar(context) for one in options if isinstance(one, click.Argument)]
    usage = ["coord", name, *words, *(["[options]"] if len(words) < len(options) else [])]
    yield f"{command.help}\n\n```\n{' '.join(usage)}\n```\n\n"
    shown = [record for one in options if (record := one.get_help_record(context))]
    if shown:
        yield "| | |\n|---|---|\n"
        yield from (f"| `{_cell(spelled)}` | {_cell(text)} |\n" for spelled, text in shown)
        yield "\n"
    yield f"Example: `{getattr(command, 'example', '')}`\n"
    if name in _OF_OWN:
        yield f"\nResult:\n\n```\n{_shape(wire.schema(_OF_OWN[name]), top=True)}```\n"


def _shape(schema: Mapping[str, Any], indent: str = "", *, top: bool = False) -> str:
    """Return a schema as an outline: one key a line, what belongs to it below."""
    if not top and schema.get("title") in _NAMED:
        return ""
    lines = []
    for key, found in schema.get("properties", {}).items():
        inner, mark = _without_null(_EXTRA if key == "extra" else found)
        element = inner.get("items", inner)
        below = _shape(element, f"{indent}  ")
        lines.append(f"{indent}{key}{mark}: {_type(inner)}\n{below}")
    return "".join(lines)


def _without_null(schema: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    parts = [part for part in schema.get("anyOf", ()) if part.get("type") != "null"]
    return (parts[0], "?") if len(parts) == 1 else (schema, "")


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if schema.get("title") in _NAMED:
        return str(schema["title"])
    if schema.get("format") == "date-time":
        return "moment"
    if schema.get("type") == "object":
        return str(schema.get("description", "object"))
    return str(schema.get("description") or _WORDS[schema["type"]])


def main() -> None:
    """Write the page."""
    target = sys.argv[1] if len(sys.argv) > 1 else str(HERE / "commands.md")
    out = io.StringIO()
    out.writelines(document())
    if target == "-":
        sys.stdout.write(out.getvalue())
    else:
        Path(target).write_text(out.getvalue(), encoding="utf-8")


if __name__ == "__main__":
    main()
