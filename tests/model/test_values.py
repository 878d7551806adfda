import copy
import importlib
import pickle
import pkgutil
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, is_dataclass, replace
from types import ModuleType
from typing import Any

import pytest

import coord
from coord.model.records import Change, Message
from coord.model.values import frozen


@dataclass(frozen=True, slots=True)
class Plain:
    name: str
    size: float = 0.0
    parts: object = field(default_factory=list)
    secret: str = field(default="", repr=False)
    beside: object = field(default=None, compare=False)


@frozen
class Lean:
    name: str
    size: float = 0.0
    parts: object = field(default_factory=list)
    secret: str = field(default="", repr=False)
    beside: object = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainNamed:
    name: str
    size: float = 0.0


@frozen(kw_only=True)
class LeanNamed:
    name: str
    size: float = 0.0


@frozen(eq=False)
class Itself:
    name: str


NAN = float("nan")
Call = tuple[tuple[Any, ...], dict[str, Any]]
CALLS: list[Call] = [
    (("a",), {}),
    ((), {"name": "a"}),
    (("a", 0), {}),
    (("a",), {"size": 0}),
    (("a", NAN), {}),
    ((), {"name": "a", "size": float("nan")}),
    (("b",), {"parts": ("x", 1)}),
    (("b", 0.0, ["x"]), {}),
    (("b", 0.0, (), "s"), {}),
    (("b", 0.0, (), "s", "beside"), {}),
]


def test_it_is_as_a_dataclass_that_compiles_all_by_itself() -> None:
    for given, named in CALLS:
        lean: Any = Lean(*given, **named)
        plain: Any = Plain(*given, **named)
        assert repr(lean) == repr(plain).replace("Plain", "Lean")
        assert asdict(lean) == asdict(plain)
        for others, rest in CALLS:
            assert (lean == Lean(*others, **rest)) == (plain == Plain(*others, **rest))
            assert (lean != Lean(*others, **rest)) == (plain != Plain(*others, **rest))
        assert lean != plain
        assert repr(replace(lean, name="z")) == repr(replace(plain, name="z")).replace("Plain", "Lean")
    assert [(one.name, one.repr, one.compare) for one in fields(Lean)] == [
        (one.name, one.repr, one.compare) for one in fields(Plain)
    ]


def test_equal_values_are_one_in_a_set() -> None:
    values = {Lean("a", 1, ()), Lean("a", 1.0, (), beside="x"), Lean("a", 2, ()), LeanNamed(name="a", size=1)}
    assert len(values) == 3
    with pytest.raises(TypeError, match="unhashable type: 'list'"):
        hash(Lean("b"))


def test_what_is_to_be_itself_alone_is_equal_to_nothing_else() -> None:
    one = Itself("a")
    assert {one, Itself("a")} - {one}
    assert repr(one) == "Itself(name='a')"


def test_each_has_what_its_factory_makes() -> None:
    first, second = Lean("a"), Lean("a")
    assert first.parts == second.parts
    assert first.parts is not second.parts


def test_a_pattern_takes_its_fields_by_place() -> None:
    match Lean("a", 2.0):
        case Lean(name, size):
            assert (name, size) == ("a", 2.0)
    assert LeanNamed.__match_args__ == PlainNamed.__match_args__


@pytest.mark.parametrize(
    ("lean", "plain", "given", "named"),
    [
        (Lean, Plain, (), {}),
        (Lean, Plain, (), {"size": 1}),
        (Lean, Plain, ("a",), {"sise": 1}),
        (Lean, Plain, ("a",), {"name": "a"}),
        (Lean, Plain, ("a", 1, 2, 3, 4, 5), {}),
        (Lean, Plain, (), {"size": 1, "sise": 1}),
        (LeanNamed, PlainNamed, ("a",), {}),
    ],
)
def test_what_does_not_fit_its_fields_is_refused(
    lean: Callable[..., object], plain: Callable[..., object], given: tuple[object, ...], named: dict[str, object]
) -> None:
    with pytest.raises(TypeError):
        plain(*given, **named)
    with pytest.raises(TypeError, match="Lean"):
        lean(*given, **named)


def test_it_is_frozen_and_has_no_room_for_more() -> None:
    lean = Lean("a")
    with pytest.raises(FrozenInstanceError):
        lean.name = "b"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del lean.name
    with pytest.raises(FrozenInstanceError):
        lean.more = 1  # type: ignore[attr-defined]
    assert not hasattr(lean, "__dict__")


def test_it_is_copied_and_pickled() -> None:
    lean = Lean("a", parts=["x"])
    assert copy.copy(lean) == copy.deepcopy(lean) == pickle.loads(pickle.dumps(lean)) == lean
    assert copy.deepcopy(lean).parts is not lean.parts


def every_module() -> list[ModuleType]:
    names = [one.name for one in pkgutil.walk_packages(coord.__path__, "coord.")]
    return [importlib.import_module(name) for name in names if not name.endswith("__main__")]


def test_no_class_of_coord_is_a_frozen_dataclass_of_another_make() -> None:
    found = {one for module in every_module() for one in vars(module).values() if isinstance(one, type)}
    made: Any = [one for one in found if is_dataclass(one) and one.__module__.startswith("coord.")]
    assert {Message, Change} <= set(made)
    assert [one for one in made if one.__dataclass_params__.frozen] == []
