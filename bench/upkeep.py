"""What running for long costs: the repository's growth, git's own storage, the daemon's time and memory."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil

from bench import ground
from bench.ground import Scale
from coord.git import joining, maintain
from coord.service import mail
from coord.service.command import Prose
from coord.service.coord import Coord
from coord.service.measuring import benchground
from coord.service.measuring.benchground import AGENTS
from coord.service.measuring.benchrows import Row, p, p50

_MB = 1 << 20
_MOST_PACKS, _MOST_LOOSE = 50, 6_700  # from here on the owner's own git stops to collect garbage
_PAUSE = 0.01


def maintenance(scale: Scale) -> Iterator[Row]:
    """Send one message after another, most of them a commit of their own, and look at what git has to keep."""
    beside: list[float] = []
    quiet: list[float] = []
    most_packs = most_loose = 0
    with ground.repository() as home:
        before = _taken(home)
        with benchground.daemon(home) as process:
            coord = Coord.open(home, who=AGENTS[0])
            running, until = False, time.monotonic() + scale.seconds(60)
            while time.monotonic() < until:
                number = len(beside) + len(quiet)
                to, body = AGENTS[number % 12 + 1], Prose(benchground.text(number))
                began = time.perf_counter()
                mail.send(coord, (to,), body)
                took = (time.perf_counter() - began) * 1000
                was_running, running = running, _repacks(process.pid)
                (beside if running or was_running else quiet).append(took)
                most_packs, most_loose = max(most_packs, _packs(home)), max(most_loose, _loose(home))
                time.sleep(_PAUSE)
        coord.indexed().close()  # whole, however far the daemon had read
        joining.at_once(coord.place.common)
        grown = {part: size - before[part] for part, size in _taken(home).items()}
    count = len(beside) + len(quiet)
    journal = grown.pop("journal") / _MB  # begun anew every few megabytes, so it does not grow with the messages
    each = sum(grown.values()) / count / 1024
    parts = ", ".join(f"{part} {size / count / 1024:.2f}" for part, size in grown.items())
    note = f"{count:,} messages; {parts}; besides a journal of {journal:.1f} MB"
    yield Row(".git growth a message", "KB", each, mark="≤ 1.5", met=each <= 1.5, note=note)
    if beside:
        yield Row(
            "longest send while maintenance runs",
            "ms",
            max(beside),
            floor=max(quiet, default=None),
            mark="≤ 200",
            met=max(beside) <= 200,
            note=f"{len(beside):,} sends beside it, p50 {p50(beside):.2f}, p99 {p(99, beside):.2f}; floor: without it",
        )
    else:
        yield Row("longest send while maintenance runs", "ms", note="maintenance never ran", mark="≤ 200")
    yield Row("packs, the most at any time", "", most_packs, mark=f"< {_MOST_PACKS}", met=most_packs < _MOST_PACKS)
    yield Row(
        "loose objects, the most at any time", "", most_loose, mark=f"< {_MOST_LOOSE:,}", met=most_loose < _MOST_LOOSE
    )


def _repacks(daemon: int) -> bool:
    return any(maintain.PROGRAM in _words(child) for child in psutil.Process(daemon).children(recursive=True))


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _packs(home: Path) -> int:
    return sum(name.endswith(".pack") for name in os.listdir(home / ".git" / "objects" / "pack"))


def _loose(home: Path) -> int:
    """Return how many loose objects git would estimate there are, from one folder of 256."""
    folder = home / ".git" / "objects" / "17"
    return 256 * len(os.listdir(folder)) if folder.is_dir() else 0


def _taken(home: Path) -> dict[str, int]:
    """Return how many bytes of the disk the parts of `.git` take."""
    found = {"objects": 0, "journal": 0, "index": 0, "other": 0}
    for folder, _, names in os.walk(home / ".git"):
        for name in names:
            path = Path(folder, name)
            inside = path.relative_to(home / ".git").parts
            part = "index" if name.startswith("index.db") else next((one for one in found if one in inside), "other")
            found[part] += path.stat().st_blocks * 512
    return found


def idle(scale: Scale) -> Iterator[Row]:
    """Let two daemons do nothing, one with 13 agents and one with 200, in the same seconds."""
    with ExitStack() as stack:
        watched = {}
        for count in (13, 200):
            home = stack.enter_context(ground.repository(benchground.named(count)))
            watched[count] = psutil.Process(stack.enter_context(benchground.daemon(home)).pid)
        time.sleep(scale.seconds(5))  # what begins with a first look has ended then
        before, began = {count: _cpu(one) for count, one in watched.items()}, time.monotonic()
        time.sleep(scale.seconds(30))
        passed = time.monotonic() - began
        for count, one in watched.items():
            share = (_cpu(one) - before[count]) / passed * 100
            yield Row(f"idle daemon, {count} agents, of one core", "%", share, mark="< 1", met=share < 1)
            size = one.memory_info().rss / _MB
            yield Row(f"idle daemon, {count} agents, memory", "MB", size, mark="< 60", met=size < 60)


def _cpu(process: psutil.Process) -> float:
    spent = process.cpu_times()
    # Linux adds children's time when they are waited for: git's is the daemon's, too.
    return spent.user + spent.system + spent.children_user + spent.children_system
