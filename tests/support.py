"""Small things that many tests use."""

import fcntl
import subprocess
import time
from collections.abc import Callable
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
