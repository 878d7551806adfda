"""How long to wait until what failed is tried again: twice as long each time, up to a limit."""

from datetime import timedelta
from typing import TypeVar

_Span = TypeVar("_Span", float, timedelta)
_DOUBLINGS = 16  # beyond it a float would overflow after a thousand failures, in the very place that survives them


def pause(failures: int, first: _Span, longest: _Span) -> _Span:
    """Return the pause after so many failures in a row, of which there is at least one."""
    return min(first * (1 << min(failures - 1, _DOUBLINGS)), longest)
