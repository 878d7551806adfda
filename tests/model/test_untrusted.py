import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.model.untrusted import clean_line, clean_text, several

NASTY = "\x1b\x9b\x07\x00\x7f\x85\u2028\u202e\u2066\u200f\ufeff\U000e0041[]0m;H\\a \n\t\r\x0b"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("  two\n\n lines\t", "two lines"),
        ("a\u2028b\u2029c\x85d\x0be\x0cf\rg", "a b c d e f g"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;never ended", "0;never ended"),
        ("\x1b(Bx\x1bcy", "xy"),
        ("\x1b\x1b[m[31mx", "[31mx"),
        ("abc\b\b\bxyz\x00\x7f", "abcxyz"),
        ("user\u202egnp.exe", "usergnp.exe"),
        ("a\u2066b\u2069c\u200ed\u061ce", "abcde"),
        ("a\u200bb\ufeffc\xadd", "abcd"),
        ("hi\U000e0068\U000e0069", "hi"),
        ("half \udc80", "half \ufffd"),
        ("👩\u200d👩\u200d👧 café سلام", "👩\u200d👩\u200d👧 café سلام"),
        ("", ""),
    ],
)
def test_a_line_shows_what_it_says(text: str, line: str) -> None:
    assert clean_line(text) == line


def test_a_text_keeps_its_lines_and_tabs() -> None:
    assert clean_text("a\tb\r\nc\rd\n\n\x1b[2Je\u2028f\x00") == "a\tb\nc\nd\n\ne\nf"


@pytest.mark.parametrize(
    ("text", "limit", "line"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abcde…"),
        ("abcd efg", 6, "abcd…"),
        ("abcde\u0301fgh", 6, "abcd…"),
        ("abc👩\u200d👩\u200d👧x", 6, "abc…"),
        ("e" + "\u0301" * 20, 6, "e\u0301\u0301\u0301\u0301…"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
    ],
)
def test_a_line_is_cut_at_a_whole_character(text: str, limit: int, line: str) -> None:
    assert clean_line(text, limit) == line


@given(st.text() | st.text(NASTY), st.integers(0, 30))
@settings(deadline=None, print_blob=True, max_examples=300)
def test_nothing_a_terminal_obeys_is_left(text: str, limit: int) -> None:
    for shown, kept in ((clean_line(text), ""), (clean_text(text), "\n\t"), (clean_line(text, limit), "")):
        for character in shown:
            assert character in kept or unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
            assert unicodedata.bidirectional(character) not in ("RLE", "LRE", "RLO", "LRO", "PDF", "RLI", "LRI", "PDI")
    assert len(clean_line(text, limit)) <= limit
    assert clean_line(clean_line(text)) == clean_line(text)
    assert clean_text(clean_text(text)) == clean_text(text)


@given(st.text(st.characters(categories=["L", "N", "P"])))
@settings(deadline=None, print_blob=True)
def test_ordinary_words_are_left_alone(text: str) -> None:
    assert clean_line(text) == text == clean_text(text)


@pytest.mark.parametrize(
    "piece", ["\x1b[", "\x1b[0", "\x1b]", "\x1b[0;", "\x9d", "\x1b[ ", "\x1b ", "e\u0301", "\u0301"]
)
def test_a_long_text_is_cleaned_at_once(piece: str) -> None:
    started = time.thread_time()
    clean_line(piece * 100_000 + "0" * 100_000, 72)
    assert time.thread_time() - started < 2


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\ufe00\ufe01\ufe02b", "a\ufe00b"),
        ("a\U000e0100\U000e01efb", "ab"),
        ("\u2764\ufe0f ok", "\u2764\ufe0f ok"),
    ],
)
def test_variation_selectors_carry_no_hidden_words(text: str, line: str) -> None:
    assert clean_line(text) == line
    assert clean_text(text) == line


def test_of_many_names_a_few_are_shown_each_on_the_same_line() -> None:
    assert several([]) == ""
    assert several(["a\nb", "c"]) == "a b, c"
    assert several(str(number) for number in range(7)) == "0, 1, 2, 3, 4 and 2 more"
