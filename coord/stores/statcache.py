"""What was read from files, read again only where `stat` says that a file may be another one now.

What changed less than a tick of the file system's clock before it was read may change again unseen, so it is
read again the next time. Git's index has the same rule: its documentation calls such entries racily clean
(Documentation/technical/racy-git.txt).
"""

import os
from collections.abc import Callable, Collection
from time import time
from typing import Generic, TypeVar

R = TypeVar("R")

_SECOND = 10**9
_SHORT = (1 << 60) - 1
_UNSETTLED = -1
_NOTHING = (_UNSETTLED, None)
# Seconds: two ticks of the slowest kernel's clock; and where only whole seconds are kept, a tick of FAT's.
_FINE, _COARSE = 0.02, 2.0


def short(*facts: object) -> int:
    """Return a number to know FACTS by again; one that Python keeps in less memory than any hash."""
    return hash(facts) & _SHORT


class StatCache(Generic[R]):
    """Values of the files below HOME by their keys; whoever looks at thousands keeps one number more of each.

    Several threads may look at once: what was found and its stamp are one thing, taken and put in one step.
    """

    def __init__(self, home: str) -> None:
        self._home = home
        self._found: dict[str, tuple[int, R | None]] = {}

    def get(self, key: str, read: Callable[[str], R | None], *, trusted: bool = False) -> R | None:
        """Return what READ gives for KEY, or gave when it was the same file: None where it is gone or says nothing.

        What was read once is TRUSTED to be the same without a look, if one says so.
        """
        known_by, known = self._found.get(key, _NOTHING)
        if trusted and known is not None:
            return known
        try:
            found = os.stat(f"{self._home}/{key}", follow_symlinks=False)
        except OSError:
            return read(key)
        stamp = short(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if known_by == stamp:
            return known
        looked_at = time()
        value = read(key)
        self._found[key] = (stamp if _is_settled(found, looked_at) else _UNSETTLED, value)
        return value

    def keep(self, keys: Collection[str]) -> None:
        """Forget all but KEYS, if there is more."""
        if len(self._found) > len(keys):
            for key in self._found.keys() - set(keys):
                self._found.pop(key, None)


def _is_settled(found: os.stat_result, looked_at: float) -> bool:
    whole = not (found.st_mtime_ns % _SECOND or found.st_ctime_ns % _SECOND)
    return max(found.st_mtime, found.st_ctime) < looked_at - (_COARSE if whole else _FINE)
