"""Faults planted into the look for credentials; each must be caught by a check."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from coord.model import keys, secrets
from coord.model.records import Event
from coord.model.secrets import Found, Rule
from coord.service import screen
from coord.service.byhand import adopt
from coord.service.coord import Coord
from coord.service.screen import Screen

Plant = Callable[[pytest.MonkeyPatch], None]


def _without(rule: Rule) -> Plant:
    return lambda patch: _rules(patch, tuple(one for one in secrets.RULES if one is not rule))


def _misspelt(rule: Rule) -> Plant:
    wrong = replace(rule, hints=tuple(hint.swapcase() if hint.swapcase() != hint else "§" for hint in rule.hints))
    return lambda patch: _rules(patch, tuple(wrong if one is rule else one for one in secrets.RULES))


def _rules(patch: pytest.MonkeyPatch, rules: tuple[Rule, ...]) -> None:
    patch.setattr(secrets, "RULES", rules)
    patch.setattr(secrets, "_trigger", secrets._trigger.__wrapped__)


def _tells_all(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Found, "shown", property(lambda self: self.text))


MODEL: Mapping[str, Plant] = {
    **{f"without {rule.name}": _without(rule) for rule in secrets.RULES},
    **{f"{rule.name} misspelt": _misspelt(rule) for rule in secrets.RULES},
    "nothing is suspicious": lambda patch: patch.setattr(secrets, "suspicious", lambda _: False),
    "nothing stands in": lambda patch: patch.setattr(secrets, "_stands_in", lambda *_: False),
    "all stands in": lambda patch: patch.setattr(secrets, "_stands_in", lambda *_: True),
    "any password does": lambda patch: patch.setattr(secrets, "_STAND_INS", frozenset()),
    "any variable does": lambda patch: patch.setattr(secrets, "_STANDS_IN", re.compile("(?!)")),
    "any host does": lambda patch: patch.setattr(secrets, "_NOWHERE", re.compile("(?!)")),
    "any tail does": lambda patch: patch.setattr(secrets, "_FEWEST", 0),
    "tells all": _tells_all,
    "redacts nothing": lambda patch: patch.setattr(secrets, "redacted", lambda text: text),
}


def _too_late(patch: pytest.MonkeyPatch) -> None:
    """Look at an event when it is recorded already."""
    record, passed = Coord.record, Screen.passed
    patch.setattr(Screen, "passed", lambda _, event, __: event)

    def late(self: Coord, event: Event) -> None:
        record(self, event)
        passed(self.screen, event, ())

    patch.setattr(Coord, "record", late)


def _changes_only(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(screen, "_bytes", lambda event: b"".join(change.data or b"" for change in event.changes))


SERVICE: Mapping[str, Plant] = {
    "passes all": lambda patch: patch.setattr(Screen, "passed", lambda _, event, __: event),
    "looks too late": _too_late,
    "looks at changes only": _changes_only,
    "takes all for known": lambda patch: patch.setattr(Screen, "_recorded", lambda *_: True),
    "tells all": _tells_all,
    "does not see UTF-16": lambda patch: patch.setattr(screen, "_plain", lambda data: data),
    "withholds as a record": lambda patch: patch.setattr(adopt, "WITHHELD", keys.DEAD),
    "redacts nothing": lambda patch: patch.setattr(secrets, "redacted", lambda text: text),
}
CAUGHT_BY = (
    ("passes all", "mail body"),
    ("passes all", "by hand: body"),
    ("passes all", "edited"),
    ("looks too late", "mail body"),
    ("looks too late", "by hand: unreadable"),
    ("looks at changes only", "lock break"),
    ("takes all for known", "mail body"),
    ("takes all for known", "edited"),
    ("tells all", "mail cause"),
    ("does not see UTF-16", "by hand: UTF-16"),
    ("withholds as a record", "by hand: body"),
    ("redacts nothing", "by hand: name"),
)
