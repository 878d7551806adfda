"""Writers and readers at once, and killed: no event is lost, doubled or out of its order."""

import fcntl
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from noting import append, event, ids, segments

from coord.model.eventline import Noted
from coord.stores import oslock
from coord.stores.journal import Journal

WRITER = """
import sys
from datetime import datetime, UTC
from pathlib import Path
from coord.model.records import Change, Event
from coord.stores import oslock
from coord.stores.framing import frame
from coord.stores.journal import Journal
journal, me = Journal(Path(sys.argv[1])), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    event = Event(id=f"{me}-{number}", kind="test", agent=me, subject="x" * (number % 700), at=datetime.now(UTC),
                  changes=(Change(f"inbox/a/{me}-{number}.md", b"y" * (number % 300)),))
    journal.append(event, oslock.me())
    print(number, flush=True)
    journal.done(event.id)
"""


def start(journal: Journal, number: int, *names: str) -> "dict[str, subprocess.Popen[str]]":
    """Start writers that all begin at once."""
    writers = {
        name: subprocess.Popen(
            [sys.executable, "-c", WRITER, journal._folder, name, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in names
    }
    for writer in writers.values():
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers.values():
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    return writers


def test_a_writer_that_waited_for_a_segment_that_was_removed_looks_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    append(journal, event("1"))
    first = tmp_path / "00000001.log"
    with open(first, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        [writer] = start(journal, 1, "late").values()
        deadline = time.monotonic() + 10
        while first.name not in {Path(file.path).name for file in psutil.Process(writer.pid).open_files()}:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        (tmp_path / "00000002.log").touch()
        first.unlink()
    assert writer.communicate()[0] == "0\n"
    assert ids(journal.read().events) == ["late-0"]


def in_order(got: list[str]) -> dict[str, list[int]]:
    by_writer: dict[str, list[int]] = {}
    for identifier in got:
        writer, _, number = identifier.partition("-")
        by_writer.setdefault(writer, []).append(int(number))
    return by_writer


def test_eight_writers_and_a_reader_that_rotates_lose_double_and_disorder_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", segment_limit=20_000)
    each = 150
    writers = start(journal, each, *(f"w{number}" for number in range(8)))
    got: list[str] = []
    carried: tuple[Noted, ...] = ()
    deadline = time.monotonic() + 60
    while len(got) < 8 * each or carried:
        assert time.monotonic() < deadline, f"{len(got)} events, {len(carried)} carried"
        pending = journal.read(limit=100)
        assert pending.damaged == 0
        got += ids(pending.events)
        carried = pending.unfinished
        journal.advance(pending, tip=str(len(got)), carried=carried)
    for writer in writers.values():
        writer.communicate()
        assert writer.returncode == 0
    assert in_order(got) == {f"w{number}": list(range(each)) for number in range(8)}
    assert int(segments(journal)[-1][:8]) > 5
    assert journal.read().events == ()


def commit(journal: Journal, ledger: list[str], limit: int, *, dies: bool = False) -> int:
    """Do what a committer does, with the length of a list as the ledger's tip."""
    pending = journal.read(limit=limit)
    found = set(ledger if pending.tip is None else ledger[int(pending.tip) :])
    ledger += [one for one in ids(pending.events) if one not in found]
    if not dies:
        journal.advance(pending, tip=str(len(ledger)), found=found, carried=pending.unfinished)
    return len(pending.events)


def test_a_dead_readers_batch_may_be_read_again_in_smaller_ones(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    append(journal, *(event(str(number)) for number in range(9)))
    ledger: list[str] = []
    commit(journal, ledger, 2)
    commit(journal, ledger, 5, dies=True)
    for limit in (1, 2, 1):
        commit(journal, ledger, limit)
    commit(journal, ledger, 9, dies=True)
    while commit(journal, ledger, 1):
        pass
    assert ledger == [str(number) for number in range(9)]


def test_killed_writers_and_killed_readers_lose_and_double_nothing(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    journal = Journal(tmp_path / "journal", segment_limit=5_000)
    ledger: list[str] = []
    acknowledged: dict[str, int] = {}
    for round_ in range(10):
        writers = start(journal, 100_000, f"r{round_}a", f"r{round_}b")
        until = time.monotonic() + chance.uniform(0.0, 0.08)
        while time.monotonic() < until:
            commit(journal, ledger, chance.randrange(1, 50), dies=chance.random() < 0.3)
        for name, writer in writers.items():
            writer.send_signal(signal.SIGKILL)
            told, _ = writer.communicate()
            numbers = [int(line) for line in told.splitlines(keepends=True) if line.endswith("\n")]
            acknowledged[name] = max(numbers, default=-1)
    while commit(journal, ledger, 100):
        pass
    for name, numbers in in_order(ledger).items():
        assert numbers == list(range(len(numbers))), f"{name} is disordered, doubled or has gaps"
    for name, number in acknowledged.items():
        assert number < 0 or f"{name}-{number}" in ledger, f"{name} {number} was acknowledged and is lost"
    for one in journal.read().unfinished:
        assert oslock.is_alive(one.process) is False
