"""The brake on writers: thirteen processes note events faster than any committer turns them into commits."""

import time

from coord.stores.journal import Journal

# Bytes in the journal: some fifty messages, a few hundred, which are committed within a second, and a few thousand.
_EASY, _NEAR, _FAR = 1 << 16, 3 << 16, 1 << 23
_EVERY, _PAUSE, _LONGEST_PAUSE, _NOT_AGAIN = 0.02, 0.04, 1.0, 30.0


class Brake:
    """Keeps what one process writes in pace with the ledger. Not for use inside a guard: others would wait as well."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._next = 0.0

    def tread(self, *, daemon: bool) -> bool:
        """Wait where a DAEMON is behind; without one tell whether it is time to commit.

        First a pause that grows with what waits, so that a dozen writers find their pace without one of them being
        held up for long; what outruns that waits until it is committed, for a second at most. A daemon that commits
        nothing meanwhile is stopped, or in trouble: it is not waited for again soon.
        """
        now = time.monotonic()
        if now < self._next:
            return False
        behind = self._journal.size()
        if not daemon or behind <= _EASY:
            self._next = now + _EVERY
            return not daemon and behind > _FAR
        time.sleep(_PAUSE * min(1.0, (behind - _EASY) / (_NEAR - _EASY)))
        until, left = now + _LONGEST_PAUSE, behind
        while left > _NEAR and time.monotonic() < until:
            left = self._journal.size()
            time.sleep(_EVERY)
        if left >= behind > _NEAR:
            self._next = until + _NOT_AGAIN
        return False
