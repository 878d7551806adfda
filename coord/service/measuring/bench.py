"""Bench: how fast coord is on this machine and this disk, each figure beside its floor."""

import hashlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from coord.git import repo
from coord.model.errors import Refused, Usage
from coord.model.values import frozen
from coord.service import mail
from coord.service.command import Prose, command
from coord.service.coord import Coord
from coord.service.measuring import benchground
from coord.service.measuring.benchcrowd import crowd, times_of
from coord.service.measuring.benchground import AGENTS, Floor
from coord.service.measuring.benchrows import Row, limits, p, p50, paired, rate, times
from coord.stores import durable, oslock

FOLDER = "bench"
_LONGEST = 600.0
_COLD_MAIL = 200


@frozen
class Bench:
    """What was measured, where, and on what."""

    folder: str
    machine: str
    seconds: float
    rows: tuple[Row, ...]


@command("bench", example="coord bench")
def bench(
    coord: Coord,
    *,
    seconds: Annotated[float, "how long to measure in all; setting up takes a few more"] = 10.0,
    folder: Annotated[str, "measure on the disk of this folder; default: below .git/coord/ here"] = "",
) -> Bench:
    """Measure coord on this machine: sending, thirteen agents at once, the ledger, leases, start-up.

    It happens in a repository of its own, which is removed afterwards, also after ^C. Each figure
    stands beside a floor from the same run: what the same durable files cost without coord.
    Nothing else should be busy meanwhile.

    Raises:
        Usage: SECONDS is no time to measure in, or FOLDER is no folder.
        Refused: another `coord bench` runs in this repository.
    """
    if not 0 < seconds <= _LONGEST:
        raise Usage(f"--seconds {seconds:g} is no time to measure in", hint=f"give more than 0, up to {_LONGEST:g}")
    with _place(coord, folder) as place:
        home = benchground.make(place / "repository")
        rows = tuple(measure(home, seconds))
    return Bench(str(place.parent), machine(), seconds, rows)


def machine() -> str:
    """Return what the figures were measured on."""
    git = ".".join(map(str, repo.version()))
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, git {git}"
    )


@contextmanager
def _place(coord: Coord, folder: str) -> Iterator[Path]:
    """Make a folder for one run, and remove it afterwards; what a killed run left goes first."""
    mine = hashlib.sha256(os.fsencode(coord.home)).hexdigest()[:8]  # another repository's run may be beside it
    outer = Path(folder).absolute() / f".coord-bench-{mine}" if folder else coord.private / FOLDER
    if not outer.parent.is_dir():
        raise Usage(f"{outer.parent} is no folder", hint="give --folder one that exists, on the disk to measure")
    lock = oslock.singleton(coord.private / "guards" / "bench.lock")
    if lock is None:
        raise Refused("another `coord bench` runs here, and both would be slower", hint="wait until it has ended")
    with lock, _told_to_end():
        shutil.rmtree(outer, ignore_errors=True)
        with durable.faults(f"make {outer}"):
            outer.mkdir()
        try:
            yield outer
        finally:
            shutil.rmtree(outer, ignore_errors=True)


@contextmanager
def _told_to_end() -> Iterator[None]:
    """Treat being told to end, or a terminal that closes, as an interrupt: what is under way is cleared away."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def measure(home: Path, seconds: float) -> Iterator[Row]:
    """Measure all there is in the repository at HOME, in about so many seconds."""
    share = seconds / 6
    yield one_sender(home, share)
    yield lease(home, share)
    with benchground.daemon(home):
        yield from many_senders(home, share)
        yield event_to_commit(home, share)
    yield from cold_starts(home, share)


def one_sender(home: Path, seconds: float) -> Row:
    """Time a send in the library until it is acknowledged."""
    took, floor = paired(seconds, benchground.sending(home), Floor(home))
    return times("send until acknowledged", took, floor, 2)


def lease(home: Path, seconds: float) -> Row:
    """Time taking and giving back a lease, against two bare durable files."""
    floor = Floor(home)

    def two_files() -> None:
        floor()
        floor()

    took, bare = paired(seconds, benchground.leasing(home, AGENTS[0], "src/a.py"), two_files)
    return times("lease acquire + release, beside two durable files", took, bare, 2)


def many_senders(home: Path, seconds: float) -> Iterator[Row]:
    """Let an agent each in thirteen processes send in a closed loop, while a daemon commits."""
    data = Floor(home).data
    bare = crowd(len(AGENTS), lambda _number: Floor(home, data), seconds=seconds)
    sent = crowd(len(AGENTS), lambda number: benchground.sending(home, number), seconds=seconds)
    ours, floor = (sum(loop.done for loop in loops) / seconds for loops in (sent, bare))
    yield rate("13 senders, messages", ours, floor, 1 / 2, "≥ 1/2 of its rate")
    took = times_of(sent)
    ratio = p(99, took) / p50(took)
    yield Row("13 senders, each send", "ms", p50(took), p(99, took), mark="p99 ≤ 10 x p50", met=ratio <= 10)


def event_to_commit(home: Path, seconds: float) -> Row:
    """Time from a send to its commit while the daemon has nothing else to do."""
    coord, body = Coord.open(home, who=AGENTS[0]), Prose(benchground.text(1))
    coord.committer.settle()
    took: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until or len(took) < 5:
        before = coord.ledger.tip()
        began = time.perf_counter()
        mail.send(coord, (AGENTS[1],), body)
        while coord.ledger.tip() == before:
            time.sleep(0.0005)
        took.append((time.perf_counter() - began) * 1000)
        time.sleep(0.02)  # until the daemon is idle again
    return limits("event to commit, daemon idle", took, 100)


def cold_starts(home: Path, seconds: float, unread: int = _COLD_MAIL) -> Iterator[Row]:
    """Time `coord mail list` with so much UNREAD in a fresh process, against a Python that does nothing."""
    coord, who = Coord.open(home, who=AGENTS[0]), AGENTS[-1]
    for number in range(unread - len(coord.records(f"inbox/{who}"))):
        mail.send(coord, (who,), Prose(benchground.text(number)))
    coord.settle()
    what = f"`coord mail list` in a fresh process, {len(coord.records(f'inbox/{who}')):,} unread"
    with benchground.daemon(home):
        yield _cold_start(home, f"{what}, beside the daemon", who, seconds / 2)
    yield _cold_start(home, f"{what}, without a daemon", who, seconds / 2)


def _cold_start(home: Path, what: str, who: str, seconds: float) -> Row:
    listing = (sys.executable, "-P", "-m", "coord", "--repo", str(home), "--as", who, "mail", "list")
    # An installed coord is compiled; here its modules may be in a checkout, and whoever measures may forbid the files.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPYCACHEPREFIX"] = str(home / ".git" / "compiled")
    cold, bare = paired(seconds, lambda: _run(listing, env), lambda: _run((sys.executable, "-c", "pass"), env))
    more = p50(cold) - p50(bare)
    return Row(
        what, "ms", p50(cold), p(99, cold), p50(bare), p(99, bare), mark="p50 ≤ a bare Python + 100", met=more <= 100
    )


def _run(words: tuple[str, ...], env: Mapping[str, str]) -> None:
    subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, env=env)
