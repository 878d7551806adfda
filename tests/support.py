"""Small things that many tests use."""

import fcntl
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from coord.git import maintain


def git(cwd: Path, *args: str) -> str:
    """Run git as a user would and return what it printed."""
    return subprocess.run(["git", *args], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()


def eventually(holds: Callable[[], object], *, within: float = 10, what: str = "it") -> None:
    """Poll until HOLDS says so; fail after WITHIN seconds."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not happen in {within} s"
        time.sleep(0.01)


def at_rest(repo: Path) -> None:
    """Wait until nobody joins packs in the background: what is about to be removed, or counted, changes no more."""
    lock = maintain.lock_of(repo / ".git")
    if lock.exists():
        with lock.open("ab") as held:
            fcntl.flock(held, fcntl.LOCK_SH)


@contextmanager
def gits() -> Iterator[list[list[str]]]:
    """List the commands of git that run meanwhile, without what goes before them; what git itself runs is left out."""
    config = Path.home() / ".gitconfig"
    before, told = config.read_bytes(), Path.home() / "gits"
    git(Path.home(), "config", "--global", "trace2.eventTarget", str(told))
    ran: list[list[str]] = []
    try:
        yield ran
    finally:
        config.write_bytes(before)
        lines = [json.loads(line) for line in told.read_text().splitlines()] if told.exists() else []
        started = {one["sid"]: one["argv"][1:] for one in lines if one["event"] == "start" and "/" not in one["sid"]}
        named = ((one["sid"], one["name"]) for one in lines if one["event"] == "cmd_name")
        ran += [started[sid][started[sid].index(name) :] for sid, name in named if sid in started]
        told.unlink(missing_ok=True)
