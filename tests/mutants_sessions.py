"""Faults planted into telling who calls; the check named with each must catch it."""

# ruff: noqa: ARG005 - a stand-in is given what the real one is given
from collections.abc import Callable, Mapping

import pytest

from coord.faces.mcp.facts import Facts
from coord.service.coord import Coord
from coord.service.session import sessions, speaking
from coord.service.session.speaking import Origin
from coord.stores import oslock

Plant = Callable[[pytest.MonkeyPatch], None]
_ORDER = "test_the_session_that_is_named_comes_first_then_the_one_it_was_started_by"


def _asked(changed: Callable[[Origin], Origin]) -> Plant:
    real = speaking.agent
    return lambda patch: patch.setattr(speaking, "agent", lambda coord, origin: real(coord, changed(origin)))


def _anybody(patch: pytest.MonkeyPatch) -> None:
    real = speaking.agent

    def agent(coord: Coord, origin: Origin) -> str:
        named = (one.agent for one in sessions.going_on(coord) if one.id in origin.sessions)
        return real(coord, origin) or next(named, "")

    patch.setattr(speaking, "agent", agent)


_OVER = "test_a_session_that_is_over_or_somebody_elses_tells_nothing"
ALL: Mapping[str, tuple[Plant, str]] = {
    "nobody is anybody": (lambda patch: patch.setattr(speaking, "agent", lambda coord, origin: ""), _ORDER),
    "the one named by its client is not heard": (_asked(lambda origin: Origin((), origin.above)), _ORDER),
    "the one it was started by is not heard": (_asked(lambda origin: Origin(origin.sessions, ())), _ORDER),
    "a stranger speaks": (_anybody, _OVER),
    "the oldest is heard": (
        lambda patch: patch.setattr(sessions, "going_on", lambda coord, real=sessions.going_on: real(coord)[::-1]),
        _ORDER,
    ),
    "any file will do": (lambda patch: patch.setattr(sessions, "_is_private", lambda path: True), _OVER),
    "the dead speak": (lambda patch: patch.setattr(oslock, "is_alive", lambda process: True), _OVER),
    "what a request says is not heard": (
        lambda patch: patch.setattr(Facts, "told", lambda self, meta: self.caller),
        "test_one_server_has_several_sessions",
    ),
}
