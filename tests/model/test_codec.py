import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.model import codec, ids
from coord.model.errors import BadRecord, CoordError, Usage
from coord.model.frontmatter import fold
from coord.model.records import Change, Checkpoint, Decision, Lock, MergeRequest, Message, Process, Record
from coord.model.shapes import TABLES

FIXTURES = Path(__file__).parent.parent / "fixtures" / "formats" / "1"
ID = "01KAJ3X5ZC9Q0V7T2D4M8N6P1R"
OTHER = "01KAJ3X5ZC9Q0V7T2D4M8N6P1Q"
AT = datetime(2026, 11, 22, 12, 3, 11, tzinfo=UTC)
KEYS: Mapping[type[Record], str] = {
    Message: f"inbox/frontend/{ID}-x.md",
    Lock: "locks/x.yaml",
    Checkpoint: f"checkpoints/backend/{ID}-x.md",
    Decision: f"checkpoints/decisions/{ID}-x.md",
    MergeRequest: f"inbox/merges/{ID}-x.md",
}
NOTE = Message(id=ID, sender="backend", to=("frontend",), subject="API endpoint changed", body="", sent_at=AT)
RELEASED: Mapping[str, Record] = {
    "message-least.md": NOTE,
    "message.md": Message(
        id=ID,
        sender="backend",
        to=("frontend", "@reviewers"),
        subject="Re: API endpoint #12 changed",
        body="getChefProfile now uses the Customers sheet.\n\n---\n\nA rule of the body's own.\n",
        sent_at=AT.replace(microsecond=204_000),
        kind="answer",
        priority="high",
        thread=OTHER,
        reply_to=OTHER,
        ack="wanted",
        expires_at=AT + timedelta(days=1),
        refs=("path:apps_script/chefs.js", "commit:1a2b3c4"),
        cause=(OTHER,),
        extra={"mood": "no", "seen_by": ("qa", "data")},
    ),
    "lock.yaml": Lock(
        scope="apps_script/MERGED TOTAL.js",
        holder="backend",
        token=42,
        granted_at=AT,
        expires_at=AT + timedelta(minutes=30),
        process=Process(pid=4711, started_at="1795348991.25", boot="0b1e8a3c-7d52-4c0a-9a37-5f1f0c2d6e44"),
        note="fixing getChefProfile",
    ),
    "checkpoint.md": Checkpoint(
        id=ID,
        agent="backend",
        saved_at=AT.replace(microsecond=204_000),
        title="Customers sheet is half wired",
        body="The reader is done, the writer is not.\n",
        next=("wire the form", "ask: which sheet?"),
        session="s1",
        task=OTHER,
        branch="agent/backend",
        commit="1a2b3c4d5e6f",
        dirty=("apps_script/chefs.js",),
        touched=("apps_script/chefs.js", "apps_script/MERGED TOTAL.js"),
        locks=("apps_script/**",),
        open_messages=(OTHER,),
    ),
    "decision.md": Decision(
        id=ID,
        made_by="architect",
        decided_at=AT,
        about="where chef profiles live",
        choice="the Customers sheet",
        body="One sheet less to keep in step.\n",
        confidence=0.8,
        outcome="held",
        outcome_at=datetime(2026, 12, 1, 8, tzinfo=UTC),
        supersedes=OTHER,
    ),
    "merge-request.md": MergeRequest(
        id=ID,
        branch="agent/backend",
        into="main",
        head="1a2b3c4d5e6f",
        agent="backend",
        requested_at=AT,
        title="Customers sheet",
        state="testing",
        priority="urgent",
        base="0a1b2c3",
        candidate="9f8e7d6",
        gate="npm test",
        result="1 of 2 passed",
        body="Ready since the reader is done.\n",
    ),
    "merge-request-in-a-batch.md": MergeRequest(
        id="01KAJ3X5ZC9Q0V7T2D4M8N6P1W",
        branch="agent/frontend",
        into="main",
        head="2b3c4d5e6f70",
        agent="frontend",
        requested_at=AT,
        title="Chefs page",
        task="01KAJ3X5ZC9Q0V7T2D4M8N6P1T",
        state="landing",
        after=("01KAJ3X5ZC9Q0V7T2D4M8N6P1R",),
        reviewed=("backend 42",),
        batch="01KAJ3X5ZC9Q0V7T2D4M8N6P1V",
        position=2,
        base="9f8e7d6",
        candidate="8e7d6c5",
        was="7d6c5b4",
        gate="passed 3f2a9c1b5d7e8f90",
        body="After the sheet.\n",
    ),
}


@pytest.mark.parametrize("name", RELEASED)
def test_what_was_released_is_read_for_ever(name: str) -> None:
    record = RELEASED[name]
    data = (FIXTURES / name).read_bytes()
    assert codec.decode(KEYS[type(record)], data) == record
    assert codec.encode(record) == data


def test_every_kind_of_record_and_every_field_has_a_fixture() -> None:
    assert {type(record) for record in RELEASED.values()} == set(TABLES)
    for kind, table in TABLES.items():
        text = "".join((FIXTURES / name).read_text() for name, one in RELEASED.items() if type(one) is kind)
        assert [column.key for column in table.columns if f"\n{column.key}: " not in text] == []


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
hard = st.sampled_from(["---", "---\n", "\n---\nfrom: owner\n---\n", "a, b", "[a]", "'a'", '"', "~", "null", "", " a "])
words = texts | hard
bodies = texts | st.lists(st.sampled_from(["---", "\r\n", "\n", "\r", "\t", "a: b", "é", "\ufeff", " "])).map("".join)
moments = st.datetimes(timezones=st.just(UTC)).map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000))
identifiers = st.builds(ids.ulid, st.just(AT), st.binary(min_size=10, max_size=10))
names = st.from_regex(r"[a-z0-9@][a-z0-9@.-]{0,40}", fullmatch=True)
wholes = st.integers(0, 10**18 - 1)
many = st.lists(words, max_size=4).map(tuple)
own = frozenset(key for table in TABLES.values() for key in (*table.by_key, "format"))
unknown = words.filter(lambda key: len(key) < 100 and fold(key) not in own)
kept: st.SearchStrategy[Any] = words | many
extras = st.dictionaries(unknown, kept, max_size=3)
processes = st.builds(Process, pid=wholes, started_at=words, boot=words)
PATHS = {
    "id": identifiers,
    "agent": names,
    "holder": names,
    "body": bodies,
    "extra": extras,
    "token": wholes,
    "scope": words.filter(bool),
}


def strategy(kind: type[Record]) -> st.SearchStrategy[Record]:
    by_type: dict[object, st.SearchStrategy[Any]] = {
        str: words,
        datetime: moments,
        datetime | None: st.none() | moments,
        float | None: st.none() | st.floats(allow_nan=False, allow_infinity=False),
        tuple[str, ...]: many,
        Process | None: st.none() | processes,
    }
    made = {one.name: PATHS[one.name] if one.name in PATHS else by_type.get(one.type) for one in fields(kind)}
    choices = st.fixed_dictionaries({c.name: st.sampled_from(c.choices) for c in TABLES[kind].columns if c.choices})
    rest = st.fixed_dictionaries({name: values for name, values in made.items() if values is not None})
    return st.builds(lambda some, others: kind(**some, **others), choices, rest)


@pytest.mark.parametrize("kind", TABLES)
@given(data=st.data())
@settings(deadline=None, print_blob=True, max_examples=60)
def test_every_record_survives_exactly(kind: type[Record], data: st.DataObject) -> None:
    record = data.draw(strategy(kind))
    assert codec.decode(KEYS[kind], codec.encode(record)) == record


@pytest.mark.parametrize("body", ["a\r\nb\rc\n", "\r\n", "---\n---\n", "\ufeff", "no end", "\n\n\n", "\t\x1b[31m\x85"])
def test_a_body_is_kept_byte_for_byte(body: str) -> None:
    data = codec.encode(replace(NOTE, body=body))
    assert data.endswith(b"---\n" + body.encode())
    assert codec.decode_message(data, "x").body == body


def test_a_file_edited_by_hand_is_still_read() -> None:
    text = (
        f"\ufeff--- \r\nID: {ID}\r\nFrom: backend\r\nTo: frontend, qa\r\nSubject: x\r\n"
        "Sent-At: 2026-11-22 13:03:11 +01:00\r\nPriority: High\r\nthread: ~\r\nrefs:\r\n---\r\nbody\r\n"
    )
    expected = replace(NOTE, to=("frontend", "qa"), subject="x", priority="high", body="body\r\n")
    assert codec.decode_message(text.encode(), "x") == expected


def test_unknown_keys_are_kept_and_passed_on() -> None:
    data = (
        (FIXTURES / "message-least.md").read_bytes().replace(b"\n---\n", b"\nMood: {a: [1, b]}\nlist: [[x], y]\n---\n")
    )
    message = codec.decode_message(data, "x")
    assert message.extra == {"Mood": '{"a": ["1", "b"]}', "list": ('["x"]', "y")}
    assert codec.decode_message(codec.encode(message), "x") == message


LEAST = (FIXTURES / "message-least.md").read_text()


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ("format: 1", "format: 2", 2, "newer coord (format 2; this one reads 1)"),
        ("format: 1", "format: one", 2, "no format number"),
        ("format: 1", "format: [1]", 2, "no format number"),
        (ID, "../../x", 3, "is no id"),
        (f"id: {ID}\n", "", 2, "`id` is missing"),
        ("from: backend", "from:", 2, "`from` is missing"),
        ("from: backend", "from: [a, b]", 4, "`from` must be one value"),
        ("from: backend", "from: a\nFrom: b", 5, "`from` is given twice"),
        ("to: frontend", "to: {a: b}", 5, "`to` must be text or a list of texts"),
        ("to: frontend", "to: [[a]]", 5, "`to` must be a list of texts"),
        ("2026-11-22T12:03:11Z", "yesterday", 7, "`sent_at`: 'yesterday' is no time"),
        ("subject:", "priority: critical\nsubject:", 6, "is none of low, normal, high, urgent"),
        ("subject: API", "subject: &API", 6, "anchor"),
        ("subject: API", "subject: API: x", 6, "not YAML"),
        ("---\nformat", "format", 1, "does not start with front matter"),
        ("Z\n---\n", "Z\n", 1, "not closed"),
        ("subject: API", "subject: \0", 6, "NUL"),
        ("subject: API", "subject: \x07", 6, "U+0007"),
        (LEAST[4:-4], "", 1, "no fields of a message"),
        (LEAST[4:-4], "- a\n", 1, "no fields of a message"),
        ("Z\n---\n", "Z\n---\n" + "é" * 131_073, 1, "the body has 262,146 bytes"),
    ],
)
def test_a_bad_record_names_file_line_and_reason(old: str, new: str, line: int, reason: str) -> None:
    text = LEAST.replace(old, new)
    assert text != LEAST
    with pytest.raises(BadRecord) as caught:
        codec.decode_message(text.encode(), "inbox/x.md")
    assert caught.value.message.startswith(f"inbox/x.md, line {line}: ")
    assert reason in caught.value.message
    assert caught.value.hint
    assert caught.value.facts["where"] == "inbox/x.md"
    assert caught.value.facts["line"] == line


def test_what_is_no_utf8_names_the_line() -> None:
    with pytest.raises(BadRecord, match=r"x, line 6: not UTF-8"):
        codec.decode_message(LEAST.encode().replace(b"API", b"\xff"), "x")


def test_the_nearest_choice_is_a_hint() -> None:
    with pytest.raises(BadRecord) as caught:
        codec.decode_message(LEAST.replace("subject", "kind: qestion\nsubject").encode(), "x")
    assert caught.value.hint == "Did you mean question?"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("token: 42", "token: 4.2", "no whole number"),
        ("token: 42", "token: " + "9" * 5000, "no whole number"),
        ("holder: backend", "holder: ../x", "is no name"),
        ("scope: apps_script/MERGED TOTAL.js", 'scope: ""', "is empty"),
        ("pid: 4711", "pid: x", "`process` must have"),
        ("process: {pid: 4711,", "process: {", "`process` must have"),
        ("mode: exclusive", "mode: mine", "exclusive, shared"),
        ("format: 1", "format: 1\n---\na: b", "second document"),
    ],
)
def test_a_bad_lock_is_refused(old: str, new: str, reason: str) -> None:
    text = (FIXTURES / "lock.yaml").read_text().replace(old, new)
    with pytest.raises(BadRecord) as caught:
        codec.decode_lock(text.encode(), "locks/x.yaml")
    assert reason in caught.value.message


@pytest.mark.parametrize(("written", "number"), [("1", 1.0), ("0.5", 0.5), (".5", 0.5), ("1e-3", 0.001)])
def test_a_confidence_is_a_number(written: str, number: float) -> None:
    text = (FIXTURES / "decision.md").read_text()
    assert codec.decode_decision(text.replace("0.8", written).encode(), "x").confidence == number
    for wrong in ("high", "nan", "inf", "1e999", "1_0"):
        with pytest.raises(BadRecord, match="no number"):
            codec.decode_decision(text.replace("0.8", wrong).encode(), "x")


@pytest.mark.parametrize("key", ["", "x", "inbox/.dead/x/y", "inbox/x", "locks/a/b", "checkpoints/x", "inbox/a/b/c"])
def test_a_key_where_nothing_lives_is_refused(key: str) -> None:
    with pytest.raises(BadRecord, match="no records live here"):
        codec.decode(key, b"")


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "x"},
        {"body": "\0"},
        {"body": "\udc80"},
        {"subject": "\udc80"},
        {"body": "é" * 131_073},
        {"subject": "x" * 70_000},
        {"extra": {"Subject": "x"}},
        {"extra": {"format": "2"}},
        {"extra": {"k" * 200: "x"}},
    ],
)
def test_what_could_not_be_read_again_is_not_written(changes: dict[str, Any]) -> None:
    with pytest.raises(Usage):
        codec.encode(replace(NOTE, **changes))


def test_plain_data_for_programs() -> None:
    @dataclass(frozen=True)
    class Sent:
        message: Message
        took: timedelta
        names: frozenset[str]
        changes: tuple[Change, ...]

    plain = codec.to_plain(Sent(NOTE, timedelta(seconds=1.5), frozenset("ba"), (Change("k", b"x\xff"),)))
    assert plain == {
        "message": {
            "id": ID,
            "from": "backend",
            "to": ["frontend"],
            "subject": "API endpoint changed",
            "body": "",
            "sent_at": "2026-11-22T12:03:11Z",
            "kind": "note",
            "priority": "normal",
            "thread": "",
            "reply_to": "",
            "ack": "none",
            "expires_at": None,
            "refs": [],
            "cause": [],
        },
        "took": 1.5,
        "names": ["a", "b"],
        "changes": [{"key": "k", "data": "x\ufffd"}],
    }
    assert json.loads(json.dumps(plain)) == plain
    assert codec.to_plain(replace(NOTE, extra={"a": ("b",)}))["extra"] == {"a": ["b"]}  # type: ignore[index,call-overload]
    assert codec.to_plain({1: Path("x/y"), "z": [None, True]}) == {"1": "x/y", "z": [None, True]}


LINES = ["---\n", "---", "\r\n", "\n", "to: ", "@a, b", "[x", "From: ", '"', "'", "subject: ", "a: b: c", "- ", "  "]


@given(st.binary() | st.text().map(str.encode) | st.lists(st.sampled_from(LINES)).map("".join).map(str.encode))
@settings(deadline=None, print_blob=True, max_examples=300)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for key in (*KEYS.values(), "elsewhere"):
        try:
            codec.decode(key, data)
        except CoordError as error:
            assert error.message.startswith(key)
            assert error.hint


@pytest.mark.parametrize("name", RELEASED)
@given(data=st.data())
@settings(deadline=None, print_blob=True, max_examples=60)
def test_a_damaged_record_is_read_or_refused(name: str, data: st.DataObject) -> None:
    whole = (FIXTURES / name).read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(start + 20, len(whole))))
    damaged = whole[:start] + data.draw(st.binary(max_size=8)) + whole[end:]
    try:
        codec.decode(KEYS[type(RELEASED[name])], damaged)
        codec.draft_message(damaged, "x")
    except BadRecord as error:
        assert error.hint
