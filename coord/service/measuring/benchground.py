"""The ground to measure on: a repository of its own, the floor of a durable file, the work of an agent."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from coord.git.repo import Git
from coord.model.errors import Unavailable
from coord.service import locks, mail, setup, watching
from coord.service.command import Prose
from coord.service.coord import DAEMON_BELL, Coord
from coord.service.measuring.benchrows import Work
from coord.stores import durable

BODY_SIZE = 600
_START_LIMIT = 30.0
_STOP_LIMIT = 20.0
# Whatever becomes of the one who started it, a daemon to measure with ends by itself.
_LONGEST = 3600


def named(count: int) -> tuple[str, ...]:
    """Return the names of so many agents."""
    return tuple(f"agent-{number:03}" for number in range(count))


AGENTS = named(13)


def text(seed: int, size: int = BODY_SIZE) -> str:
    """Return a text that packs about as well as prose does, another one for every seed."""
    chance = random.Random(seed)  # noqa: S311 - to measure with, not to guard with
    words = "".join(f"{chance.choice(_WORDS)} " for _ in range(size // 4))
    return f"{words[: size - 1]}\n"


_SYLLABLES = ("ba", "cor", "den", "fi", "gra", "hol", "ka", "lem", "mi", "nor", "pel", "qui", "ras", "sto", "tun", "ve")
_WORDS = tuple(first + second for first in _SYLLABLES for second in ("", *_SYLLABLES))


def make(home: Path, agents: Sequence[str] = AGENTS) -> Path:
    """Make a repository at HOME with coord set up in it."""
    home.mkdir(parents=True)
    Git(home).run("init", "--quiet", "--template=")
    setup.init(home, agents=tuple(agents))
    return home


class Floor:
    """The least that a durable file costs: its bytes written, fsynced, renamed, its folder fsynced."""

    def __init__(self, home: Path, data: bytes | None = None) -> None:
        self.folder = home / ".git" / "floor"
        self.folder.mkdir(exist_ok=True)
        self.data = data or _as_stored(home)
        self.count = 0

    def __call__(self) -> None:
        """Make one more file durable."""
        self.count += 1
        temporary = self.folder / f"tmp-{os.getpid()}"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            durable.write_whole(fd, self.data)
            durable.sync_file(fd)
        finally:
            os.close(fd)
        temporary.rename(self.folder / f"{os.getpid()}-{self.count}")
        durable.sync_folder(self.folder)


def _as_stored(home: Path) -> bytes:
    """Return the bytes of a message as a mailbox holds it: what a send makes durable."""
    coord = Coord.open(home, who=AGENTS[0])
    mail.send(coord, (AGENTS[1],), Prose(text(0)))
    key = coord.records(f"inbox/{AGENTS[1]}")[-1]
    stored = coord.store.get(key)
    coord.settle()
    return stored.data if stored else b""


def sending(home: Path, number: int = 0) -> Work:
    """Return the work of the agent NUMBER: to send a message to the next one."""
    coord = Coord.open(home, who=AGENTS[number])
    to, body = AGENTS[(number + 1) % len(AGENTS)], Prose(text(number))
    return warm(lambda: mail.send(coord, (to,), body))


def leasing(home: Path, who: str, scope: str, *, wait: timedelta = timedelta(0)) -> Work:
    """Return the work of an agent: to take a lease and give it back."""
    coord = Coord.open(home, who=who)

    def pair(path: str = scope) -> None:
        locks.acquire(coord, (path,), wait=wait)
        locks.release(coord, (path,))

    pair(f"warm/{who}")
    return pair


def warm(work: Work) -> Work:
    """Do WORK once, so that what it needs has been loaded and made, and return it."""
    work()
    return work


@contextmanager
def daemon(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `coord watch` over a repository.

    Raises:
        Unavailable: it does not start.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "coord", "--repo", str(home), "watch", "--seconds", str(_LONGEST)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # an interrupt is ours, and we end it
    )
    try:
        _started(Coord.open(home), process)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _started(coord: Coord, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_LIMIT
    while watching.find(coord).pid != process.pid or not coord.bells.ring(DAEMON_BELL):
        if process.poll() is not None or time.monotonic() > deadline:
            raise Unavailable(f"no daemon starts in {coord.home}", hint="see what `coord watch` says in a repository")
        time.sleep(0.01)
