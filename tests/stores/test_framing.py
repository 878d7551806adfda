"""Records in a file that anything may have been torn out of."""

from hypothesis import given, settings
from hypothesis import strategies as st

from coord.stores.framing import frame, unframe

FUZZ = settings(derandomize=False, deadline=None, print_blob=True, max_examples=300)
texts = st.text(st.characters(min_codepoint=32, max_codepoint=126))


def found(data: bytes, *, final: bool = True) -> list[str]:
    return [text for _, text in unframe(data, final=final).texts]


@FUZZ
@given(st.lists(texts))
def test_records_come_back_in_order_and_all_is_read(written: list[str]) -> None:
    data = b"".join(map(frame, written))
    framed = unframe(data, final=False)
    assert [text for _, text in framed.texts] == written
    assert (framed.end, framed.damaged) == (len(data), 0)


@FUZZ
@given(st.lists(texts, min_size=1), st.data())
def test_a_torn_record_costs_only_itself(written: list[str], data: st.DataObject) -> None:
    records = [frame(text) for text in written]
    torn = data.draw(st.integers(0, len(records) - 1))
    kept = data.draw(st.integers(0, len(records[torn]) - 2))  # one byte more, and it is whole
    records[torn] = records[torn][:kept]
    assert found(b"".join(records)) == written[:torn] + written[torn + 1 :]


@FUZZ
@given(st.lists(texts), st.binary(), st.lists(texts))
def test_garbage_in_the_middle_hides_no_record(before: list[str], garbage: bytes, after: list[str]) -> None:
    data = b"".join(map(frame, before)) + garbage + b"".join(map(frame, after))
    assert found(data) == before + after


@FUZZ
@given(st.lists(texts, min_size=1), st.data())
def test_read_in_pieces_each_record_is_found_once(written: list[str], data: st.DataObject) -> None:
    whole = b"".join(map(frame, written))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)))))
    position, got = 0, list[str]()
    for cut in (*cuts, len(whole)):
        framed = unframe(whole[position:cut], final=False)
        got += [text for _, text in framed.texts]
        position += framed.end
    assert got == written
    assert position == len(whole)


def test_each_offset_lies_behind_its_record() -> None:
    data = frame("one") + frame("two")
    assert [end for end, _ in unframe(data, final=False).texts] == [len(frame("one")), len(data)]


def test_a_last_line_that_may_still_grow_is_left_until_it_cannot() -> None:
    data = frame("one") + frame("two")[:-2]
    waiting = unframe(data, final=False)
    assert (waiting.end, waiting.damaged) == (len(frame("one")) + 1, 0)
    over = unframe(data, final=True)
    assert (over.end, over.damaged) == (len(data), 1)


def test_one_wrong_letter_is_noticed() -> None:
    data = frame("one").replace(b"one", b"onE")
    assert found(data) == []
    assert unframe(data, final=False).damaged == 1
