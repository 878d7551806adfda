"""Regular expressions that are compiled when they are first used.

A short command loads some sixty and uses half, and to compile one takes a tenth of a millisecond; five times as long
where a set holds characters beyond Latin-1. Such a set is not asked for in text that `isprintable`, where it cannot be.
"""

import re
from typing import AnyStr, cast


def regex(pattern: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """Return what does all that `re.compile(pattern, flags)` does."""
    return cast("re.Pattern[AnyStr]", Uncompiled(pattern, flags))


class Uncompiled:
    """Stands in for an expression, and takes over each of its methods that is wanted."""

    def __init__(self, pattern: str | bytes, flags: int) -> None:
        self.pattern = pattern
        self._given = flags

    def __getattr__(self, name: str) -> object:
        found: object = getattr(re.compile(self.pattern, self._given), name)
        setattr(self, name, found)
        return found
