"""Sending: one sender, thirteen senders, and how soon it is in the ledger."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import ground
from bench.measure import Row, at_most, p, p50, paired
from coord.service import mail, watching
from coord.service.command import Prose
from coord.service.coord import Coord


def one_sender() -> Iterator[Row]:
    """Time a send in the library until it is acknowledged."""
    with ground.repository() as home:
        coord, floor = ground.opened(home, ground.AGENTS[0]), ground.Floor(home)
        sent, bare = paired(400, lambda: mail.send(coord, (ground.AGENTS[1],), Prose(ground.BODY)), floor)
        yield at_most("send until acknowledged, p50 / p99 ms", sent[20:], bare[20:], 2)


@contextmanager
def daemon(home: Path) -> Iterator[Coord]:
    """Run `coord watch` over a repository."""
    process = subprocess.Popen(
        [sys.executable, "-m", "coord", "--repo", str(home), "watch"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    coord = ground.opened(home, ground.AGENTS[0])
    while watching.find(coord).pid != process.pid or not coord.bells.ring("daemon"):
        time.sleep(0.01)
    try:
        yield coord
    finally:
        process.terminate()
        process.wait()


def latency() -> Iterator[Row]:
    """Time from an event to its commit while the daemon is idle otherwise."""
    with ground.repository() as home, daemon(home) as coord:
        times = []
        for _ in range(100):
            before = coord.ledger.tip()
            began = time.perf_counter()
            mail.send(coord, (ground.AGENTS[1],), Prose(ground.BODY))
            while coord.ledger.tip() == before:
                time.sleep(0.0005)
            times.append((time.perf_counter() - began) * 1000)
            time.sleep(0.02)
        yield Row(
            "event to commit, daemon idle, p50 / p99 ms",
            f"{p50(times):.1f} / {p(times, 99):.1f}",
            "",
            None,
            "p50 <= 100",
            p50(times) <= 100,
        )


_LOOP = """
import sys, time
from pathlib import Path
from bench import ground
from coord.service import mail
from coord.service.command import Prose
home, number, seconds, kind = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
coord, floor = ground.opened(home, ground.AGENTS[number]), ground.Floor(home)
work = floor if kind == "floor" else lambda: mail.send(coord, (ground.AGENTS[(number + 1) % 13],), Prose(ground.BODY))
work()
sys.stdout.write("ready\\n"); sys.stdout.flush(); sys.stdin.readline()
times, end = [], time.perf_counter() + seconds
while (began := time.perf_counter()) < end:
    work()
    times.append((time.perf_counter() - began) * 1000)
print(*times)
"""


def _crowd(home: Path, kind: str, seconds: float) -> list[float]:
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _LOOP, str(home), str(number), str(seconds), kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(13)
    ]
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate()[0] for process in running]
    assert all(process.returncode == 0 for process in running), "a sender failed"
    return [float(value) for output in outputs for value in output.split()]


def thirteen_senders() -> Iterator[Row]:
    """Let thirteen processes send in a closed loop, with the daemon committing."""
    seconds = 5.0
    with ground.repository() as home, daemon(home):
        bare = _crowd(home, "floor", seconds)
        sent = _crowd(home, "send", seconds)
        rate, floor_rate = len(sent) / seconds, len(bare) / seconds
        yield Row(
            "13 senders, messages a second",
            f"{rate:.0f}",
            f"{floor_rate:.0f}",
            rate / floor_rate,
            ">= 1/2",
            rate >= floor_rate / 2,
        )
        yield Row(
            "13 senders, p50 / p99 ms",
            f"{p50(sent):.1f} / {p(sent, 99):.1f}",
            "",
            p(sent, 99) / p50(sent),
            "p99 <= 10 x p50",
            p(sent, 99) <= 10 * p50(sent),
        )
