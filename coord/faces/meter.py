"""How far a long reading of the ledger is: a line on a terminal that is written over, and goes when all is read."""

import time
from typing import TextIO

_QUIET = 1.0  # seconds: what takes less needs no word
_EVERY = 0.1


class Meter:
    """Hears how many events were read; says so on OUT once it takes long."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._shown = False
        self._next = 0.0

    def __call__(self, events: int) -> None:
        """Show that so many EVENTS are read."""
        now = time.monotonic()
        if not self._next:
            self._next = now + _QUIET
        if now >= self._next:
            self._next = now + _EVERY
            self._shown = True
            self._out.write(f"\r\x1b[Kcoord: reading the ledger, {events:,} events so far (^C is safe)")
            self._out.flush()

    def end(self) -> None:
        """Take the line away."""
        if self._shown:
            self._shown = False
            self._out.write("\r\x1b[K")
            self._out.flush()
