"""What runs of a gate say of a tree: pure. A run is judged by the tree that it saw, so nothing is tested twice."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from coord.model import bisect
from coord.model.bisect import Outcome
from coord.model.values import frozen


@frozen(kw_only=True)
class Run:
    """One run of a gate on a tree, and at which step it failed, if it did."""

    tree: str
    gate: str
    passed: bool
    step: str = ""
    what: str = ""
    commit: str = ""
    seconds: float = 0.0
    at: str = ""
    log: str = ""
    batch: str = ""
    into: str = ""
    members: tuple[str, ...] = ()


@dataclass(slots=True)
class Seen:
    """What is known of one tree under one gate: its runs, and when it first failed and first passed."""

    runs: list[tuple[int, Run]] = field(default_factory=list)

    @property
    def outcome(self) -> Outcome:
        """What they say together."""
        passed = sum(run.passed for _, run in self.runs)
        return bisect.outcome(passed, len(self.runs) - passed)

    @property
    def failures(self) -> list[Run]:
        """The runs that failed, the oldest first."""
        return [run for _, run in self.runs if not run.passed]

    def first(self, *, passed: bool) -> int | None:
        """Return the number of the first run that passed, or failed."""
        return next((number for number, run in self.runs if run.passed == passed), None)


class Verdicts:
    """All runs that are remembered, in their order."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], Seen] = {}
        self.runs: list[Run] = []

    def add(self, run: Run) -> None:
        """Take a run in."""
        self._seen.setdefault((run.tree, run.gate), Seen()).runs.append((len(self.runs), run))
        self.runs.append(run)

    def forget(self, tree: str) -> int:
        """Hold nothing that was said of a tree until now for known; return how many runs that were."""
        gone = [pair for pair in self._seen if pair[0] == tree]
        return sum(len(self._seen.pop(pair).runs) for pair in gone)

    def of(self, tree: str, gate: str) -> Seen:
        """Return what is known of a tree under a gate."""
        return self._seen.get((tree, gate), Seen())

    def known_before(self, base: str, whole: str, gate: str) -> bool:
        """Tell whether the base was known to pass before the whole was first seen to fail."""
        good, bad = self.of(base, gate).first(passed=True), self.of(whole, gate).first(passed=False)
        return good is not None and (bad is None or good < bad)


def flaky(runs: Iterable[Run]) -> Counter[str]:
    """Count, by the name of the step, the failures of trees that passed under the same gate."""
    listed = list(runs)
    good = {(run.tree, run.gate) for run in listed if run.passed}
    return Counter(run.step for run in listed if not run.passed and (run.tree, run.gate) in good)
