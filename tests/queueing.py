"""A merge queue in tests: branches made without a checkout, requests, and a queue that is driven to its end."""

import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from support import eventually, git

from coord.model.records import MergeRequest
from coord.service import merges
from coord.service.coord import Coord
from coord.service.merging.landing import Landing


def configure(repo: Path, merge: str) -> None:
    with (repo / ".coord.yaml").open("a") as file:
        file.write(f"merge: {{{merge}}}\n")
    git(repo, "commit", "-qam", "configured")


def queue(coord: Coord) -> list[MergeRequest]:
    return [one for _, one in merges.waiting(coord)]


def drive(landing: Landing, *, within: float = 15) -> None:
    """Advance everything until nothing waits or nothing moves."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        landing.tend()
        moved = [landing.advance(into) for into in dict.fromkeys(one.into for one in queue(landing.coord))]
        if not any(moved) and not landing.running:
            return
        time.sleep(0.01)
    raise AssertionError("it still moves")


def drive_until(landing: Landing, holds: Callable[[], object]) -> None:
    """Advance the queue of main until HOLDS says so."""

    def once() -> object:
        landing.tend()
        landing.advance("main")
        return holds()

    eventually(once, within=30)


def last(coord: Coord) -> str:
    coord.committer.settle()
    return git(coord.home, "log", "-1", "--format=%B", "coord/ledger")


def branch(repo: Path, name: str, files: Mapping[str, str], base: str = "main") -> str:
    """Commit files on a new branch, without a checkout."""
    lines = [f"commit refs/heads/{name}", "committer Owner <owner@example.com> 1700000000 +0000"]
    lines += [f"data {len(name)}", name, f"from {git(repo, 'rev-parse', base)}"]
    for path, text in files.items():
        lines += [f"M 644 inline {path}", f"data {len(text.encode())}", text]
    stream = "\n".join([*lines, ""])
    subprocess.run(["git", "fast-import", "--quiet"], cwd=repo, check=True, input=stream, text=True)
    return name


def ask(coord: Coord, *names: str, **more: object) -> list[MergeRequest]:
    return [merges.request(coord, branch=name, **more) for name in names]  # type: ignore[arg-type]


def several(repo: Path, count: int, bad: Mapping[int, str]) -> list[str]:
    """Make branches with a file each, `good0` and so on; of some it has another name."""
    return [branch(repo, f"work/{n}", {bad.get(n, f"good{n}"): "x\n"}) for n in range(count)]
