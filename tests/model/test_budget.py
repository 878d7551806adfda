"""Whatever the sections, what is assembled keeps within the budget and names what it left out."""

from hypothesis import given, settings
from hypothesis import strategies as st

from coord.model import budget
from coord.model.budget import Section

fast = settings(deadline=None, print_blob=True, derandomize=False, max_examples=100)
lines = st.lists(st.text(max_size=60) | st.text("aB7 é-", max_size=400), max_size=30).map(
    lambda found: "\n".join(line.replace("\n", " ") for line in found)
)
titles = st.text(st.characters(exclude_characters="\n"), max_size=60)
sections = st.lists(
    st.builds(Section, title=titles, text=lines, more=st.just("coord checkpoint show 01KAJ3X5ZC")),
    min_size=1,
    max_size=7,
)


@fast
@given(sections, st.integers(0, 3_000))
def test_never_exceeds_the_budget_and_the_first_always_survives(given_: list[Section], tokens: int) -> None:
    kept = budget.fit(given_, tokens)
    assert budget.estimate(budget.assemble(kept)) <= max(tokens, budget.LEAST)
    assert kept and (kept[0].title or not given_[0].title.strip())
    for section, whole in zip(kept, given_, strict=False):
        assert section.cut or section.title.endswith("…") or (section.title, section.text) == (whole.title, whole.text)


@fast
@given(sections)
def test_a_cut_section_is_a_beginning_of_the_whole(given_: list[Section]) -> None:
    for section, whole in zip(budget.fit(given_, 300), given_, strict=False):
        assert whole.text.startswith(section.text.removesuffix("…").rstrip("\n"))


@fast
@given(sections)
def test_what_fits_is_left_alone(given_: list[Section]) -> None:
    tokens = budget.estimate(budget.assemble(given_))
    assert budget.fit(given_, 10 * tokens + 1_000) == tuple(given_)


@fast
@given(lines, lines)
def test_the_estimate_adds_up_at_line_breaks(one: str, two: str) -> None:
    assert budget.estimate(f"{one}\n{two}") == budget.estimate(one) + 1 + budget.estimate(two)


@fast
@given(st.lists(st.text(max_size=40), max_size=8), st.integers(0, 60))
def test_a_line_cut_at_a_word_fits(words: list[str], limit: int) -> None:
    line = " ".join(words)
    assert budget.estimate(budget.cut_line(line, limit)) <= limit


def test_the_estimate_errs_towards_too_many() -> None:
    prose = "The gate failed twice because the fixture expects the old sheet name; rename it before the next merge."
    assert 20 <= budget.estimate(prose) <= 40
    assert budget.estimate("01KAJ3X5ZC9Q0V7T2D4M8N6P1R") >= 17
    assert budget.estimate("3f786850e387550fdab836ed7e6dc881de23001b") >= 22
    assert budget.estimate("日本語のテキスト") >= 8
    assert budget.estimate("👩‍👩‍👧‍👦") >= 8
    assert budget.estimate("if (a[0] != null) { return x.y(); }") >= 18
    assert budget.estimate("") == 0


def test_a_long_section_leaves_room_for_those_after_it() -> None:
    long = Section(
        "Summary", "\n".join(f"line number {number} of the summary" for number in range(500)), "coord checkpoint show"
    )
    short = Section("Unread mail (1)", "- urgent from frontend: the build is red", "coord mail list")
    kept = budget.fit([long, short], 400)
    assert kept[0].cut
    assert kept[0].text.startswith("line number 0 of the summary\nline number 1 ")
    assert not kept[1].cut
    assert kept[1] == short
    assert budget.estimate(budget.assemble(kept)) > 380, "what is left over goes to the first again"


def test_what_does_not_fit_is_named_by_its_title_and_the_command_that_shows_it() -> None:
    many = [Section(f"Part {number}", "word " * 200, f"coord part {number}") for number in range(5)]
    text = budget.assemble(budget.fit(many, 200))
    for number in range(5):
        assert f"## Part {number}\n" in text
        assert f"… the rest: coord part {number}\n" in text


def test_one_endless_line_is_cut_inside() -> None:
    kept = budget.fit([Section("Summary", "word " * 5_000, "coord checkpoint show")], 300)
    assert kept[0].text.startswith("word word ")
    assert kept[0].text.endswith("word…")
    assert kept[0].cut
