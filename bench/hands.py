"""Files written by hand: how soon they are mail, and whether a burst of them all become it, once."""

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import watchdog.events
import watchdog.observers

from bench import ground
from bench.ground import Scale
from coord.model import keys
from coord.service.coord import Coord
from coord.service.measuring import benchground
from coord.service.measuring.benchcrowd import crowd
from coord.service.measuring.benchground import AGENTS
from coord.service.measuring.benchrows import Row, Work, p, p50

_MB = 1 << 20
_LIMIT = 600.0


def by_hand(scale: Scale) -> Iterator[Row]:
    """Time from a hand-written file to the message its reader sees, against the bare wake-up of a watcher."""
    took, bare = [], []
    with ground.repository() as home, benchground.daemon(home), _watcher(home / ".git" / "floor") as woken:
        box = home / keys.mailbox(AGENTS[1])
        _warm(box)
        for number in range(scale.count(200)):
            text = benchground.text(number)
            known = _messages(box)
            began = time.perf_counter()
            (box / f"note {number}.md").write_text(text, encoding="utf-8")
            while _messages(box) == known:
                time.sleep(0.0005)
            took.append((time.perf_counter() - began) * 1000)
            woken.clear()
            began = time.perf_counter()
            (home / ".git" / "floor" / f"note {number}.md").write_text(text, encoding="utf-8")
            woken.wait()
            bare.append((time.perf_counter() - began) * 1000)
            time.sleep(0.05)  # until the daemon is idle again
    yield Row(
        "file by hand to message",
        "ms",
        p50(took),
        p(99, took),
        p50(bare),
        p(99, bare),
        mark="p50 ≤ 20, p99 ≤ 100",
        met=p50(took) <= 20 and p(99, took) <= 100,
    )


def _warm(box: Path) -> None:
    """Let a daemon that has just begun take in one file, and rest: what it costs to begin is not measured here."""
    (box / "first note.md").write_text("hello\n", encoding="utf-8")
    while not _messages(box):
        time.sleep(0.01)
    time.sleep(1)


@contextmanager
def _watcher(folder: Path) -> Iterator[threading.Event]:
    """Watch a folder as the daemon watches its own, and set what this yields when a file is closed there."""
    folder.mkdir()
    woken = threading.Event()

    class Handler(watchdog.events.FileSystemEventHandler):
        def on_any_event(self, event: watchdog.events.FileSystemEvent) -> None:
            if isinstance(event, watchdog.events.FileClosedEvent | watchdog.events.FileModifiedEvent):
                woken.set()

    observer = watchdog.observers.Observer()
    observer.schedule(Handler(), str(folder))
    observer.start()
    try:
        yield woken
    finally:
        observer.stop()
        observer.join()


def _messages(box: Path) -> int:
    return sum(keys.id_in(path.name) is not None for path in box.iterdir())


def burst(scale: Scale) -> Iterator[Row]:
    """Let thirteen processes drop 10,000 files, and look for every one of them as a message."""
    each = -(-scale.count(10_000) // len(AGENTS))
    count = each * len(AGENTS)
    with ground.repository() as home, benchground.daemon(home) as process:
        coord = Coord.open(home)
        daemon = psutil.Process(process.pid)
        _warm(home / keys.mailbox(AGENTS[1]))
        _looked(coord)
        sizes = [daemon.memory_info().rss / _MB]
        count += 1

        def look() -> None:
            sizes.append(daemon.memory_info().rss / _MB)

        began = time.monotonic()
        crowd(len(AGENTS), lambda number: _dropping(home, number), rounds=each, meanwhile=look)
        dropped = time.monotonic() - began
        while coord.journal.size() or len(coord.records("inbox")) < count:
            if time.monotonic() - began > _LIMIT:
                break
            look()
            time.sleep(0.5)
        adopted = time.monotonic() - began
        found = Counter(
            name.decode()
            for key in coord.records("inbox")
            for name in re.findall(rb"^drop \d+-\d+$", _bytes(coord, key), re.MULTILINE)
        )
        _looked(coord, look)
    count -= 1
    lost, twice = count - len(found), sum(times > 1 for times in found.values())
    yield Row(
        f"{count:,} files by hand from 13 processes, adopted",
        "",
        len(found),
        mark="all, none twice",
        met=not lost and not twice,
        note=f"{lost} lost, {twice} twice; written in {dropped:.1f} s, all mail after {adopted:.1f} s",
    )
    grown = max(sizes) / sizes[0]
    yield Row(
        "the daemon's memory meanwhile, at most",
        "MB",
        max(sizes),
        floor=sizes[0],
        ratio=grown,
        mark="flat: ≤ 1.25 x before",
        met=grown <= 1.25,
    )


def _looked(coord: Coord, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Wait until the daemon has looked fully twice, at all that lies there now."""
    until = time.monotonic() + 2.5 * coord.config.watch.scan_every.total_seconds()
    while time.monotonic() < until:
        meanwhile()
        time.sleep(0.1)


def _dropping(home: Path, number: int) -> Work:
    box = home / keys.mailbox(AGENTS[(number + 1) % len(AGENTS)])
    count = 0

    def drop() -> None:
        nonlocal count
        count += 1
        text = f"drop {number}-{count}\n{benchground.text(count)}"
        (box / f"note from {number} number {count}.md").write_text(text, encoding="utf-8")

    return drop


def _bytes(coord: Coord, key: str) -> bytes:
    stored = coord.store.get(key)
    return stored.data if stored else b""
