"""Faults planted into waking a session: by the monitor, and by what is typed into a pane; a check must catch each."""

# ruff: noqa: ARG005 - a stand-in is given what the real one is given
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from coord import tmux
from coord.faces.hooks import waiting
from coord.service.coord import Coord
from coord.service.session.sessions import Session
from coord.service.wake import calling, waiters
from coord.tmux import Pane

Plant = Callable[[pytest.MonkeyPatch], None]


def _without(*left_out: str) -> Plant:
    """Keep one call of tmux from being made."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        real = Pane._tmux

        def some(self: Pane, *words: str, given: str = "") -> str:
            return "" if all(word in words for word in left_out) else real(self, *words, given=given)

        patch.setattr(Pane, "_tmux", some)

    return plant


def _anybodys(patch: pytest.MonkeyPatch) -> None:
    real = Pane._is_ready

    def ready(self: Pane) -> bool:
        pid = self._tmux("display-message", "-p", "-t", self.id, "#{pane_pid}").strip()
        return bool(pid) and real(replace(self, pid=int(pid)))

    patch.setattr(Pane, "_is_ready", ready)


def _taken_to_be_there(patch: pytest.MonkeyPatch) -> None:
    real = calling._started

    def started(coord: Coord, session: Session) -> "subprocess.Popen[bytes]":
        process = real(coord, session)
        process.wait(60)
        return process

    patch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    patch.setattr(calling, "_started", started)


def _put(owner: Any, name: str, value: object) -> Plant:
    return lambda patch: patch.setattr(owner, name, value)


_QUESTION = "test_nothing_is_typed_into_a_question_or_a_half_typed_prompt"
PANE: Mapping[str, tuple[Plant, str]] = {
    "the pane may be anybody's": (_anybodys, "test_nothing_is_typed_where_the_pane_is_gone_or_another_s"),
    "Enter is not pressed": (_without("send-keys", "Enter"), "test_an_idle_prompt_gets_one_line"),
    "nothing is pasted": (_without("paste-buffer"), "test_an_idle_prompt_gets_one_line"),
    "copy mode is not left": (_without("send-keys", "cancel"), "test_copy_mode_is_left_first"),
    "a question is answered": (_put(tmux, "is_empty", lambda screen: True), _QUESTION),
    "tmux is taken to be there": (
        _taken_to_be_there,
        "test_where_there_is_no_tmux_that_is_said",
    ),
}
MONITOR: Mapping[str, Plant] = {
    "it does not yield to a waiter": _put(waiters, "is_waiting", lambda coord, session: False),
    "it yields to the dead": _put(waiters, "is_waiting", lambda coord, session: True),
    "it does not let a waiter come": _put(waiting, "_COMES_WITHIN", timedelta(days=-1)),
    "it wakes when it is new": _put(
        waiting,
        "_monitored",
        lambda hooked, coord, caller, what, real=waiting._monitored: real(hooked, coord, caller, "instead"),
    ),
}
