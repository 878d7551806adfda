"""The brake on writers: thirteen processes note events faster than any committer turns them into commits."""

import time

from coord.stores.journal import Journal

# Bytes in the journal: a hundred messages or so, which are committed at once, and a few thousand; then seconds.
_NEAR, _FAR = 1 << 17, 1 << 23
_EVERY, _PAUSE, _LONGEST_PAUSE, _NOT_AGAIN = 0.02, 0.005, 1.0, 30.0


class Brake:
    """Keeps what one process writes in pace with the ledger. Not for use inside a guard: others would wait as well."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._next = 0.0

    def tread(self, *, daemon: bool) -> bool:
        """Wait until a DAEMON is not far behind, for a second at most; without one tell whether it is time to commit.

        A daemon that commits nothing meanwhile is stopped, or in trouble: it is not waited for again soon.
        """
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + _EVERY
        behind = self._journal.size()
        if not daemon:
            return behind > _FAR
        pause, until, left = _PAUSE, now + _LONGEST_PAUSE, behind
        while left > _NEAR and time.monotonic() < until:
            time.sleep(pause)
            pause = min(2 * pause, _EVERY)
            left = self._journal.size()
        if left >= behind > _NEAR:
            self._next = until + _NOT_AGAIN
        return False
