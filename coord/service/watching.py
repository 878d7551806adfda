"""The daemon as others see it: who runs, since when, and how to end it."""

import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from coord.model import times
from coord.model.errors import CoordError, TimedOut
from coord.model.records import Process
from coord.model.values import frozen
from coord.service.command import command
from coord.service.coord import Coord
from coord.stores import durable, oslock

LOCK = "daemon.lock"
IDENTITY = "daemon.json"
_KEPT = 1 << 20


@frozen
class Daemon:
    """What is known of the daemon; `unknown` where its process cannot be seen from here."""

    state: Literal["running", "stopped", "unknown"]
    pid: int | None = None
    since: datetime | None = None
    log: str = ""


def announce(coord: Coord) -> None:
    """Note that this process is the daemon; it holds the lock that proves it."""
    me = oslock.me()
    plain = {"process": asdict(me), "since": times.format_time(coord.now())}
    durable.replace(coord.private / IDENTITY, json.dumps(plain).encode())


def renounce(coord: Coord) -> None:
    """Take back what `announce` noted: this process watches no more."""
    if find(coord).pid == os.getpid():
        (coord.private / IDENTITY).unlink(missing_ok=True)


def log(coord: Coord) -> Path:
    """Return where a detached daemon says what it does."""
    return coord.private / "logs" / "watch.log"


def trim(coord: Coord) -> None:
    """Let the log begin anew; its last megabyte is kept beside it. For the daemon alone, who appends to it."""
    path = log(coord)
    with path.open("r+b") as file:
        file.seek(max(0, path.stat().st_size - _KEPT))
        path.with_name(f"{path.name}.old").write_bytes(file.read())
        file.truncate(0)


def find(coord: Coord) -> Daemon:
    """Find the daemon by the process it announced, never by the age of a file."""
    told = str(log(coord))
    try:
        plain = json.loads((coord.private / IDENTITY).read_text(encoding="utf-8"))
        process = Process(**plain["process"])
        since = times.parse_time(plain["since"])
    except (OSError, ValueError, KeyError, TypeError, CoordError):
        return Daemon("stopped", log=told)
    alive = oslock.is_alive(process)
    if alive is False:
        return Daemon("stopped", log=told)
    return Daemon("running" if alive else "unknown", process.pid, since, told)


@command("watch status", example="coord watch status")
def status(coord: Coord) -> Daemon:
    """Tell whether the daemon runs, since when, and where its log is."""
    return find(coord)


@command("watch stop", example="coord watch stop")
def stop(
    coord: Coord, *, timeout: Annotated[timedelta, "how long to wait for it to end"] = timedelta(seconds=10)
) -> Daemon:
    """Ask the daemon to finish what it does and end; return once it has.

    Raises:
        TimedOut: it still runs.
    """
    found = find(coord)
    if found.state != "running" or found.pid is None:
        return found
    with suppress(ProcessLookupError):  # it has just ended
        os.kill(found.pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout.total_seconds()
    while find(coord).state == "running":
        if time.monotonic() > deadline:
            raise TimedOut(
                f"the daemon (pid {found.pid}) still runs", hint=f"see {found.log}, or end it with kill {found.pid}"
            )
        time.sleep(0.02)
    return Daemon("stopped", found.pid, found.since, found.log)
