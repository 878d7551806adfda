"""Takes in what hands write, in a thread of its own: whoever reads does not wait for a look at all the folders."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from coord.service.byhand import adopt, handwritten
from coord.service.coord import Coord

_MOST_HINTS = 200
_OVER = ""


class Adopting:
    """Takes in the files that it hears of, each once it is whole.

    What it does not hear of, cannot remember or cannot take in is for the loop, which it RINGs: a look finds all.
    """

    def __init__(self, coord: Coord, ring: Callable[[], None]) -> None:
        self._loops = coord
        self._coord = Coord(coord.place, coord.config, clock=coord.clock)  # one thread at a time makes its ids
        self._coord.commits = True
        self._ring = ring
        self._hints = queue.SimpleQueue[tuple[str, bool]]()

    def wrote(self, key: str, whole: bool) -> None:
        """Take note that a hand wrote KEY, and whether it is known to be WHOLE. May be called from another thread."""
        if self._hints.qsize() < _MOST_HINTS:
            self._hints.put((key, whole))
        else:
            self._ring()

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Take in what is written until the block ends."""
        thread = threading.Thread(target=self._run, daemon=True, name="coord-adopting")
        thread.start()
        try:
            yield
        finally:
            self._hints.put((_OVER, True))
            thread.join()

    def _run(self) -> None:
        resting: dict[str, float] = {}
        while True:
            rest = max(0.0, min(resting.values()) - time.monotonic()) if resting else None
            with suppress(queue.Empty):
                key, whole = self._hints.get(timeout=rest)
                if key == _OVER:
                    return
                if left := self._adopt(key, whole=whole):
                    resting[key] = time.monotonic() + left
            for key in [key for key, until in resting.items() if until <= time.monotonic()]:
                if not (left := self._adopt(key)):
                    del resting[key]
                else:
                    resting[key] = time.monotonic() + left

    def _adopt(self, key: str, *, whole: bool = False) -> float:
        """Take in KEY, or return in how many seconds it will have rested long enough for that."""
        self._coord.config = self._loops.config
        try:
            found = handwritten.at(self._coord, key)
            if found is None:
                return 0.0
            if found.ripe_in > 0 and not whole:
                return found.ripe_in
            adopt.adopt(self._coord, key)
        except Exception:  # whatever it is
            self._ring()  # the loop tries again, at growing intervals, and says what is the matter
        return 0.0
