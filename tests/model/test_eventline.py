"""Events as lines: what goes in comes out, and nothing else is believed."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.model.errors import Corrupt
from coord.model.eventline import Noted, decode, encode
from coord.model.records import Change, Event, Process

FUZZ = settings(derandomize=False, deadline=None, print_blob=True, max_examples=200)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
PROCESS = Process(pid=4711, started_at="1702.71", boot="591187be/4026531836/d13a854effeb")
any_text = st.text(st.characters(codec=None))  # lone surrogates too: file names are bytes
contents = st.none() | st.binary() | st.text().map(str.encode) | st.sampled_from([b"same", b"", b"\r\n\0"])
moments = st.integers(0, 10**13).map(lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms))
processes = st.builds(Process, pid=st.integers(0, 2**62), started_at=any_text, boot=any_text)
events = st.builds(
    Event,
    id=any_text,
    kind=any_text,
    agent=any_text,
    subject=any_text,
    at=moments,
    changes=st.lists(st.builds(Change, any_text, contents)).map(tuple),
    cause=st.lists(any_text).map(tuple),
    facts=st.dictionaries(any_text, any_text),
)


def event(*changes: Change) -> Event:
    return Event(id="01", kind="mail.sent", agent="backend", subject="hello", at=NOON, changes=changes)


@FUZZ
@given(events, processes)
def test_what_was_noted_is_read_back(noted: Event, process: Process) -> None:
    line = encode(noted, process)
    assert decode(line) == Noted(noted, process)
    assert line.isascii()
    assert line.splitlines() == [line]


@FUZZ
@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_a_line_of_anything_else_is_refused(line: str) -> None:
    with pytest.raises(Corrupt):
        decode(line)


@FUZZ
@given(st.data())
def test_a_line_with_one_part_missing_or_replaced_is_refused_or_read(data: st.DataObject) -> None:
    fields = json.loads(encode(event(Change("inbox/a/b.md", b"x"), Change("inbox/c/b.md", b"x")), PROCESS))
    name = data.draw(st.sampled_from(sorted(fields)))
    fields[name] = data.draw(st.none() | st.integers() | st.text() | st.lists(st.text()) | st.just({"k": 1}))
    try:
        noted = decode(json.dumps(fields))
    except Corrupt:
        return
    assert isinstance(noted, Noted)
    del fields[name]
    with pytest.raises(Corrupt):
        decode(json.dumps(fields))


def test_the_same_content_in_many_mailboxes_is_stored_once() -> None:
    letter = b"x" * 10_000
    line = encode(event(*(Change(f"inbox/agent{number}/m.md", letter) for number in range(50))), PROCESS)
    assert len(line) < 14_000


def test_content_that_is_no_text_survives() -> None:
    changes = Change("inbox/.dead/a", b"\xff\xfe"), Change("inbox/.dead/b", None), Change("inbox/.dead/c", b"\xff\xfe")
    assert decode(encode(event(*changes), PROCESS)).event.changes == changes


def test_a_later_format_is_refused_rather_than_guessed() -> None:
    fields = json.loads(encode(event(), PROCESS)) | {"v": 2}
    with pytest.raises(Corrupt, match="format 2") as caught:
        decode(json.dumps(fields))
    assert "later" in caught.value.hint


def test_a_same_content_note_cannot_point_ahead() -> None:
    fields = json.loads(encode(event(), PROCESS)) | {"changes": [{"k": "inbox/a/b.md", "s": 0}]}
    with pytest.raises(Corrupt):
        decode(json.dumps(fields))
