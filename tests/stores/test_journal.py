"""Every noted event is read exactly once, in order, whatever happens to writers and readers."""

import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from noting import append, change, event, ids, segments

from coord.model.errors import Corrupt, Unavailable
from coord.model.eventline import Noted, encode
from coord.model.records import Process
from coord.stores import oslock
from coord.stores.framing import frame
from coord.stores.journal import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "private" / "journal")


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


def test_a_note_names_its_writer(journal: Journal) -> None:
    stranger = Process(pid=1, started_at="0.01", boot="x/y/z")
    journal.append(event("1"), stranger)
    assert journal.read().events[0].process == stranger
