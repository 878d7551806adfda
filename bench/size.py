"""What a long history costs: coord at 100,000 messages beside itself on an empty ledger, and setting up a clone."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import ground, sized
from bench.ground import Scale
from coord.git.ledger import REF
from coord.git.repo import Git
from coord.service import history, locks, mail
from coord.service.command import Prose
from coord.service.coord import Coord
from coord.service.measuring import benchground
from coord.service.measuring.benchground import AGENTS
from coord.service.measuring.benchrows import Row, Work, p50, timed, times

DEEDS = ("send", "commit", "list", "lock", "log")
_COMMITS = 100_000
_WORDS = {
    "send": "send until acknowledged",
    "commit": "commit of one event",
    "list": "list of 20 unread",
    "lock": "lease acquire + release",
    "log": "log, the 20 newest",
}

Times = dict[str, list[float]]


class Station:
    """One repository, and how long each deed in it takes."""

    def __init__(self, home: Path) -> None:
        self.coord = Coord.open(home, who=AGENTS[0])
        self.reader = Coord.open(home, who=sized.READER)
        self.body = Prose(benchground.text(1))
        self.times: Times = {deed: [] for deed in DEEDS}

    def once(self) -> None:
        """Do everything once."""
        coord = self.coord
        self._time("send", lambda: mail.send(coord, (AGENTS[1],), self.body))
        self._time("commit", coord.committer.settle)
        self._time("list", lambda: mail.list_(self.reader, limit=20))
        self._time("lock", self._lock)
        coord.committer.settle()
        self._time("log", lambda: history.log(coord, limit=20))

    def _lock(self) -> None:
        locks.acquire(self.coord, ("src/a.py",))
        locks.release(self.coord, ("src/a.py",))

    def _time(self, deed: str, work: Work) -> None:
        self.times[deed].append(timed(work))


def measured(sizes: Sequence[int], seconds: float) -> list[Times]:
    """Do everything in turn in repositories of some sizes, for so long; return the times at each size."""
    with ExitStack() as stack:
        stations = [Station(stack.enter_context(sized.repository(size))) for size in sizes]
        for station in stations:
            station.once()
            station.times = {deed: [] for deed in DEEDS}
        until = time.monotonic() + seconds
        while time.monotonic() < until or len(stations[0].times["log"]) < 10:
            for station in stations:
                station.once()
        return [station.times for station in stations]


def at_size(scale: Scale) -> Iterator[Row]:
    """Send, commit, list, lock with 100,000 messages of history and 2,000 live files, against an empty ledger."""
    size = scale.count(100_000)
    empty, full = measured((0, size), scale.seconds(20))
    for deed in DEEDS:
        yield times(f"at {size:,} messages: {_WORDS[deed]}", full[deed], empty[deed], 1.5)


def init_clone(scale: Scale) -> Iterator[Row]:
    """Set coord up in a clone whose ledger has 100,000 commits, against making the clone."""
    commits = scale.count(_COMMITS)
    with ground.folder() as outer:
        source = bare(sized.kept(scale.count(100_000)), outer / "source.git", commits)
        cloned, made = [], []
        for number in range(2):
            clone, init = cloned_and_set_up(source, outer / f"clone-{number}")
            cloned.append(clone)
            made.append(init)
    ratio = p50(made) / p50(cloned)
    what = f"`coord init` in a clone of {commits:,} ledger commits"
    yield Row(what, "ms", p50(made), floor=p50(cloned), ratio=ratio, mark="≤ 1 x on top of the clone", met=ratio <= 1)


def cloned_and_set_up(source: Path, clone: Path) -> tuple[float, float]:
    """Return how many ms `git clone` takes, and `coord init` in the clone."""
    taken = timed(lambda: _run("git", "clone", "--quiet", "--no-local", str(source), str(clone)))
    return taken, timed(lambda: _run(sys.executable, "-P", "-m", "coord", "--repo", str(clone), "init"))


def bare(home: Path, place: Path, commits: int | None = None) -> Path:
    """Make a bare repository with an empty `main` and the ledger at HOME, or so many of its first COMMITS."""
    place.mkdir()
    git = Git(place)
    git.run("init", "--quiet", "--bare", "--template=")
    (place / "objects" / "info").mkdir(exist_ok=True)
    (place / "objects" / "info" / "alternates").write_text(f"{home / '.git' / 'objects'}\n", encoding="utf-8")
    line = Git(home).text("rev-list", "--reverse", REF).split("\n")
    git.run("update-ref", REF, line[:commits][-1])
    tree = git.run("mktree", stdin=b"").out.decode().strip()
    name = {f"GIT_{role}_{what}": "b" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    main = git.run("commit-tree", "-m", "start", tree, env=name).out.decode().strip()
    git.run("update-ref", "refs/heads/main", main)
    git.run("symbolic-ref", "HEAD", "refs/heads/main")
    return place


def _run(*words: str) -> None:
    subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, env=dict(os.environ))
