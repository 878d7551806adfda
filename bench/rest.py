"""The ledger in bulk, hand-written mail, leases, start-up."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bench import ground
from bench.mail import daemon
from bench.measure import Row, at_most, p, p50, paired, timed
from coord.git import ledger
from coord.model.records import Change, Event
from coord.service import locks, mail
from coord.service.command import Prose
from coord.service.coord import Coord
from coord.stores import oslock


def bulk() -> Iterator[Row]:
    """Commit 5,000 waiting events, against one fast-import of the same stream and against git add + commit."""
    count = 5_000
    with ground.repository() as home:
        coord = ground.opened(home, ground.AGENTS[0])
        events = [_event(coord, number) for number in range(count)]
        for event in events:
            coord.journal.append(event, oslock.me())
            coord.journal.done(event.id)
        ours = timed(coord.committer.settle)
    with ground.repository() as home:
        coord = ground.opened(home, ground.AGENTS[0])
        stream = b"".join(
            ledger._stream(events, "refs/heads/bare", None, int(time.time()))
        )  # the floor is the same bytes
        bare = timed(lambda: coord.git.run("fast-import", "--quiet", "--done", "--date-format=raw", stdin=stream))
    with ground.repository() as home:
        some = 40
        slow = timed(lambda: _plain_commits(home, some)) / some * count
    rate, floor_rate = count / ours * 1000, count / bare * 1000
    yield Row(
        "ledger in bulk, commits a second",
        f"{rate:.0f}",
        f"{floor_rate:.0f}",
        rate / floor_rate,
        ">= 1/2",
        rate >= floor_rate / 2,
    )
    yield Row(
        "ledger in bulk, against git add + commit",
        f"{rate:.0f}",
        f"{count / slow * 1000:.0f}",
        slow / ours,
        ">= 20 x",
        slow >= 20 * ours,
    )


def _event(coord: Coord, number: int) -> Event:
    identifier = coord.new_id()
    change = Change(f"inbox/{ground.AGENTS[number % 13]}/{identifier}-x.md", f"{number}\n{ground.BODY}".encode())
    return Event(
        id=identifier, kind="mail.sent", agent=ground.AGENTS[0], subject="s", at=datetime.now(UTC), changes=(change,)
    )


def _plain_commits(home: Path, count: int) -> None:
    for number in range(count):
        (home / f"plain-{number}").write_text(ground.BODY)
        for words in (["add", f"plain-{number}"], ["-c", "user.name=b", "-c", "user.email=b@b", "commit", "-qm", "x"]):
            subprocess.run(["git", *words], cwd=home, check=True)


def by_hand() -> Iterator[Row]:
    """Time from a hand-written file to the message its reader sees."""
    with ground.repository() as home, daemon(home) as coord:
        times = []
        folder = home / "inbox" / ground.AGENTS[1]
        known = set(os.listdir(folder))
        for number in range(100):
            began = time.perf_counter()
            (folder / f"note {number}.md").write_text(ground.BODY)
            while not any(name.endswith(".md") and name[:2] == "01" for name in set(os.listdir(folder)) - known):
                time.sleep(0.0005)
            times.append((time.perf_counter() - began) * 1000)
            known = set(os.listdir(folder))
            time.sleep(0.08)
        del coord
        yield Row(
            "hand-written file to message, p50 / p99 ms",
            f"{p50(times):.1f} / {p(times, 99):.1f}",
            "",
            None,
            "<= 20 / 100",
            p50(times) <= 20 and p(times, 99) <= 100,
        )


def leases() -> Iterator[Row]:
    """Take and give back a lease, against two bare durable files."""
    with ground.repository() as home:
        coord, floor = ground.opened(home, ground.AGENTS[0]), ground.Floor(home)

        def pair() -> None:
            locks.acquire(coord, ("src/a.py",))
            locks.release(coord, ("src/a.py",))

        def two_files() -> None:
            floor()
            floor()

        took, bare = paired(200, pair, two_files)
        yield at_most("lease acquire + release against two durable files, p50 / p99 ms", took[10:], bare[10:], 2)


def cold_list() -> Iterator[Row]:
    """List 1,000 unread messages in a fresh process."""
    with ground.repository() as home:
        coord = ground.opened(home, ground.AGENTS[0])
        for _ in range(1_000):
            mail.send(coord, (ground.AGENTS[1],), Prose(ground.BODY))
        coord.settle()
        listing = [sys.executable, "-m", "coord", "--repo", str(home), "--as", ground.AGENTS[1], "mail", "list"]
        quiet = subprocess.DEVNULL
        cold, bare = paired(
            15,
            lambda: subprocess.run(listing, stdout=quiet, check=True),
            lambda: subprocess.run([sys.executable, "-c", "pass"], check=True),
        )
        extra = p50(cold) - p50(bare)
        yield Row(
            "coord mail list, cold, 1,000 unread, p50 ms",
            f"{p50(cold):.0f}",
            f"{p50(bare):.0f}",
            None,
            "+ 100 ms",
            extra <= 100,
        )
