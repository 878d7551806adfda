"""Whoever waits long says so: a thread that wakes only while somebody of this process waits.

It starts at the first wait, so what never waits pays nothing, and what does an entry in a dict.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

FIRST_WORD = 5.0


@dataclass(slots=True)
class _Wait:
    """Since when somebody waits for what, and when the next word of it is due."""

    since: float
    due: float
    what: Callable[[], str]


class _Watcher(threading.Thread):
    def __init__(self) -> None:
        super().__init__(daemon=True, name="coord-patience")
        self.waits: dict[int, _Wait] = {}
        self.somebody_waits = threading.Event()

    def run(self) -> None:
        while True:
            if not self.waits:
                self.somebody_waits.clear()
                if not self.waits:  # nobody came in between
                    self.somebody_waits.wait()
            time.sleep(FIRST_WORD / 5)
            for wait in list(self.waits.values()):
                now = time.monotonic()
                if now >= wait.due:
                    wait.due = now + (now - wait.since)
                    sys.stderr.write(f"coord: {wait.what()} ({now - wait.since:.0f} s so far)\n")


_watcher: _Watcher | None = None


@contextmanager
def speaking(what: Callable[[], str]) -> Iterator[None]:
    """Say WHAT is waited for on stderr after five seconds, then after ten, twenty, and so on, until left."""
    global _watcher  # noqa: PLW0603  # one thread serves the process; a forked child has none, and starts its own
    watcher = _watcher
    if watcher is None or not watcher.is_alive():
        watcher = _watcher = _Watcher()
        watcher.start()
    since = time.monotonic()
    me = threading.get_ident()
    watcher.waits[me] = _Wait(since, since + FIRST_WORD, what)
    watcher.somebody_waits.set()
    try:
        yield
    finally:
        watcher.waits.pop(me, None)
