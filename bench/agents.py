"""Thirteen assistants that start their server at once, against as many bare interpreters that say one line."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from bench import ground
from bench.ground import Scale
from coord.service.measuring import benchground
from coord.service.measuring.benchground import AGENTS
from coord.service.measuring.benchrows import Row, p, p50

_COORD = str(Path(sys.executable).with_name("coord"))
_MARK, _SMALL = 500.0, 12.0
_HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
_ASKED = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": _HELLO}).encode() + b"\n"


def agents(scale: Scale) -> Iterator[Row]:
    """Time how long thirteen wait for their first answer, when the host is to be started and when it is there."""
    with ground.repository() as home, benchground.daemon(home):
        cold, sizes = _at_once([_COORD, "mcp"], home)
        warm, floor = [], []
        for _ in range(scale.count(20)):
            floor.append(max(_at_once([sys.executable, "-c", "print(input())"], home)[0]))
            took, more = _at_once([_COORD, "mcp"], home)
            warm.append(max(took))
            sizes += more
    yield Row(
        "thirteen assistants at once: all answered",
        "ms",
        p50(warm),
        p(99, warm),
        p50(floor),
        p(99, floor),
        mark="p50 ≤ 500",
        met=p50(warm) <= _MARK,
    )
    yield Row("the first thirteen, who wait for the host", "ms", max(cold))
    if sizes:
        yield Row("memory of a relay, the largest", "MB", max(sizes), mark="≤ 12", met=max(sizes) <= _SMALL)


def _at_once(words: Sequence[str], home: Path) -> tuple[list[float], list[float]]:
    """Return after how many milliseconds each of thirteen had its answer, and the megabytes that each held."""
    began = time.perf_counter()
    started = [
        subprocess.Popen(
            words, cwd=home, env={**os.environ, "COORD_AGENT": name}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for name in AGENTS
    ]
    waiting = {one.stdout: one for one in started if one.stdout is not None}
    took: list[float] = []
    for one in started:
        if one.stdin is not None:
            one.stdin.write(_ASKED)
            one.stdin.flush()
    while waiting:
        for stream in select.select(list(waiting), [], [])[0]:
            stream.readline()
            took.append((time.perf_counter() - began) * 1000)
            del waiting[stream]
    sizes = [size for one in started if (size := _megabytes(one.pid))]
    for one in started:
        one.communicate()
    return took, sizes


def _megabytes(pid: int) -> float:
    """Return what a process holds in memory, or 0 where the system does not say it in a file."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0
