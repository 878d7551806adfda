"""Every noted event is read exactly once, in order, whatever happens to writers and readers."""

import fcntl
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from coord.model.errors import Corrupt, Unavailable
from coord.model.eventline import Noted, encode
from coord.model.records import Change, Event, Process
from coord.stores import oslock
from coord.stores.framing import frame
from coord.stores.journal import Journal

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
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


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "private" / "journal")


def event(identifier: str, *changes: Change) -> Event:
    return Event(id=identifier, kind="test", agent="backend", subject="hello", at=NOON, changes=changes)


def change(key: str, data: bytes | None = b"x") -> Change:
    return Change(f"inbox/a/{key}.md", data)


def append(journal: Journal, *events: Event) -> None:
    for one in events:
        journal.append(one, oslock.me())


def ids(noted: tuple[Noted, ...]) -> list[str]:
    return [one.event.id for one in noted]


def segments(journal: Journal) -> list[str]:
    return sorted(name for name in os.listdir(journal._folder) if name.endswith(".log"))


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


@contextmanager
def file_size_limit(soft: int) -> Iterator[None]:
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))


# ---- reading and advancing ----


def test_an_empty_journal_holds_nothing_and_is_not_made_by_looking(journal: Journal) -> None:
    pending = journal.read()
    assert (pending.events, pending.unfinished, pending.tip, pending.damaged) == ((), (), None, 0)
    assert journal.size() == 0
    assert not journal._folder.exists()


def test_what_is_noted_is_read_until_the_reader_advances(journal: Journal) -> None:
    first, second = event("1", change("a")), event("2", change("b", None))
    append(journal, first, second)
    journal.done("1")
    pending = journal.read()
    for _ in range(2):
        assert pending.events == (Noted(first, oslock.me(), done=True), Noted(second, oslock.me()))
        assert pending.unfinished == (Noted(second, oslock.me()),)
        pending = journal.read()
    assert journal.size() > 0
    journal.advance(pending, tip="abc")
    after = journal.read()
    assert (after.events, after.unfinished, after.tip) == ((), (), "abc")
    assert journal.size() == 0
    append(journal, event("3"))
    assert ids(journal.read().events) == ["3"]
    assert ids(Journal(journal._folder).read().events) == ["3"]


def test_a_batch_has_a_limit_and_the_next_goes_on_behind_it(journal: Journal) -> None:
    for number in range(7):
        append(journal, event(str(number), change(str(number))))
        journal.done(str(number))
    batches = []
    for _ in range(3):
        pending = journal.read(limit=3)
        assert pending.unfinished == ()
        batches.append(ids(pending.events))
        journal.advance(pending, tip=None)
    assert batches == [["0", "1", "2"], ["3", "4", "5"], ["6"]]


def test_a_crash_between_commit_and_advance_leaves_the_tip_to_look_from(journal: Journal) -> None:
    append(journal, event("1"))
    journal.advance(journal.read(), tip="tip-1")
    append(journal, event("2"))
    assert ids(journal.read().events) == ["2"]  # committed now, and here the reader dies
    again = Journal(journal._folder).read()
    assert (ids(again.events), again.tip) == (["2"], "tip-1")


# ---- what is not known to be visible ----


def test_events_whose_writers_were_not_done_are_carried_until_they_are(journal: Journal) -> None:
    append(journal, event("1", change("a")), event("2", change("b")), event("3", change("c")))
    journal.done("2")
    pending = journal.read()
    assert ids(pending.unfinished) == ["1", "3"]
    journal.advance(pending, tip=None, carried=pending.unfinished)
    later = journal.read()
    assert (ids(later.events), ids(later.unfinished)) == ([], ["1", "3"])
    journal.done("1")
    later = journal.read()
    assert ids(later.unfinished) == ["3"]
    journal.advance(later, tip=None, carried=later.unfinished)
    assert ids(journal.read().unfinished) == ["3"]
    assert journal.read().unfinished[0].process == oslock.me()


def test_applying_an_unfinished_event_again_undoes_no_later_one(journal: Journal) -> None:
    append(journal, event("1", change("a", b"1"), change("b", b"1")), event("2", change("b", b"2")))
    pending = journal.read()
    assert [one.event.changes for one in pending.unfinished] == [(change("a", b"1"),), (change("b", b"2"),)]
    assert [len(one.event.changes) for one in pending.events] == [2, 1]
    journal.advance(pending, tip=None, carried=pending.unfinished)
    append(journal, event("3", change("a", None)))
    journal.done("3")
    assert ids(journal.read().unfinished) == ["2"]


def test_what_later_segments_replace_is_not_applied_again_either(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_limit=1)
    append(journal, event("0"))
    with journal._newest():  # keeps the first segment from being removed
        journal.advance(journal.read(), tip=None)
        with open(tmp_path / "00000001.log", "ab") as late:
            late.write(frame(encode(event("1", change("a", b"1"), change("b", b"1")), oslock.me())))
        append(journal, event("2", change("a", b"2")))
        pending = journal.read()
    assert ids(pending.events) == ["1"]
    assert [one.event.changes for one in pending.unfinished] == [(change("b", b"1"),)]


def test_an_unfinished_event_is_pruned_by_what_the_reader_has_not_reached_yet(journal: Journal) -> None:
    append(journal, event("1", change("a", b"1")), event("2", change("a", b"2")))
    journal.done("2")
    pending = journal.read(limit=1)
    assert (ids(pending.events), pending.unfinished) == (["1"], ())


# ---- garbage ----


def test_garbage_between_events_is_passed_over_and_counted(journal: Journal) -> None:
    append(journal, event("1"))
    path = journal._folder / "00000001.log"
    for garbage in (b"\nffffffff {}\n", b"\0" * 100, b'\n12345678 {"v":1', b"\xff\xfe\n\n"):
        with open(path, "ab") as file:
            file.write(garbage)
        append(journal, event(repr(garbage)))
    pending = journal.read()
    assert len(pending.events) == 5
    assert pending.damaged == 4


def test_an_event_of_a_later_version_stops_the_reader_rather_than_be_lost(journal: Journal) -> None:
    append(journal, event("1"))
    path = journal._folder / "00000001.log"
    from_later = journal.read().events[0]
    assert from_later.event.id == "1"
    path.write_bytes(frame(json.dumps({"v": 9})))
    with pytest.raises(Corrupt, match="format 9"):
        journal.read()


@pytest.mark.parametrize("state", ["", "[]", "{}", '{"format": 1}', '{"format": 2}', '{"format": 1, "segment": "x"}'])
def test_a_damaged_state_is_named_and_writers_go_on(journal: Journal, state: str) -> None:
    append(journal, event("1"))
    (journal._folder / "state.json").write_text(state)
    with pytest.raises(Corrupt, match=r"state\.json") as caught:
        journal.read()
    assert caught.value.hint
    append(journal, event("2"))
    (journal._folder / "state.json").unlink()
    pending = journal.read()
    assert (ids(pending.events), pending.tip) == (["1", "2"], None)


# ---- no room ----


def test_a_note_that_does_not_fit_raises_and_hides_nothing(journal: Journal) -> None:
    append(journal, event("1"))
    size = (journal._folder / "00000001.log").stat().st_size
    for room in (0, 1, 9, 10, 50, 200):
        with file_size_limit((journal._folder / "00000001.log").stat().st_size + room):
            with pytest.raises(Unavailable) as caught:
                append(journal, event(f"lost {room}", change("a", b"x" * 1000)))
            assert caught.value.hint
    assert (journal._folder / "00000001.log").stat().st_size > size
    append(journal, event("2"))
    pending = journal.read()
    assert ids(pending.events) == ["1", "2"]
    assert pending.damaged


def test_a_note_without_its_last_line_break_was_noted(journal: Journal) -> None:
    append(journal, event("1"))
    size = (journal._folder / "00000001.log").stat().st_size
    with file_size_limit(2 * size - 1):
        append(journal, event("2"))
    assert ids(journal.read().events) == ["1", "2"]
    append(journal, event("3"))
    assert ids(journal.read().events) == ["1", "2", "3"]


def test_an_event_whose_sync_failed_is_void(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    append(journal, event("1"))

    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("coord.stores.durable.sync_data", fail)
        with pytest.raises(Unavailable, match="note an event"):
            append(journal, event("2", change("a")))
    assert ids(journal.read().events) == ["1"]


def test_a_void_event_replaces_nothing(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    append(journal, event("1", change("a")), event("2"))
    with monkeypatch.context() as patch:
        patch.setattr("coord.stores.durable.sync_data", lambda _: os.close(-1))
        with pytest.raises(Unavailable):
            append(journal, event("3", change("a", None)))
    for limit in (1, 5):
        assert ids(journal.read(limit).unfinished) == ["1"]


# ---- segments ----


def drain(journal: Journal) -> list[Noted]:
    got: list[Noted] = []
    while (pending := journal.read()).events:
        got += pending.events
        journal.advance(pending, tip=None)
    return got


def test_full_segments_are_removed_and_their_numbers_never_come_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_limit=500)
    for number in range(20):
        append(journal, event(str(number)))
        if number % 3 == 2:
            drain(journal)
    assert [one.event.id for one in drain(journal)] == ["18", "19"]
    [last] = segments(journal)
    assert int(last[:8]) > 3
    for name in segments(journal):
        (tmp_path / name).unlink()
    append(journal, event("after"))
    assert int(segments(journal)[0][:8]) > int(last[:8])
    assert [one.event.id for one in drain(journal)] == ["after"]


def test_a_segment_that_a_power_cut_brings_back_is_not_read_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_limit=1)
    append(journal, event("1"))
    old = (tmp_path / "00000001.log").read_bytes()
    drain(journal)
    append(journal, event("2"))
    drain(journal)
    (tmp_path / "00000001.log").write_bytes(old)
    assert journal.size() == 0
    assert drain(journal) == []
    assert "00000001.log" not in segments(journal)


def test_a_segment_with_a_writer_in_it_is_kept_and_later_ones_wait(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_limit=1)
    append(journal, event("1"))
    with journal._newest():  # a writer that has found the first segment and not written yet
        drain(journal)
        append(journal, event("3"))
        assert journal.read().events == ()
        assert segments(journal) == ["00000001.log", "00000002.log"]
        with open(tmp_path / "00000001.log", "ab") as late:
            late.write(frame(encode(event("2"), oslock.me())))
    assert [one.event.id for one in drain(journal)] == ["2", "3"]


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


def test_a_dead_readers_batch_may_be_read_again_in_smaller_ones(journal: Journal) -> None:
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


def test_a_note_names_its_writer(journal: Journal) -> None:
    stranger = Process(pid=1, started_at="0.01", boot="x/y/z")
    journal.append(event("1"), stranger)
    assert journal.read().events[0].process == stranger
