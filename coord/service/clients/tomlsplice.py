"""A server of coord's own in TOML, spliced into the text: everything else keeps every byte.

A library that keeps comments would not do: tomlkit 0.13 leaves line breaks behind where a table
was added and removed again, and cannot take one out of tables that are out of order.
"""

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from coord.model.regex import regex
from coord.model.values import frozen
from coord.service.clients import lineblock
from coord.service.clients.entries import runs
from coord.service.clients.jsonread import Broken

_PLACE = regex(r" \(at (?:line (\d+), column \d+|end of document)\)")
_TABLE = regex(
    r"""^\ufeff?[ \t]*\[[ \t]*mcp_servers[ \t]*\.[ \t]*(?:"coord"|'coord'|coord)[ \t]*"""
    r"(?P<below>\.[^\n]*)?\].*(?:\n|\Z)"
    r"(?P<body>(?:(?![ \t]*\[).*\n)*(?:(?![ \t]*\[).+\Z)?)",
    re.MULTILINE,
)
_IDLE = regex(r"[ \t]*(?:#.*)?\r?\n?")


@frozen(kw_only=True)
class TomlFile:
    """A TOML file that names servers in tables, as Codex has them."""

    path: str
    server: Mapping[str, object]

    def installed(self, text: str) -> str:
        """Return TEXT with coord's server as it is now, and nothing else changed; what is set beside it stays.

        Raises:
            Broken: it is no TOML, has another server named coord, or is written so that no table can be added.
        """
        told = _read(text)
        there = _server(told)
        if there is not None and not runs(there, "mcp"):
            raise Broken("a server named coord is there that does not run `coord mcp`", _line(text))
        if there is not None and self.server.items() <= there.items():
            return text
        if there is None:
            made = lineblock.added(text, f"[mcp_servers.coord]\n{self._lines()}")
        else:
            made = _TABLE.sub(lambda found: found[0] if found["below"] else self._renewed(found), text)
        return _checked(made, text, told, {**(there or {}), **self.server})

    def removed(self, text: str) -> str:
        """Return TEXT without coord's server and the tables below it.

        Raises:
            Broken: it is no TOML, or has the server in a form that cannot be taken out line by line.
        """
        told = _read(text)
        if not runs(_server(told), "mcp"):
            return text
        made = text
        while found := _TABLE.search(made):
            made = lineblock.without(made, found.start(), found.start("body") + len(_busy(found["body"])))
        return _checked(made, text, told, None)

    def _lines(self) -> str:
        return "".join(f"{key} = {_value(value)}\n" for key, value in self.server.items())

    def _renewed(self, found: re.Match[str]) -> str:
        ours = re.compile(rf"[ \t]*(?:{'|'.join(self.server)})[ \t]*=")
        kept = [line for line in found["body"].splitlines(keepends=True) if not ours.match(line)]
        header = found[0][: found.start("body") - found.start()]
        return header + self._lines().replace("\n", lineblock.line_break_of(header)) + "".join(kept)


def _busy(body: str) -> str:
    """Return a table's lines without the empty ones and comments at its end: these stand before what comes next."""
    lines = body.splitlines(keepends=True)
    while lines and _IDLE.fullmatch(lines[-1]):
        lines.pop()
    return "".join(lines)


def _read(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text.removeprefix("\ufeff").replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as fault:
        place = _PLACE.search(str(fault))
        line = int(place[1]) if place and place[1] else text.count("\n") + 1
        raise Broken(_PLACE.sub("", str(fault)), line) from None


def _server(told: Mapping[str, Any]) -> dict[str, Any] | None:
    servers = told.get("mcp_servers")
    found = servers.get("coord") if isinstance(servers, dict) else None
    return found if isinstance(found, dict) else None


def _checked(made: str, text: str, told: Mapping[str, Any], server: Mapping[str, Any] | None) -> str:
    """Return MADE if it says what TEXT did but for the server; lines that only look like a table are met here."""
    others = {name: one for name, one in told.get("mcp_servers", {}).items() if name != "coord"}
    wanted = others if server is None else {**others, "coord": server}
    try:
        found = _read(made)
    except Broken:
        found = {}
    rest = {key: value for key, value in told.items() if key != "mcp_servers"}
    if {"mcp_servers": {}, **found} != {**rest, "mcp_servers": wanted}:
        raise Broken("mcp_servers is written in a way that coord does not edit", _line(text))
    return made


def _line(text: str) -> int:
    """Return the line in which servers are first spoken of."""
    found = re.search(r"mcp_servers[^\n]*coord|mcp_servers", text)
    return text.count("\n", 0, found.start() if found else 0) + 1


def _value(value: object) -> str:
    return f"[{', '.join(map(_value, value))}]" if isinstance(value, list) else f'"{value}"'
