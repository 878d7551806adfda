"""Commits what is noted, in a thread of its own: however long a look at the folders takes, the ledger is not behind."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from coord.model import backoff
from coord.model.errors import CoordError
from coord.service.coord import DAEMON_BELL, Coord
from coord.stores.bell import Bell

_LONGEST_WAIT = 1.0
_TOLD_EVERY = 0.2
_LONGEST_PAUSE = 60.0


class Committing:
    """Turns what is noted into commits, and TELLs of them, at most a few times a second: that costs a git each time."""

    def __init__(self, coord: Coord, say: Callable[[str], None], tell: Callable[[], None]) -> None:
        self._coord = coord
        self._say = say
        self._tell = tell
        self._over = threading.Event()

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Commit what is noted until the block ends, and once more then."""
        with self._coord.bells.listen(DAEMON_BELL) as bell:
            thread = threading.Thread(target=self._run, args=(bell,), daemon=True, name="coord-committing")
            thread.start()
            try:
                yield
            finally:
                self._over.set()
                self._coord.bells.ring(DAEMON_BELL)
                thread.join()
                self._coord.committer.settle()
                self._tell()

    def _run(self, bell: Bell) -> None:
        failures, told_at, untold = 0, 0.0, False
        while not self._over.is_set():
            try:
                untold |= self._coord.committer.settle() > 0
                if untold and time.monotonic() >= told_at + _TOLD_EVERY:
                    self._tell()
                    untold, told_at = False, time.monotonic()
                failures = 0
            except Exception as fault:  # one that nobody foresaw must not end this, nor go unsaid
                failures += 1
                word = fault if isinstance(fault, CoordError | OSError) else repr(fault)
                self._say(f"failed to commit ({failures}): {word}; trying again")
                self._over.wait(backoff.pause(failures, 1.0, _LONGEST_PAUSE))
            else:
                bell.wait(_TOLD_EVERY if untold else _LONGEST_WAIT)
