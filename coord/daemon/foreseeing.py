"""Looks ahead for conflicts in a thread of its own: to merge every pair takes git a while, and mail does not wait.

What the queue is to remember of conflicts is learned here as well, a few merges at each look.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from coord.model import backoff
from coord.model.errors import CoordError
from coord.service.coord import Coord
from coord.service.foresight import Forecast, Foresight
from coord.service.merging import remembering

_LONGEST_PAUSE = 300.0


class Foreseeing:
    """Keeps the latest forecast; RINGs when it says something else than the one before."""

    def __init__(self, coord: Coord, say: Callable[[str], None], ring: Callable[[], None]) -> None:
        self._coord = coord
        self._say = say
        self._ring = ring
        self._over = threading.Event()
        self._foresight = Foresight(coord)
        self._closely_at = 0.0
        self._learned_at = ""
        self.latest: Forecast | None = None

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Look ahead until the block ends."""
        thread = threading.Thread(target=self._run, daemon=True, name="coord-foreseeing")
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def look(self) -> None:
        """Look ahead once: at branches each time, at uncommitted work as often as is configured."""
        now = time.monotonic()
        closely = now >= self._closely_at
        found = self._foresight.look(again=closely)
        if closely:
            self._closely_at = now + self._coord.config.watch.foresee_every.total_seconds()
        before, self.latest = self.latest, found
        if before is None or before.conflicts != found.conflicts:
            self._ring()

    def learn(self) -> None:
        """Learn from a few merges, until there is none that is new; again when the base has moved."""
        tip = self.latest.tip if self.latest else ""
        if tip != self._learned_at and not remembering.learn(self._coord):
            self._learned_at = tip

    def _run(self) -> None:
        failures = 0
        while not self._over.is_set():
            pause = self._coord.config.watch.scan_every.total_seconds()
            try:
                self.look()
                self.learn()
                failures = 0
            except Exception as fault:  # one that nobody foresaw must not end this, nor go unsaid
                failures += 1
                pause = backoff.pause(failures + 1, pause, _LONGEST_PAUSE)
                if failures == 1:
                    word = fault if isinstance(fault, CoordError | OSError) else repr(fault)
                    self._say(f"failed to look ahead: {word}; trying again")
            self._over.wait(pause)
