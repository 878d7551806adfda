"""Serving HTTP: who calls is told by a bearer token, and by nothing that the client says of itself."""

import os
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.transport_security import TransportSecuritySettings

from coord.faces.mcp import hosting, server
from coord.faces.mcp.calls import Caller
from coord.faces.mcp.facts import Facts
from coord.faces.mcp.tokens import Tokens
from coord.service.coord import Coord

Application = Callable[[Any, Any, Any], Awaitable[None]]
_AGENT = "coord.agent"


async def serve(listener: socket.socket, told: bytes) -> None:
    """Serve the repository that the daemon TOLD of, to whoever comes to LISTENER with a token."""
    start = Path(os.fsdecode(told.split(b"\0")[1]))
    await run(application(made(start), listener, start), listener)


def made(start: Path) -> Server[Any]:
    """Make the server of the repository around START; whose token a request carried says who calls."""
    return server.made(partial(_bearer, start))


def application(made: Server[Any], listener: socket.socket, start: Path) -> Application:
    """Return what answers requests at LISTENER's address, and at no other, to those who carry a token."""
    places = [hosting.place(listener)]
    port = places[0].rpartition(":")[2]
    places += [f"{name}:{port}" for name in ("localhost", "127.0.0.1", "[::1]", socket.gethostname())]
    security = TransportSecuritySettings(allowed_hosts=places, allowed_origins=[f"http://{one}" for one in places])
    return _Guarded(made.streamable_http_app(transport_security=security), start)


async def run(app: Application, listener: socket.socket) -> None:
    """Let APP answer until this is cancelled."""
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    with listener:
        await uvicorn.Server(config).serve(sockets=[listener])


def _bearer(start: Path, context: server.Context) -> Facts:
    request: Any = context.request
    return Facts(Caller(start, request.scope[_AGENT]))


class _Guarded:
    """An application that lets in who carries an agent's token."""

    def __init__(self, app: Any, start: Path) -> None:
        self._app = app
        self._start = start

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            header = dict(scope["headers"]).get(b"authorization", b"").decode(errors="replace")
            agent = await anyio.to_thread.run_sync(self._agent, header)
            if agent is None:
                await _refuse(send)
                return
            scope = {**scope, _AGENT: agent}
        await self._app(scope, receive, send)

    def _agent(self, header: str) -> str | None:
        with Coord.open(self._start) as coord:
            return Tokens(coord.private).owner(coord.config.everybody, header)


async def _refuse(send: Any) -> None:
    words = b"whose token is it? Authorization: Bearer TOKEN, from the file of your name in .git/coord/http\n"
    headers = [(b"content-type", b"text/plain"), (b"www-authenticate", b'Bearer realm="coord"')]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": words})
