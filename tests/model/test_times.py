from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.model.errors import Usage
from coord.model.times import LONGEST, ago, format_duration, format_time, parse_duration, parse_time

NOON = datetime(2026, 11, 22, 12, 3, 11, tzinfo=UTC)
MORE = NOON.replace(microsecond=204_000)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-22T12:03:11.204Z", MORE),
        ("2026-11-22t12:03:11,204z", MORE),
        ("2026-11-22T12:03:11", NOON),
        (" 2026-11-22  13:03:11 +01:00 ", NOON),
        ("2026-11-22 13:03:11+0100", NOON),
        ("2026-11-22T13:03:11+01", NOON),
        ("2026-11-22 12:03:11 UTC", NOON),
        ("2026-11-22 12:03", NOON.replace(second=0)),
        ("2026-11-22", NOON.replace(hour=0, minute=0, second=0)),
    ],
)
def test_a_moment_is_read_generously(text: str, moment: datetime) -> None:
    assert parse_time(text) == moment
    assert parse_time(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-13-01",
        "2026-02-30",
        "0001-01-01T00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "2026-11-22T25:00",
        "2026-11-22T12",
        "2026-11-22T12:00+99:00",
        "\u0662026-11-22",
        "20261122",
        "x" * 100,
    ],
)
def test_no_moment_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Usage) as caught:
        parse_time(text)
    assert "2026-11-22T12:03:11Z" in caught.value.hint
    assert len(caught.value.message) < 70


def test_a_moment_is_written_in_utc() -> None:
    assert format_time(MORE) == "2026-11-22T12:03:11.204Z"
    assert format_time(NOON) == "2026-11-22T12:03:11Z"
    assert format_time(NOON.astimezone(timezone(timedelta(hours=-5)))) == "2026-11-22T12:03:11Z"
    assert format_time(NOON.replace(microsecond=999)) == "2026-11-22T12:03:11Z"
    assert format_time(datetime(5, 1, 1, tzinfo=UTC)) == "0005-01-01T00:00:00Z"


@given(st.datetimes(timezones=st.just(UTC)))
@settings(deadline=None, print_blob=True)
def test_a_moment_survives_to_the_millisecond(moment: datetime) -> None:
    assert parse_time(format_time(moment)) == moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("30m", timedelta(minutes=30)),
        ("1h30m", timedelta(minutes=90)),
        (" 1H 30 Min ", timedelta(minutes=90)),
        ("90s", timedelta(seconds=90)),
        ("2d", timedelta(days=2)),
        ("1w", timedelta(weeks=1)),
        ("500ms", timedelta(milliseconds=500)),
        ("1.5h", timedelta(minutes=90)),
        ("2 days 3 hours", timedelta(hours=51)),
        ("0", timedelta(0)),
        ("0s", timedelta(0)),
    ],
)
def test_a_duration_is_read_generously(text: str, length: timedelta) -> None:
    assert parse_duration(text) == length


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no duration"),
        ("30", "needs a unit"),
        ("1.5", "needs a unit"),
        ("-30m", "negative"),
        ("-5", "negative"),
        ("30x", "is no duration"),
        ("m", "is no duration"),
        ("1h-30m", "is no duration"),
        ("1hm", "is no duration"),
        ("\u0663m", "is no duration"),
        ("101y", "is no duration"),
        ("5300w", "longer than a century"),
        ("999999999999w", "longer than a century"),
        ("60y " * 30, "is no duration"),
        ("99y", "is no duration"),
        ("9" * 5000, "needs a unit"),
        ("9" * 5000 + "s", "is no duration"),
        ("5000w 5000w", "longer than a century"),
    ],
)
def test_no_duration_is_refused(text: str, reason: str) -> None:
    with pytest.raises(Usage, match=reason) as caught:
        parse_duration(text)
    assert caught.value.hint
    assert len(caught.value.message) < 90


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(minutes=90), "1h 30m"),
        (timedelta(seconds=12), "12s"),
        (timedelta(days=2, seconds=5), "2d"),
        (timedelta(milliseconds=1500), "1s 500ms"),
        (timedelta(0), "0s"),
        (timedelta(microseconds=5), "0s"),
        (timedelta(minutes=-5), "-5m"),
        (timedelta(hours=1, minutes=30, seconds=59), "1h 30m"),
    ],
)
def test_a_duration_is_written_short(length: timedelta, text: str) -> None:
    assert format_duration(length) == text


@given(st.timedeltas(timedelta(0), LONGEST))
@settings(deadline=None, print_blob=True)
def test_a_written_duration_is_read_again(length: timedelta) -> None:
    shown = format_duration(length)
    assert format_duration(parse_duration(shown)) == shown
    assert parse_duration(shown) <= length


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(seconds=12.9), "12s"),
        (timedelta(minutes=5, seconds=59), "5m"),
        (timedelta(hours=3, minutes=2), "3h"),
        (timedelta(days=2, hours=5), "2d"),
        (timedelta(milliseconds=3), "0s"),
        (timedelta(seconds=-9), "0s"),
    ],
)
def test_ago_is_one_unit(length: timedelta, text: str) -> None:
    assert ago(NOON - length, NOON) == text


@given(st.text() | st.text("0123456789 -:.+TZhmsdw", max_size=30))
@settings(deadline=None, print_blob=True, max_examples=500)
def test_any_text_is_a_time_or_refused(text: str) -> None:
    for parse in (parse_time, parse_duration):
        try:
            parse(text)
        except Usage as error:
            assert error.hint
