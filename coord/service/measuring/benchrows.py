"""Figures: what something took beside the floor it rests on, and whether it reaches its mark."""

import statistics
import time
from collections.abc import Callable, Sequence

from coord.model.values import frozen

Work = Callable[[], object]


@frozen
class Row:
    """One figure with the same of its floor, measured in the same run.

    `value` is a median where `p99` is given too; `ratio` compares it with `floor`. No mark is
    set where `met` is None, and nothing was measured where `value` is: then `note` says why.
    """

    what: str
    unit: str
    value: float | None = None
    p99: float | None = None
    floor: float | None = None
    floor_p99: float | None = None
    ratio: float | None = None
    mark: str = ""
    met: bool | None = None
    note: str = ""


def timed(work: Work) -> float:
    """Return how many milliseconds WORK takes."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def paired(seconds: float, *works: Work, least: int = 5) -> list[list[float]]:
    """Time pieces of work in turn for so long, so that a drifting machine drifts for all; each at least LEAST times."""
    for work in works:
        work()
    took: list[list[float]] = [[] for _ in works]
    until = time.monotonic() + seconds
    while time.monotonic() < until or len(took[0]) < least:
        for times, work in zip(took, works, strict=True):
            times.append(timed(work))
    return took


def p50(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def p(percent: float, values: Sequence[float]) -> float:
    """Return the value that PERCENT of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def times(what: str, took: Sequence[float], floor: Sequence[float], most: float, *, p99: bool = False) -> Row:
    """Make the row of some times whose median, with P99 also whose tail, may be at most MOST times the floor's."""
    ratio, tail = p50(took) / p50(floor), p(99, took) / p(99, floor)
    mark = f"{'p50 and p99' if p99 else 'p50'} ≤ {most:g} x"
    met = ratio <= most and (tail <= most or not p99)
    return Row(what, "ms", p50(took), p(99, took), p50(floor), p(99, floor), ratio, mark, met)


def limits(what: str, took: Sequence[float], most: float, most_p99: float | None = None) -> Row:
    """Make the row of some times that may have a median of MOST ms and a 99th percentile of MOST_P99."""
    mark = f"p50 ≤ {most:g}" + (f", p99 ≤ {most_p99:g}" if most_p99 is not None else "")
    met = p50(took) <= most and (most_p99 is None or p(99, took) <= most_p99)
    return Row(what, "ms", p50(took), p(99, took), mark=mark, met=met)


def rate(what: str, ours: float, floor: float, least: float, mark: str) -> Row:
    """Make the row of a rate a second that must be at least LEAST times its floor's."""
    return Row(what, "a second", ours, floor=floor, ratio=ours / floor, mark=mark, met=ours >= least * floor)
