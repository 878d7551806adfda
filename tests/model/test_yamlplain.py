"""The quick way to a text's meaning leads to the same place as the long one."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.config import writing
from coord.config.schema import Agent, Config
from coord.model import codec, yamlevents, yamlplain
from coord.model.errors import BadRecord
from coord.model.records import Lock, Message, Process
from coord.model.yamlnodes import Fields, Scalar

FORMATS = Path(__file__).parents[1] / "fixtures" / "formats"
NOW = datetime(2026, 11, 22, 12, 3, 11, 204_000, tzinfo=UTC)
DEPTH = 8


def agrees(text: str) -> bool:
    """Tell whether the quick way was taken; then it came to what libyaml says."""
    found = yamlplain.read(text, 3, DEPTH)
    if found is not None:
        assert found == yamlevents.read(text, 3, DEPTH)
    return found is not None


@pytest.fixture(params=["CBaseLoader", "BaseLoader"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamlevents, "_LOADER", getattr(yaml, request.param))


@pytest.mark.parametrize(
    "text",
    [
        "a: b\n",
        "a: b",
        "a:\nb:   \nc: d\n",
        "# first\n\na: b  # beside\n   # below\n",
        'a: "b: # c"\nb: ""\n',
        "a:\n  b: c\n  d:\n\n    e: f\n# less\n  g: h\ni: j\n",
        'a: [b, "c, d", e f]\nb: []\nc: [ ]  # none\n',
        "  a: b\n  c: d\n",
        "a: it's 12:30 (or so); 1 > 0, a - b = *c @d?e\n",
        "id: 01KAJ3X5ZC9Q0V7T2D4M8N6P1R\nsent_at: 2026-11-22T12:03:11.204Z\n",
        "a\u00fc: x\nb: gr\u00fc\u00dfe \u4e16\u754c\n",
        "a: b \n",
    ],
)
def test_plain_text_goes_the_quick_way(text: str) -> None:
    assert agrees(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment\n",
        "a: b\n  c\n",
        "a: b\n  c: d\n",
        "a: b\na: c\n",
        "a:\n  b: c\n d: e\n",
        " a: b\nc: d\n",
        "a: &x b\n",
        "a: *x\n",
        "a: !t b\n",
        "a: 'b'\n",
        'a: "\\n"\n',
        'a: "b\n  c"\n',
        "a: |\n  b\n",
        "a: {b: c}\n",
        "a: [b, [c]]\n",
        "a: [b,]\n",
        "a: [b\n",
        "- a\n",
        "a: b: c\n",
        "a: b:\n",
        "a:\tb\n",
        "a: b\r\n",
        "a: b # c\x85d: e\n",
        "a: b # c\u2028d: e\n",
        "---\na: b\n",
        "a: b\n...\n",
        "%YAML 1.1\n---\na: b\n",
        "\ufeffa: b\n",
        "? a\n: b\n",
        "".join(f"{' ' * depth}a:\n" for depth in range(9)),
    ],
)
def test_anything_else_is_left_to_libyaml(text: str) -> None:
    assert yamlplain.read(text, 1, DEPTH) is None


def test_lines_are_counted_from_the_first() -> None:
    found = yamlplain.read("# x\na:\n  b: c\nd:\n", 3, DEPTH)
    inner = Fields({"b": Scalar("c", 5, False)}, {"b": 5}, 5)
    assert found == Fields({"a": inner, "d": Scalar("", 6, False)}, {"a": 4, "d": 6}, 4)


def test_what_coord_writes_goes_the_quick_way() -> None:
    message = Message(
        id="01KAJ3X5ZC9Q0V7T2D4M8N6P1R",
        sender="backend",
        to=("frontend", "owner"),
        subject="done: 3 of 4, see src/a.py\u2026",
        body="x",
        sent_at=NOW,
        thread="01KAJ3X5ZC9Q0V7T2D4M8N6P1R",
        refs=("src/a.py",),
    )
    assert agrees(codec.encode(message).decode().split("---\n")[1])
    lock = Lock(scope="src/**", holder="a", token=7, granted_at=NOW, expires_at=NOW + timedelta(hours=1), note="a: b")
    assert agrees(codec.encode(lock).decode())
    held = Lock(
        scope="a", holder="a", token=7, granted_at=NOW, expires_at=NOW, process=Process(pid=1, started_at="2", boot="3")
    )
    assert not agrees(codec.encode(held).decode())  # an inner mapping in braces
    for every in (False, True):
        assert agrees(writing.render(Config(agents=(Agent(name="a", role="r"), Agent(name="b"))), every=every))


@pytest.mark.parametrize("path", sorted(FORMATS.rglob("*.*")), ids=lambda path: path.name)
def test_the_documented_formats_mean_the_same(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for part in text.split("---\n"):
        agrees(part)


SIGNS = [
    "a",
    "b",
    "key",
    ":",
    "#",
    '"',
    "'",
    "[",
    "]",
    ",",
    "{",
    "}",
    "?",
    "!",
    "*",
    "&",
    "|",
    ">",
    "%",
    "@",
    "`",
    "~",
    "=",
    "\\",
    "-",
    "---",
    "...",
    "0x1f",
    "1.5",
    "é",
    "😀",
]
SPACED = (": ", " ", "  ", "\n", "\n  ", "\n    ", "- ", " # ", '"x y"', ", ", "\t", "\x85", "\u2028", "\ufeff")
LINES = ("a:\n  b: c\n", "k: v\n", "l:\n", "m: [x, y z]\n")
PIECES = st.sampled_from([*SIGNS, *SPACED, *LINES])


@given(st.lists(PIECES, max_size=14).map("".join))
@settings(deadline=None, print_blob=True, max_examples=1500)
def test_any_text_means_the_same(text: str) -> None:
    agrees(text)


@pytest.mark.parametrize(
    ("name", "lax", "text"),
    [
        ("_BREAKS", (), "a: b # c\x85d: e\n"),
        ("_LINE", re.compile("( *)([a-z]+):(?: +(.+))?"), "a: b: c\n"),
        ("_LINE", re.compile("( *)([a-z]+):(?: +(.+))?"), "a: *b\n"),
        ("_LINE", re.compile("( *)([a-z]+):(?: +(.+))?"), "a: b # c\n"),
        ("_NOTHING", re.compile(".*"), "a: b\n  c\n"),
    ],
)
def test_a_laxer_reader_is_caught(monkeypatch: pytest.MonkeyPatch, name: str, lax: object, text: str) -> None:
    monkeypatch.setattr(yamlplain, name, lax)
    with pytest.raises((AssertionError, BadRecord, yaml.YAMLError)):
        agrees(text)


SHAPED = st.tuples(
    st.sampled_from(["", "  ", "    ", " "]),
    st.sampled_from(["a", "b", "c-d", "e_1", "true", "y"]),
    st.sampled_from([":", ": ", ":  "]),
    st.lists(st.sampled_from([*"ab01_.,:;?!*&@#%-+=/()[]'\" >", "\u00e9", "[", "]", ", "]), max_size=8).map("".join),
    st.sampled_from(["", " ", "  # x", " #"]),
).map("".join)


@given(st.lists(SHAPED, min_size=1, max_size=4, unique=True).map("\n".join))
@settings(deadline=None, print_blob=True, max_examples=3000)
def test_lines_of_fields_mean_the_same(text: str) -> None:
    try:
        agrees(text)
    except BadRecord as fault:
        pytest.fail(f"libyaml refuses what was read: {fault}")
