"""What to do next with a batch of merges that is stacked and tested together: a pure function of what is known.

A batch is a stack: member by member merged upon what was before. Of each height of the stack, from 0 (the base
alone) to the whole, it is known whether it passed the gate. Whoever asks again with the same knowledge gets the same
answer, so nothing is lost with the process that asked before.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from typing import Literal

from coord.model.values import frozen

Outcome = Literal["unknown", "suspect", "failed", "passed"]
"""Suspect is what failed once: only what failed twice, and never passed, is held against anybody."""


@frozen
class Probe:
    """Have these heights tested, the most wanted first; stop all other tests of this batch."""

    heights: tuple[int, ...]


@frozen
class Land:
    """Move the base up to this height."""

    height: int


@frozen
class Eject:
    """Send the first member back: it fails upon a base that passes."""


@frozen
class Pause:
    """Blame nobody: the base fails by itself."""


Step = Probe | Land | Eject | Pause


def outcome(passed: int, failed: int) -> Outcome:
    """Return what so many runs on the same tree say."""
    if passed:
        return "passed"
    return ("unknown", "suspect")[failed] if failed < 2 else "failed"


def next_step(known: Sequence[Outcome], *, again: bool = True, room: int = 1, running: Collection[int] = ()) -> Step:
    """Return the next thing to do with a batch of which KNOWN tells the outcome at each height.

    The whole is tested first. Is it red, it is run AGAIN at once, since tests are flaky; not so where the base
    had to be tested first, which leaves as many runs. Then the lowest height that fails is searched by halves,
    upwards from the highest that passes. What lies below it lands; it is confirmed by a second run, and goes.
    So at most ⌈log2 N⌉ + 2 runs follow the first red one until somebody is sent back.

    With ROOM for more than one run the heights asked for divide the search evenly; those RUNNING already are
    kept as long as they can still tell something.
    """
    whole = len(known) - 1
    if known[whole] == "passed":
        return Land(whole)
    low = max((height for height, one in enumerate(known) if one == "passed"), default=0)
    high = next((height for height in range(low + 1, whole + 1) if known[height] in ("suspect", "failed")), whole)
    needed = list(_needed(known, low, high, again=again))
    if not needed:
        if known[low] != "passed":
            return Pause()
        if high - low == 1:
            return Land(low) if low else Eject()
    useful = [height for height in running if height not in needed and _tells(known, height, low, high)]
    asked = [*needed, *sorted(useful)][:room]
    return Probe((*asked, *_between(low, high, asked, room - len(asked))))


def size_after(size: int, good: bool, most: int) -> int:
    """Return how many members the next batch may have: one more after a success, half as many after a failure."""
    return min(size + 1, most) if good else max(size // 2, 1)


def _needed(known: Sequence[Outcome], low: int, high: int, *, again: bool) -> Iterator[int]:
    """Yield what must be known before anything is searched for, or what ends the search."""
    whole = len(known) - 1
    if known[whole] == "unknown":
        yield whole
    if known[low] in ("unknown", "suspect"):  # nothing passes, and the base is not known
        yield low
    elif known[low] == "passed" and known[high] == "suspect" and (high - low == 1 or (again and high == whole)):
        yield high


def _tells(known: Sequence[Outcome], height: int, low: int, high: int) -> bool:
    """Tell whether a test that runs can still change what is known."""
    return low < height < high or (height in (0, high) and known[height] in ("unknown", "suspect"))


def _between(low: int, high: int, asked: Sequence[int], count: int) -> Iterator[int]:
    """Yield up to COUNT heights between LOW and HIGH, each in the middle of the widest gap that is left."""
    marks = sorted({low, high, *(height for height in asked if low < height < high)})
    for _ in range(count):
        gap, start = max(((after - before, -before) for before, after in pairwise(marks)))
        if gap < 2:
            return
        middle = -start + gap // 2
        marks = sorted([*marks, middle])
        yield middle
