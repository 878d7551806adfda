"""Times, percentiles and rows: what every benchmark shares."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One figure beside its floor and its mark; times in milliseconds unless the name says otherwise."""

    name: str
    measured: str
    floor: str
    ratio: float | None
    mark: str
    met: bool | None


def timed(work: Callable[[], object]) -> float:
    """Return how many milliseconds WORK takes."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def paired(rounds: int, first: Callable[[], object], second: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Time two pieces of work in turn, so that a drifting machine drifts for both."""
    one, other = [], []
    for _ in range(rounds):
        one.append(timed(first))
        other.append(timed(second))
    return one, other


def p(values: Sequence[float], percent: float) -> float:
    """Return a percentile of some values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def p50(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def spread(values: Sequence[float]) -> str:
    """Return median and 99th percentile as text."""
    return f"{p50(values):.2f} / {p(values, 99):.2f}"


def at_most(name: str, values: Sequence[float], floor: Sequence[float], mark: float) -> Row:
    """Make the row of a figure whose median may be at most MARK times its floor's."""
    ratio = p50(values) / p50(floor)
    return Row(name, spread(values), spread(floor), ratio, f"<= {mark:g} x", ratio <= mark)
