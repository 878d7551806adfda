"""Processes that hold the protocol's SDK: one for all who come to the daemon's door, or one for one client alone."""

import asyncio
import os
import socket
import sys
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.to_thread
from mcp.server.stdio import stdio_server

from coord.faces.mcp import hosting, server, web
from coord.faces.mcp.facts import Facts
from coord.thin import relay

_LONGEST = 32 << 20


def here(start: Path, who: str) -> None:
    """Serve one client on this process's standard streams until it leaves."""
    told = os.environ.pop("COORD_MCP_FACTS", "")
    if told:
        facts = Facts.read(os.fsencode(told.replace("\1", "\0")))
        os.write(1, relay.GREETING)
    else:
        facts = Facts.here(start, who)
    anyio.run(_on_standard_streams, facts)


def host(channel: int) -> None:
    """Serve every connection that the daemon hands over, until the daemon ends."""
    with socket.socket(fileno=channel) as open_channel:
        anyio.run(_as_host, open_channel)
    os._exit(0)  # a call that still runs is nobody's now; what it noted stands, what it did not never was


async def _on_standard_streams(facts: Facts) -> None:
    made = server.made(lambda _: facts)
    async with stdio_server() as (read, write):
        await made.run(read, write, server.options(made))


async def _as_host(channel: socket.socket) -> None:
    async with anyio.create_task_group() as clients:
        while (handed := await anyio.to_thread.run_sync(hosting.taken, channel)) is not None:
            descriptor, told = handed
            serve = web.serve if told.startswith(hosting.WEB) else _connection
            clients.start_soon(serve, socket.socket(fileno=descriptor), told)
        clients.cancel_scope.cancel()


async def _connection(visitor: socket.socket, told: bytes) -> None:
    """Serve one connection; whatever becomes of it is no matter of the others'."""
    with visitor:
        visitor.setblocking(False)
        try:
            facts = Facts.read(told)
            reader, writer = await asyncio.open_unix_connection(sock=visitor)
            writer.write(relay.GREETING)
            made = server.made(lambda _: facts)
            lines: Any = _Lines(reader)
            async with stdio_server(cast(Any, lines), cast(Any, _Writer(writer))) as (read, write):
                await made.run(read, write, server.options(made))
        except* (OSError, EOFError):
            pass  # it went
        except* Exception:
            traceback.print_exc(file=sys.stderr)


class _Lines:
    """The lines that come over a connection, as the SDK reads those of a file."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def __aiter__(self) -> AsyncIterator[str]:
        pieces: list[bytes] = []
        while sum(map(len, pieces)) < _LONGEST:
            try:
                chunk = await self._reader.read(1 << 16)
            except OSError:
                return
            if not chunk:
                return
            for line in relay.whole(pieces, chunk):
                yield line.decode(errors="replace")


class _Writer:
    """The other direction, as the SDK writes to a file."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def write(self, text: str) -> None:
        """Send TEXT."""
        self._writer.write(text.encode())

    async def flush(self) -> None:
        """Wait until the other side has taken most of it."""
        await self._writer.drain()
