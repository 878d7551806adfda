"""Pauses between tries."""

from datetime import timedelta

from coord.model.backoff import pause


def test_a_pause_doubles_up_to_its_limit_however_often_it_failed() -> None:
    assert [pause(failures, 1.0, 60.0) for failures in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert pause(10_000, 1.0, 60.0) == 60
    assert pause(3, timedelta(seconds=1), timedelta(minutes=5)) == timedelta(seconds=4)
    assert pause(10_000, timedelta(seconds=1), timedelta(minutes=5)) == timedelta(minutes=5)
