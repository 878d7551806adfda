"""Scripted agents, each a process in a worktree of its own: they take leases, edit, commit, and ask for merges.

Each change is a line with a mark of its own, so that whoever looks at the base sees how often it landed. What an agent
did and was told goes to a file beside the repository.
"""

import json
import os
import subprocess
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from support import git

from coord.model.errors import CoordError
from coord.service import locks, mail, merges
from coord.service.coord import Coord

SHARED = tuple(f"shared/{number}.txt" for number in range(6))
_LINES = 40
_PATIENCE = 240.0
_LEAST = 2
_NAMES = ("ada", "ben", "cy", "dee", "eli", "fay", "gus", "hal", "ivy", "jo", "kim", "lou", "max")


@dataclass(frozen=True, slots=True)
class Told:
    """A change that an agent asked to merge: its mark, whether it fails the test, and what the agent was told."""

    agent: str
    mark: str
    request: str
    bad: bool
    outcome: str


def names(count: int) -> tuple[str, ...]:
    return _NAMES[:count]


def furnish(repo: Path) -> None:
    """Write the files that are edited; the lines of a shared one are far enough apart for two to be merged."""
    for path in SHARED:
        (repo / path).parent.mkdir(exist_ok=True)
        (repo / path).write_text("".join(f"line {number}\n" for number in range(_LINES)))


@contextmanager
def at_work(trees: dict[str, Path], until: float, seed: int) -> Iterator[dict[str, int]]:
    """Let all agents work until a monotonic second, and wait for them; each must end well."""
    processes = {name: _forked(name, tree, until, seed) for name, tree in trees.items()}
    yield processes
    ended = {name: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for name, pid in processes.items()}
    assert not any(ended.values()), f"agents failed: {ended}"


def told(trees: Sequence[Path]) -> list[Told]:
    """Return all that agents were told."""
    return [Told(*json.loads(line)) for tree in trees for line in _said(tree).read_text().splitlines()]


def _said(tree: Path) -> Path:
    return tree.with_name(f"{tree.name}.said")


def _forked(name: str, tree: Path, until: float, seed: int) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        _Agent(name, tree, Random(f"{seed} {name}")).work(until)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


class _Agent:
    def __init__(self, name: str, tree: Path, chance: Random) -> None:
        self.name, self.tree, self.chance = name, tree, chance

    def work(self, until: float) -> None:
        number = 0
        with _said(self.tree).open("w") as out:
            while time.monotonic() < until or number < _LEAST:
                number += 1
                found = self._change(f"{self.name}-{number}")
                if found is not None:
                    out.write(json.dumps(found) + "\n")
                    out.flush()

    def _change(self, mark: str) -> tuple[str, str, str, bool, str] | None:
        """Make a change under a lease and have it merged; return what came of it, None where the lease was not had."""
        bad, stale = self.chance.random() < 0.1, self.chance.random() < 0.2
        path = self.chance.choice(SHARED) if self.chance.random() < 0.6 else f"own/{self.name}.txt"
        if stale:
            git(self.tree, "reset", "-q", "--hard", "main")  # what others land before the lease is had, it lacks
        coord = Coord.open(self.tree)
        try:
            locks.acquire(coord, (path,))
        except CoordError:
            time.sleep(self.chance.uniform(0.1, 0.5))
            return None
        if not stale:
            git(self.tree, "reset", "-q", "--hard", "main")
        self._edit(path, f"{mark} bad" if bad else mark)
        git(self.tree, "add", path)
        done = subprocess.run(["git", "commit", "-qm", f"note {mark}"], cwd=self.tree, check=False, capture_output=True)
        locks.release(coord)
        if done.returncode:  # the guard: somebody had the path since, and this lacks what that one did
            return None
        asked = merges.request(coord, title=f"note {mark}")
        coord.settle()
        return self.name, mark, asked.id, bad, self._heard(asked.id)

    def _edit(self, path: str, text: str) -> None:
        file = self.tree / path
        file.parent.mkdir(exist_ok=True)
        lines = file.read_text().splitlines() if file.exists() else []
        lines.insert(self.chance.randint(0, len(lines)), text)
        file.write_text("".join(f"{line}\n" for line in lines))

    def _heard(self, request: str) -> str:
        """Wait for word of a request."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            with Coord.open(self.tree) as coord:
                for item in mail.read(coord, limit=100).items:
                    if request in item.message.cause:
                        return item.message.subject
            time.sleep(0.2)
        return "nothing"
