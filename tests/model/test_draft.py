import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.model.codec import Draft, draft_message
from coord.model.errors import BadRecord

FIXTURE = Path(__file__).parent.parent / "fixtures" / "formats" / "1" / "handwritten-message.md"


def draft(text: str) -> Draft:
    return draft_message(text.encode(), "inbox/frontend/x.md")


def test_what_a_hand_wrote_is_read_for_ever() -> None:
    assert draft_message(FIXTURE.read_bytes(), "x") == Draft(
        body="Lines as an editor elsewhere ends them.\r\n",
        sender="Backend",
        to=("@reviewers", "frontend"),
        subject='Re: [urgent] the "API"',
        sent_at=datetime(2026, 11, 22, 12, 3, tzinfo=UTC),
        priority="high",
        extra={"Mood": "hopeful"},
    )


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("Just a word", "Just a word"),
        ("\n\n  Hello there,\nmore\n", "Hello there,"),
        ("Hi all\n\n# The API changed #\n", "The API changed"),
        ("```sh\n# not this\n```\nbut this", "but this"),
        ("word " * 30, "word " * 14 + "w…"),
        ("", None),
        ("\n---\n\n", None),
        ("\x1b[31mred\x1b[0m", "red"),
        ("#hashtag first\nsecond", "hashtag first"),
    ],
)
def test_without_front_matter_all_is_body(text: str, subject: str | None) -> None:
    assert draft(text) == Draft(body=text, subject=subject)


@pytest.mark.parametrize(
    "text",
    [
        "---\n\nA rule, then prose.\n\n---\n\nmore\n",
        "---\nA rule and prose without a key\n---\n",
        "---\nWarning: a rule and prose\n",
        "--- a\nb: c\n---\n",
        "----\nto: a\n----\n",
        "x\n---\nto: a\n---\n",
        "---",
        " ---\nto: a\n---\n",
    ],
)
def test_a_rule_before_prose_is_body(text: str) -> None:
    assert draft(text).body == text
    assert draft(text).to == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("---\n---\nx", Draft(body="x")),
        ("\ufeff\n \n---  \nto: a\n---\nx", Draft(body="x", to=("a",))),
        ("---\nto: a\n---", Draft(body="", to=("a",))),
        ("---\nto: a\n---\n\nx\n---\ny", Draft(body="\nx\n---\ny", to=("a",))),
        ("---\n# only a comment\n---\nx", None),
        ("---\nMood: x\n---\ny", Draft(body="y", extra={"Mood": "x"})),
        ("---\nto:\nsubject: ~\n---\nx", Draft(body="x")),
        ('---\nsubject: ""\n---\nx', Draft(body="x", subject="")),
        ("---\nformat: 1\nid: mine\nto: a\n---\n", Draft(body="", id="mine", to=("a",))),
    ],
)
def test_front_matter_is_what_lies_between_two_rules(text: str, expected: Draft | None) -> None:
    assert draft(text) == (expected or Draft(body=text, subject="only a comment"))


@pytest.mark.parametrize(
    "line",
    [
        "to: a, @b",
        "TO: [a, @b]",
        "to: [a, '@b']",
        'to: a,"@b"',
        "to:\n  - a\n  - @b",
        "to:\n- a\n- '@b'",
        "Recipients: a , @b",
        'To: ["a", "@b"]  # both',
        "to: [a, @b]  # both",
    ],
)
def test_addresses_are_read_as_people_write_them(line: str) -> None:
    assert draft(f"---\n{line}\n---\n") == Draft(body="", to=("a", "@b"))


@pytest.mark.parametrize(
    "subject",
    [
        "Re: the API",
        "[urgent] look",
        '"This" is odd',
        "'tis the season",
        "`getChef` breaks",
        "@frontend: look",
        "100% done",
        "%s is not filled in",
        "a: b: c # not a comment",
        "[WIP stuff",
        "{x",
        "- dash: x",
        "? : !",
        "API changed",
        "C:\\temp",
        "Issue #12: fix",
        "don't: do that",
        "fix #12 and #13",
        "#12",
    ],
)
def test_a_subject_is_the_text_it_shows(subject: str) -> None:
    text = f"---\nfrom: a\nsubject: {subject}\nkind: task\n---\nx"
    expected = subject.partition(" # ")[0]
    assert draft(text) == Draft(body="x", sender="a", subject=expected, kind="task")


def test_a_comment_is_no_value() -> None:
    assert draft("---\nto: a # the api\nsubject: fix #1 # soon\nk: # empty #1\n---\n") == Draft(
        body="", to=("a",), subject="fix #1", extra={"k": ""}
    )


def test_a_block_of_text_is_left_alone() -> None:
    text = "---\nnotes: |\n  a: see #12: b\n  - @x\nsubject: Re: x\n---\n"
    assert draft(text) == Draft(body="", subject="Re: x", extra={"notes": "a: see #12: b\n- @x\n"})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("author: a", Draft(body="", sender="a")),
        ("In-Reply-To: x", Draft(body="", reply_to="x")),
        ("reply to: x", Draft(body="", reply_to="x")),
        ("Created At: 2026-11-22", Draft(body="", sent_at=datetime(2026, 11, 22, tzinfo=UTC))),
        ("expires: tomorrow", Draft(body="", extra={"expires": "tomorrow"})),
        ("type: bug", Draft(body="", extra={"type": "bug"})),
        ("type: Question", Draft(body="", kind="question")),
        ("subject: a\ntitle: b", Draft(body="", subject="a", extra={"title": "b"})),
        ("title: b\nsubject: a", Draft(body="", subject="a", extra={"title": "b"})),
        ("refs: path:a.js, commit:1a", Draft(body="", refs=("path:a.js", "commit:1a"))),
        ("ack: Wanted", Draft(body="", ack="wanted")),
    ],
)
def test_other_names_are_taken_where_they_fit(line: str, expected: Draft) -> None:
    assert draft(f"---\n{line}\n---\n") == expected


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("---\nto: a\nsubject: x\n", 1, "not closed"),
        ("\n\n---\nTitle: x\n", 3, "not closed"),
        ("---\nto: a\npriority: critical\n---\n", 3, "is none of low, normal, high, urgent"),
        ("---\nto: a\nTo: b\n---\n", 3, "`to` is given twice"),
        ("---\nto: a\nto: b\n---\n", 3, "'to' is given twice, first on line 2"),
        ("---\nsent_at: soon\n---\n", 2, "no time"),
        ("---\nformat: 9\n---\n", 2, "newer coord"),
        ("---\nsubject: *important\n---\n", 2, "alias"),
        ("---\nsubject: !important\n---\n", 2, "tag"),
        ("---\nsubject: {a: b}\n---\n", 2, "must be one value"),
        ("---\nkey :\n  - x\n y: z\n---\n", 4, "not YAML"),
        ("a\n\0", 2, "NUL"),
        ("x" * 262_145, 1, "262,145 bytes"),
        ("---\nto: a\n---\n" + "x" * 262_145, 1, "262,145 bytes"),
        ("---\nto: " + "a" * 65_600 + "\n---\n", 2, "larger than 65,536 bytes"),
        ("x" * 400_000, 1, "400,000 bytes are more than"),
    ],
)
def test_a_bad_draft_names_file_line_and_reason(text: str, line: int, reason: str) -> None:
    with pytest.raises(BadRecord) as caught:
        draft(text)
    assert caught.value.message.startswith(f"inbox/frontend/x.md, line {line}: ")
    assert reason in caught.value.message
    assert caught.value.hint
    assert set(caught.value.facts) == {"where", "line", "reason"}


def test_half_a_character_names_the_line() -> None:
    with pytest.raises(BadRecord, match="line 2: not UTF-8"):
        draft_message(b"a\n\xc3(", "x")


@pytest.mark.parametrize(
    "text",
    [
        "---\n" + "a: b: c\n" * 2_000 + "---\n",
        "---\n" + "".join(f"k{number}: a: b\n" for number in range(8_000))[:65_000] + "\n---\n",
        "---\nk: [" + " " * 16_000 + "# \n---\n",
        "---\nk: a: b" + " # " * 5_000 + "\n---\n",
        "---\nk" + " " * 60_000 + ":\n---\n",
        "\n" * 250_000 + "---",
        "\n \n" * 80_000,
        "#" * 250_000,
        "# " * 125_000,
        "---\n" * 60_000,
        " \t" * 120_000,
    ],
)
def test_a_hostile_file_is_answered_at_once(text: str) -> None:
    started = time.thread_time()
    try:
        draft(text)
    except BadRecord as error:
        assert error.hint
    assert time.thread_time() - started < 3


LINES = ["---\n", "---", "\r\n", "\n", "to: ", "@a, b", "[x", "From: ", '"', "'", "subject: ", "a: b: c", "- ", "  "]


@given(st.binary() | st.text().map(str.encode) | st.lists(st.sampled_from(LINES)).map("".join).map(str.encode))
@settings(deadline=None, print_blob=True, max_examples=500)
def test_any_bytes_are_a_draft_or_refused(data: bytes) -> None:
    try:
        found = draft_message(data, "x")
    except BadRecord as error:
        assert error.message.startswith("x, line ")
        assert error.hint
    else:
        assert data.endswith(found.body.encode())
