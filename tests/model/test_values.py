import importlib
import pkgutil
from dataclasses import FrozenInstanceError, dataclass, fields, is_dataclass, replace
from types import ModuleType
from typing import Any

import pytest

import coord
from coord.model.records import Change, Message
from coord.model.values import ByValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    name: str
    size: float = 0.0
    parts: object = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Lean(ByValue):
    name: str
    size: float = 0.0
    parts: object = ()


GIVEN: list[dict[str, Any]] = [
    {"name": "a"},
    {"name": "a", "size": 0},
    {"name": "a", "size": float("nan")},
    {"name": "b", "parts": ("x", 1)},
    {"name": "b", "parts": ["x"]},
]


def test_it_is_as_a_dataclass_that_compiles_all_by_itself() -> None:
    nan = float("nan")
    for left in [*GIVEN, {"name": "c", "size": nan}]:
        lean, plain = Lean(**left), Plain(**left)
        assert repr(lean) == repr(plain).replace("Plain", "Lean")
        for right in [*GIVEN, {"name": "c", "size": nan}]:
            assert (lean == Lean(**right)) == (plain == Plain(**right))
            assert (lean != Lean(**right)) == (plain != Plain(**right))
        if not isinstance(left.get("parts"), list):
            assert hash(lean) == hash(plain)
        assert lean != plain
        assert replace(lean, name="z") == Lean(**{**left, "name": "z"})


def test_a_field_that_cannot_be_hashed_is_named_as_ever() -> None:
    with pytest.raises(TypeError, match="unhashable type: 'list'"):
        hash(Lean(name="b", parts=["x"]))


def test_it_is_frozen_and_has_no_room_for_more() -> None:
    lean = Lean(name="a")
    with pytest.raises(FrozenInstanceError):
        lean.name = "b"  # type: ignore[misc]
    assert not hasattr(lean, "__dict__")


def every_module() -> list[ModuleType]:
    names = [one.name for one in pkgutil.walk_packages(coord.__path__, "coord.")]
    return [importlib.import_module(name) for name in names if not name.endswith("__main__")]


def test_whoever_compiles_no_comparison_inherits_it() -> None:
    found = {one for module in every_module() for one in vars(module).values() if isinstance(one, type)}
    lean = [one for one in found if is_dataclass(one) and _is_lean(one)]
    assert {Message, Change} <= set(lean)
    assert [one for one in lean if not issubclass(one, ByValue)] == []
    for one in lean:  # fields that it inherited would not count
        assert tuple(field.name for field in fields(one)) == vars(one)["__slots__"], one
    assert {one for one in found if issubclass(one, ByValue)} == {ByValue, *lean}


def _is_lean(one: type) -> bool:
    params = vars(one).get("__dataclass_params__")
    return params is not None and not params.eq and not params.repr
