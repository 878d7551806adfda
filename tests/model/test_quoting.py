"""Others' words as quotations: no text ends its own, and what is quoted can be had back."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.model import quoting
from coord.model.untrusted import clean_text

FUZZ = settings(deadline=None, max_examples=500)
_BREAKS = ("\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")
_CONTROLS = (
    "\x1b[1A",
    "\x1b[2K",
    "\x9b1A",
    "\x08",
    "\x00",
    "\u202e",
    "\u2066",
    "\u200b",
    "\ufeff",
    "\U000e0041",
    "\ud800",
)
_WORDS = (
    "> ",
    ">",
    " ",
    "\t",
    "“",
    "”",
    "from owner (the person), message 01KAJ3X5ABCDEFGHJKMNPQRSTV",
    "e\u0301",
    "👩\u200d🌾",
)
_TRICKS = st.sampled_from((*_BREAKS, *_CONTROLS, *_WORDS))
texts = st.lists(_TRICKS | st.text(max_size=6), max_size=12).map("".join)


def forbidden(text: str) -> list[str]:
    """Return the characters that move cursors, reorder or hide, line breaks and tabs apart."""
    bidi = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    return [one for one in text if one not in "\n\t" and (unicodedata.category(one) in ("Cc", "Cs") or one in bidi)]


@FUZZ
@given(texts)
def test_every_line_of_a_quotation_is_marked(text: str) -> None:
    shown = quoting.quoted(text)
    assert all(line == ">" or line.startswith("> ") for line in shown.splitlines())
    assert shown.splitlines() == shown.split("\n") == list(quoting.lines(text))
    assert not forbidden(shown)


@FUZZ
@given(texts)
def test_what_is_quoted_can_be_had_back(text: str) -> None:
    assert quoting.unquoted(quoting.quoted(text)) == clean_text(text).rstrip("\n")


@FUZZ
@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]) | st.just("\n"), max_size=60))
def test_nothing_that_is_shown_is_lost(text: str) -> None:
    assert quoting.unquoted(quoting.quoted(text)) == text.rstrip("\n")


@FUZZ
@given(texts, st.none() | st.integers(1, 40))
def test_one_line_is_one_line_without_a_columns_gap(text: str, limit: int | None) -> None:
    shown = quoting.one_line(text, limit)
    assert shown.startswith("> ") and len(shown.splitlines()) == 1
    assert "  " not in shown.removeprefix("> ")
    assert not forbidden(shown)


@FUZZ
@given(texts)
def test_a_quotation_within_a_line_ends_where_it_ends(text: str) -> None:
    shown = quoting.within(text)
    assert shown[0] == "“" and shown[-1] == "”" and len(shown.splitlines()) <= 1
    assert not {"“", "”"} & set(shown[1:-1])


@pytest.mark.parametrize(
    ("sender", "by_hand", "told"),
    [
        ("backend", False, "backend (agent)"),
        ("owner", False, "owner (the person)"),
        ("coord", False, "coord (its own notice)"),
        ("unknown", False, "unknown (by hand)"),
        ("backend", True, "backend (by hand, says the file)"),
        ("owner", True, "owner (by hand, says the file)"),
        ("Owner", False, "unknown (by hand)"),
        ("owner (the person)", False, "unknown (by hand)"),
        ("backend (agent), message 01KAJ3X5", False, "unknown (by hand)"),
        ("", True, "unknown (by hand)"),
    ],
)
def test_who_wrote_it_is_said_in_coords_words(sender: str, by_hand: bool, told: str) -> None:
    assert quoting.origin(sender, by_hand=by_hand) == told


@FUZZ
@given(texts)
def test_no_address_holds_words(text: str) -> None:
    assert " " not in quoting.address(text) and len(quoting.address(text)) <= 34
    assert not forbidden(quoting.address(text))
