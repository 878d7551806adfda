import contextlib
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.model import yamlevents, yamlnodes, yamltext
from coord.model.errors import BadRecord, CoordError, Usage
from coord.model.yamlnodes import Fields, Items, Node, Scalar
from coord.model.yamltext import Value, read, write

pytestmark = pytest.mark.parametrize("loader", ["C", "Python"])


@pytest.fixture(autouse=True)
def parser(loader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamlevents, "_LOADER", yaml.CBaseLoader if loader == "C" else yaml.BaseLoader)


def plain(node: Node | None) -> Any:
    match node:
        case Scalar():
            return node.text
        case Items():
            return [plain(item) for item in node.items]
        case Fields():
            return {name: plain(item) for name, item in node.items.items()}
        case None:
            return None


def test_scalars_stay_what_was_written() -> None:
    text = "a: NO\nb: 1.10\nc: 12:30:45\nd: 010\ne: 2026-11-22\nf: ~\n"
    values = {"a": "NO", "b": "1.10", "c": "12:30:45", "d": "010", "e": "2026-11-22", "f": "~"}
    assert plain(read(text)) == values


def test_lines_and_quotes_are_told() -> None:
    node = read('a:\nb: ""\nc:\n  - x\n  - {d: y}\n', first_line=10)
    assert isinstance(node, Fields)
    assert node.items["a"] == Scalar("", 10, False)
    assert node.items["b"] == Scalar("", 11, True)
    inner = Fields({"d": Scalar("y", 14, False)}, {"d": 14}, 14)
    assert node.items["c"] == Items((Scalar("x", 13, False), inner), 13)
    assert node.key_lines == {"a": 10, "b": 11, "c": 12}


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "\ufeff"])
def test_nothing_is_none(text: str) -> None:
    assert read(text) is None


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a: 1\nb: 2\na: 3", 3, "'a' is given twice, first on line 1"),
        ("a: 1\nb: {c: 1, c: 2}", 2, "'c' is given twice, first on line 2"),
        ("a: 1\nb: &x 1", 2, "anchor"),
        ("a: 1\nb: &x [1]", 2, "anchor"),
        ("a: 1\nb: *x", 2, "alias"),
        ("a: 1\nb: !!int 3", 2, "tag"),
        ("a: 1\nb: ! 3", 2, "tag"),
        ("a: !!python/object:os.system []", 1, "tag"),
        ("a: 1\n---\nb: 2", 2, "second document"),
        ("a: 1\n? [x]\n: 2", 2, "a key must be plain text"),
        ("a: 1\n? {x: 1}\n: 2", 2, "a key must be plain text"),
        ("a: 1\nb: [1\n", 3, "not YAML"),
        ("a: 1\nb: 'x\n", 3, "not YAML"),
        ("a: b: c", 1, "not YAML"),
        ("a: 1\nb: \x1b[31m", 2, "U+001B"),
        ("a: 1\r\nb: \0", 2, "U+0000"),
        ("a: 1\nb: \udc80", 2, "U+DC80"),
        ("[" * 9, 1, "nested deeper than 8"),
        ("k" * 129 + ": 1", 1, "longer than 128"),
    ],
)
def test_refused_with_line_and_reason(text: str, line: int, reason: str) -> None:
    with pytest.raises(BadRecord) as caught:
        read(text, first_line=5)
    assert caught.value.facts["line"] == line + 4
    lines = str(caught.value.facts["reason"])
    assert reason.replace("line 1", "line 5").replace("line 2", "line 6") in lines
    assert caught.value.message == f"line {line + 4}: {lines}"


def test_the_limit_is_in_bytes() -> None:
    assert read("é" * 50, limit=100) == Scalar("é" * 50, 1, False)
    with pytest.raises(BadRecord, match="larger than 100 bytes"):
        read("é" * 51, limit=100)


def test_eight_deep_is_read() -> None:
    assert read("[" * 8 + "]" * 8) is not None


SIZE = yamltext.LIMIT
REPEATED = [
    *"[{'\n\r!#a %\t|:-",
    "? ",
    "- ",
    '"a',
    "[]\n,",
    "a: ",
    "&a ",
    "*a ",
    "%a\n",
    '"\\',
    "---\n",
    "a: |\n ",
    "[?",
]
HOSTILE = [
    *(piece * (SIZE // len(piece)) for piece in REPEATED),
    "\u2028" * (SIZE // 3),
    "[" + "[]," * 20_000 + "]",
    "[" * 7 + "[]," * 20_000 + "]" * 7,
    "[" + "a: b," * 13_000 + "]",
    "[" + "? a," * 16_000 + "]",
    "".join(f"k{number}: v\n" for number in range(6_000)),
    "a: " + "b\n " * 20_000,
    "a: >\n" + " b\n\n" * 12_000,
    'a: "' + "\n" * 60_000 + '"',
    "".join(f"%TAG !{number}! x\n" for number in range(4_500)) + "--- a",
    "".join(" " * number + "a:\n" for number in range(340)),
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_texts_are_answered_at_once(number: int) -> None:
    started = time.thread_time()
    with contextlib.suppress(BadRecord):
        read(HOSTILE[number])
    # Measured: 0.1 s with libyaml, 0.45 s without, on two slow cores.
    assert time.thread_time() - started < 5


def test_a_hundred_thousand_brackets_do_not_crash() -> None:
    with pytest.raises(BadRecord, match="nested deeper"):
        read("[" * 100_000, limit=200_000)


texts = st.text(st.characters(exclude_categories=["Cs"]))
AWKWARD = """
NO y off null ~ 1.10 010 0x1F 0o17 1e5 12:30:45 2026-11-22 .inf nan = << - ? : # a:b a#b x: [a] {b ---x ...
01E56789012345678901234567 0b1 1_000 +1 @a `b %c !d &e *f |g >h
"""
SPACED = ["a: b", "a #b", "a ", " a", "a:", "--- ", "\ud7ff\ue000", "a, b", "\U0001fffe", "\u2028", "\x85", "\ufeff"]
awkward = st.sampled_from(AWKWARD.split() + SPACED)
words = texts | awkward
keys = words.filter(lambda key: len(key) <= yamlnodes.KEY_LIMIT)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = words | st.lists(words) | st.dictionaries(keys, words) | numbers


@given(st.dictionaries(keys, values))
@settings(deadline=None, print_blob=True)
def test_what_is_written_is_read(loader: str, fields: dict[str, Value]) -> None:
    if not fields:
        return
    expected = {name: value if isinstance(value, str | list | dict) else str(value) for name, value in fields.items()}
    assert plain(read(write(fields), limit=1_000_000)) == expected


@given(st.dictionaries(keys, words | st.lists(words) | st.dictionaries(keys, words)))
@settings(deadline=None, print_blob=True)
def test_other_readers_get_the_same_text(loader: str, fields: dict[str, Value]) -> None:
    if loader == "C" and fields:
        assert yaml.load(write(fields), Loader=yaml.CSafeLoader) == fields
    elif fields:
        assert yaml.safe_load(write(fields)) == fields


def test_written_for_people() -> None:
    fields: dict[str, Value] = {
        "format": 1,
        "id": "01KAJ3X5ZC9Q0V7T2D4M8N6P1R",
        "subject": "API endpoint changed",
        "note": "NO",
        "refs": ["path:apps_script/chefs.js", "a, b"],
        "process": {"pid": 4711, "boot": "x"},
        "confidence": 0.8,
        "tricky": "a\x1b[31m\u202eb\n",
    }
    assert write(fields) == (
        "format: 1\n"
        "id: 01KAJ3X5ZC9Q0V7T2D4M8N6P1R\n"
        "subject: API endpoint changed\n"
        'note: "NO"\n'
        'refs: [path:apps_script/chefs.js, "a, b"]\n'
        "process: {pid: 4711, boot: x}\n"
        "confidence: 0.8\n"
        'tricky: "a\\x1b[31m\\u202eb\\n"\n'
    )


@pytest.mark.parametrize("fields", [{"a": "\udc80"}, {"a": float("nan")}, {"k" * 129: "a"}])
def test_what_cannot_be_written_is_refused(fields: dict[str, Value]) -> None:
    with pytest.raises(Usage):
        write(fields)


@given(st.text() | st.text("[]{}:,-?|>&*!%#'\" \n\tab~", max_size=40))
@settings(deadline=None, print_blob=True, max_examples=300)
def test_any_text_is_read_or_refused(loader: str, text: str) -> None:
    try:
        read(text)
    except CoordError as error:
        assert isinstance(error.facts["line"], int)
