"""Where benchmarks happen, and how much of each is done."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from coord.service.measuring import benchground
from coord.service.measuring.benchground import AGENTS

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much to do: all of it, or with `quick` a tenth, to see that everything runs."""

    quick: bool = False

    def seconds(self, whole: float) -> float:
        return max(whole / 10, 0.5) if self.quick else whole

    def count(self, whole: int) -> int:
        return max(whole // 10, 1) if self.quick else whole


@contextmanager
def folder() -> Iterator[Path]:
    """Make a folder on the disk that this project is on; it goes afterwards."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=ROOT, ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o711)  # a database server may have to live in it under another name
        yield Path(made)


@contextmanager
def repository(agents: Sequence[str] = AGENTS) -> Iterator[Path]:
    """Make a repository with coord set up in it; it goes afterwards."""
    with folder() as outer:
        yield benchground.make(outer / "repository", agents)
