"""A repository in which coord works, for faults to be planted in."""

import os
import subprocess
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from coord.model.records import Process
from coord.service import locks, mail
from coord.service.command import Prose
from coord.service.coord import Coord
from coord.stores import oslock

LATER = timedelta(days=2)
OLD = time.time() - 7200


@dataclass
class Farm:
    """A repository with some work in it, and what a planted fault may need."""

    home: Path
    monkeypatch: pytest.MonkeyPatch

    @property
    def common(self) -> Path:
        return self.home / ".git"

    @property
    def private(self) -> Path:
        return self.common / "coord"

    def open(self, who: str = "owner") -> Coord:
        return Coord.open(self.home, who=who)

    def mail(self) -> Path:
        return next((self.home / "inbox/frontend").glob("*.md"))


def work(home: Path) -> None:
    """Do a little of everything, and leave it all in the ledger."""
    with Coord.open(home, who="backend") as backend:
        for word in ("one", "two", "three"):
            mail.send(backend, ("frontend", "security"), Prose(f"word {word}\n"))
        locks.acquire(backend, ("apps_script/**",))
    with Coord.open(home, who="security") as security:
        mail.read(security, limit=2)
    with Coord.open(home, who="owner") as owner:
        owner.indexed().close()


def dead() -> Process:
    child = subprocess.Popen(["sleep", "60"])
    found = oslock.process_of(child.pid)
    child.kill()
    child.wait()
    assert found is not None
    return found


def old(path: Path) -> Path:
    os.utime(path, (OLD, OLD))
    return path
