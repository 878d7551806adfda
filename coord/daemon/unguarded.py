"""Hooks that the commit guard was taken out of: found without asking git while nothing about them changed."""

import os
from collections.abc import Iterator
from pathlib import Path

from coord.service.coord import Coord
from coord.service.guard import placing

_MOMENT = 2.0
_Stamp = tuple[tuple[str, int, int, int], ...]


class Unguarded:
    """Looks at hooks at each full look, and judges them once they have stayed as they are for a moment.

    Whoever writes hooks anew writes several files, one after the other: coord does not write between them.
    """

    def __init__(self, coord: Coord) -> None:
        self._coord = coord
        self._files: tuple[Path, ...] = ()
        self._seen: _Stamp | None = None
        self._since = 0.0
        self._judged: _Stamp | None = None
        self._found: tuple[str, ...] = ()

    def look(self) -> tuple[str, ...]:
        """Return the hooks in which the guard is wanted and not in force."""
        if not placing.is_wanted(self._coord):
            self._seen = self._judged = None
            return ()
        stamp, now = tuple(self._stamps()), self._coord.clock.monotonic()
        if stamp != self._seen:
            self._seen, self._since = stamp, now
        if stamp != self._judged:
            if now - self._since < _MOMENT:
                return ()
            hooks = placing.status(self._coord).hooks
            self._files = tuple(hook.path for hook in hooks)
            self._found = tuple(str(hook.path) for hook in hooks if placing.is_lacking(hook))
            self._judged = stamp
        return self._found

    def _stamps(self) -> Iterator[tuple[str, int, int, int]]:
        """Yield how the files look that say where hooks are, and those that are hooks."""
        common = self._coord.place.common
        for path in (common / "config", common / "worktrees", *self._files):
            try:
                found = os.stat(path)
                yield str(path), found.st_ino, found.st_ctime_ns, found.st_size
            except OSError:
                yield str(path), 0, 0, 0
