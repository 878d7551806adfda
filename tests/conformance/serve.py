"""Serve a repository over HTTP as the daemon's host does, with what the suite asks for, to whoever comes.

The suite cannot carry a token, so an agent's is put into every request on its way in; the guard then looks at it.
A third word names a fault to plant.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
from conformance import asked
from mcp.server.transport_security import TransportSecuritySettings

from coord.faces.mcp import hosting, server, web
from coord.faces.mcp.tokens import Tokens
from coord.service.coord import Coord


def _any_host() -> None:
    class Open(TransportSecuritySettings):
        def __init__(self, **_told: Any) -> None:
            super().__init__(enable_dns_rebinding_protection=False)

    web.TransportSecuritySettings = Open  # type: ignore[attr-defined]


def _nothing_found() -> None:
    async def found(*_asked: object) -> types.ReadResourceResult:
        return types.ReadResourceResult(contents=[])

    server._Answers.read_resource = found  # type: ignore[assignment]


def _a_loose_schema() -> None:
    first, *rest = server.listed().tools
    loose = {"type": "object", "properties": {"one": {"type": ["string", "object"], "$ref": "#/nowhere"}}}
    told = types.ListToolsResult(tools=[first.model_copy(update={"input_schema": loose}), *rest])
    server.listed = lambda: told  # type: ignore[assignment]


FAULTS: Mapping[str, Callable[[], None]] = {
    "": lambda: None,
    "any host": _any_host,
    "nothing found": _nothing_found,
    "a loose schema": _a_loose_schema,
}


def carrying(app: web.Application, token: str) -> web.Application:
    header = (b"authorization", f"Bearer {token}".encode())

    async def carried(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope = {**scope, "headers": [*scope["headers"], header]}
        await app(scope, receive, send)

    return carried


def main(start: Path, agent: str, fault: str = "") -> None:
    FAULTS[fault]()
    tokens = Tokens(Coord.open(start).private)
    tokens.prepare([agent])
    made = web.made(start)
    asked.lay_over(made)
    listener = hosting.listening("0")
    app = carrying(web.application(made, listener, start), (tokens.folder / agent).read_text().strip())
    print(f"http://{hosting.place(listener)}/mcp", flush=True)
    anyio.run(web.run, app, listener)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
