"""Sending: one sender, thirteen, and how soon it is in the ledger, with a daemon and without."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench import ground
from bench.ground import Scale
from coord.git import history
from coord.service.coord import Coord
from coord.service.measuring import bench, benchground
from coord.service.measuring.benchcrowd import crowd
from coord.service.measuring.benchground import AGENTS
from coord.service.measuring.benchrows import Row, p, p50


def one_sender(scale: Scale) -> Iterator[Row]:
    """Time a send in the library until it is acknowledged."""
    with ground.repository() as home:
        yield bench.one_sender(home, scale.seconds(6))


def thirteen_senders(scale: Scale) -> Iterator[Row]:
    """Let thirteen processes send in a closed loop, with the daemon committing."""
    with ground.repository() as home, benchground.daemon(home):
        yield from bench.many_senders(home, scale.seconds(6))


def latency(scale: Scale) -> Iterator[Row]:
    """Time from an event to its commit: while the daemon is idle otherwise, and under thirteen senders."""
    with ground.repository() as home, benchground.daemon(home):
        yield bench.event_to_commit(home, scale.seconds(5))
    with ground.repository() as home, benchground.daemon(home):
        took = _under_load(home, scale.seconds(6))
        met = p(95, took) <= 1000
        note = f"p95 {p(95, took):,.0f} ms of {len(took):,} events"
        yield Row("event to commit, 13 senders", "ms", p50(took), p(99, took), mark="p95 ≤ 1000", met=met, note=note)


def _under_load(home: Path, seconds: float) -> list[float]:
    """Return for each event of a crowd how many ms after its beginning the ledger's branch held it."""
    coord = Coord.open(home, who=AGENTS[0])
    base = coord.ledger.tip()
    seen: list[tuple[float, str | None]] = []

    def look() -> None:
        tip = coord.ledger.tip()
        if not seen or tip != seen[-1][1]:
            seen.append((time.time(), tip))

    look()
    crowd(len(AGENTS), lambda number: benchground.sending(home, number), seconds=seconds, meanwhile=look)
    while coord.journal.size():
        look()
        time.sleep(0.002)
    coord.committer.settle()  # waits for the daemon, which may be between its commit and its note of it
    look()
    first = seen[0][0]
    commits = list(history.entries(coord.git, since=base, until=coord.ledger.tip() or "", with_changes=False))
    held = {commit: at for at, commit in seen}
    took, at = [], 0.0
    for entry in reversed(commits):  # a tip that was seen says the same of all before it
        at = held.get(entry.commit, at)
        if entry.kind == "mail.sent" and entry.at.timestamp() >= first:
            took.append((at - entry.at.timestamp()) * 1000)
    return took


def without_daemon(scale: Scale) -> Iterator[Row]:
    """Look whether a command's event is in the ledger when the command ends, where no daemon runs."""
    count = scale.count(20)
    with ground.repository() as home:
        coord = Coord.open(home)
        words = [sys.executable, "-P", "-m", "coord", "--repo", str(home), "--as", AGENTS[0], "--json", "mail", "send"]
        held = 0
        for number in range(count):
            sent = subprocess.run([*words, AGENTS[1], str(number)], capture_output=True, check=True).stdout
            tip = coord.ledger.tip()
            (newest,) = history.entries(coord.git, until=tip or "", newest_first=True, limit=1)
            held += newest.id == json.loads(sent)["message"]["id"]
        yield Row(
            "commands without a daemon, committed when they end",
            f"of {count}",
            held,
            mark="every one",
            met=held == count,
        )


def cold_list(scale: Scale) -> Iterator[Row]:
    """List 1,000 unread messages in a fresh process, beside the daemon and without one."""
    with ground.repository() as home:
        yield from bench.cold_starts(home, scale.seconds(6), scale.count(1_000))
