"""Processes that hold the protocol's SDK: one that serves its own standard streams, for where no daemon runs."""

import os
from pathlib import Path

import anyio
from mcp.server.stdio import stdio_server

from coord.faces.mcp import server
from coord.faces.mcp.calls import Caller


def here(start: Path, who: str) -> None:
    """Serve one client on this process's standard streams until it leaves."""
    caller = Caller(start, who or os.environ.get("COORD_AGENT", ""))
    anyio.run(_stdio, caller)


async def _stdio(caller: Caller) -> None:
    made = server.made(lambda _: caller)
    async with stdio_server() as (read, write):
        await made.run(read, write, made.create_initialization_options())
