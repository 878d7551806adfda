"""Faults planted into a relay in its own process, which loads nothing else; the check named with each must catch it."""

# ruff: noqa: ARG005 - a stand-in is given what the real one is given
from collections.abc import Callable, Mapping
from typing import Any

from coord.thin import relay
from coord.thin.relay import Relay


def _put(owner: object, name: str, make: Callable[[Any], object]) -> None:
    setattr(owner, name, make(getattr(owner, name)))


# ---- what a relay says to the next server ----


def _everything_is_asked_again() -> None:
    _put(Relay, "_forget", lambda real: lambda self, number: None)


def _nothing_is_asked_again() -> None:
    def hasty(real: Any) -> object:
        def lose(self: Relay) -> None:
            self.waiting.clear()
            real(self)

        return lose

    _put(Relay, "_lose", hasty)


def _asked_again_is_not_said() -> None:
    _put(Relay, "_facts", lambda real: lambda self: [fact for fact in real(self) if not fact.startswith("AGAIN=")])


def _asked_before_the_greeting_counts() -> None:
    def counted(real: Any) -> object:
        def begin(self: Relay, other: Any) -> None:
            real(self, other)
            for number in self.waiting:
                self.asked[number] = self.asked.get(number, 0) + 1

        return begin

    _put(Relay, "_begin", counted)


def _each_meeting_has_a_name_of_its_own() -> None:
    def renamed(real: Any) -> object:
        def facts(self: Relay) -> Any:
            self.name += "x"
            return real(self)

        return facts

    _put(Relay, "_facts", renamed)


def _half_an_answer_is_shown() -> None:
    def shown(real: Any) -> object:
        def lose(self: Relay) -> None:
            self.to_client += b"".join(self.from_other)
            real(self)

        return lose

    _put(Relay, "_lose", shown)


def _the_handshake_is_forgotten() -> None:
    _put(Relay, "_keep", lambda real: lambda self, method, params, line: None)


def _what_was_taken_back_is_kept() -> None:
    _put(
        Relay,
        "_keep",
        lambda real: (
            lambda self, method, *rest: None if str(method).endswith("/cancelled") else real(self, method, *rest)
        ),
    )


def _answers_are_shown_twice() -> None:
    def unswallowed(real: Any) -> object:
        def begin(self: Relay, other: Any) -> None:
            real(self, other)
            self.swallowed.clear()

        return begin

    _put(Relay, "_begin", unswallowed)


def _never_given_up() -> None:
    _put(relay, "_TIMES", lambda real: 10**9)


ALL: Mapping[str, Callable[[], None]] = {
    "none": lambda: None,
    "everything is asked again": _everything_is_asked_again,
    "nothing is asked again": _nothing_is_asked_again,
    "asked again is not said": _asked_again_is_not_said,
    "asked before the greeting counts": _asked_before_the_greeting_counts,
    "each meeting has a name of its own": _each_meeting_has_a_name_of_its_own,
    "half an answer is shown": _half_an_answer_is_shown,
    "the handshake is forgotten": _the_handshake_is_forgotten,
    "what was taken back is kept": _what_was_taken_back_is_kept,
    "answers are shown twice": _answers_are_shown_twice,
    "never given up": _never_given_up,
}
_AGAIN = "test_what_was_not_answered_is_asked_again_and_the_rest_is_not"
CAUGHT_BY = [
    ("everything is asked again", _AGAIN),
    ("nothing is asked again", _AGAIN),
    ("asked again is not said", _AGAIN),
    ("each meeting has a name of its own", _AGAIN),
    ("half an answer is shown", _AGAIN),
    ("the handshake is forgotten", _AGAIN),
    ("asked before the greeting counts", "test_a_server_that_ends_before_its_greeting_was_asked_nothing"),
    ("what was taken back is kept", "test_what_was_taken_back_is_not_asked_again"),
    ("answers are shown twice", "test_a_subscription_is_made_again_and_its_answer_not_shown_twice"),
    ("never given up", "test_what_ends_the_server_each_time_is_given_up"),
]
