"""The ledger in bulk: beside one `git fast-import` of the same commits, and `git add` + `git commit` for each."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench import ground
from bench.ground import Scale
from coord.git import ledger
from coord.model.records import Event
from coord.service import mail
from coord.service.command import Prose
from coord.service.coord import Coord
from coord.service.measuring import benchground
from coord.service.measuring.benchground import AGENTS
from coord.service.measuring.benchrows import Row, rate, timed

_IDENTITY = ("-c", "user.name=b", "-c", "user.email=b@b", "-c", "commit.gpgSign=false")


def bulk(scale: Scale) -> Iterator[Row]:
    """Commit 10,000 waiting events, against one fast-import of the same commits and against git add + commit."""
    count = scale.count(10_000)
    with ground.repository() as home:
        coord = Coord.open(home, who=AGENTS[0])
        coord.committer.settle()
        coord.commits = True  # else it would commit some of them before all wait
        for number in range(count):
            mail.send(coord, (AGENTS[number % 12 + 1],), Prose(benchground.text(number)))
        events = [noted.event for noted in coord.journal.read(count).events]
        assert len(events) == count
        ours = timed(coord.committer.settle)
    bare = _one_import(events)
    with ground.repository() as home:
        some = 40
        slow = timed(lambda: _plain_commits(home, some)) / some * count
    each = count / ours * 1000
    yield rate(f"ledger, {count:,} waiting events, commits", each, count / bare * 1000, 1 / 2, "≥ 1/2 of its rate")
    yield rate("the same against git add + git commit", each, count / slow * 1000, 20, "≥ 20 x its rate")


def _one_import(events: list[Event]) -> float:
    """Return how many ms one `git fast-import` takes for the commits that EVENTS become."""
    with ground.repository() as home:
        coord = Coord.open(home)
        stream = b"".join(ledger._stream(events, "refs/heads/bare", None, int(time.time())))
        return timed(lambda: coord.git.run("fast-import", "--quiet", "--done", "--date-format=raw", stdin=stream))


def _plain_commits(home: Path, count: int) -> None:
    for number in range(count):
        (home / f"plain-{number}").write_text(benchground.text(number), encoding="utf-8")
        for words in (["add", f"plain-{number}"], [*_IDENTITY, "commit", "-qm", "x"]):
            subprocess.run(["git", *words], cwd=home, check=True)
