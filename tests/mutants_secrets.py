"""Faults planted into the look for credentials; each must be caught by a check."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from coord.model import secrets
from coord.model.secrets import Found, Rule

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
