"""Values, whose fields say all of them: frozen, equal where those are, hashed by them and shown with them.

A frozen dataclass is that by itself, but has six functions compiled for each class, and sixty classes were a third of
what a hook or a short command took. Here the six are written once; all the rest is a dataclass's own.
"""

from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from typing import Any, NoReturn, TypeVar, dataclass_transform, overload

_T = TypeVar("_T")


@overload
def frozen(cls: type[_T], /) -> type[_T]: ...
@overload
def frozen(*, kw_only: bool = False, eq: bool = True) -> Callable[[type[_T]], type[_T]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type | None = None, /, *, kw_only: bool = False, eq: bool = True) -> Any:
    """Make of CLS what `@dataclass(frozen=True, slots=True)` makes of it, in a sixth of the time.

    Fields are given as ever, with `dataclasses.field` where they need more than a default; there is no `__post_init__`.
    """
    return _made(cls, kw_only, eq) if cls else lambda cls: _made(cls, kw_only, eq)


def _made(cls: type, kw_only: bool, eq: bool) -> Any:
    cls.__doc__ = cls.__doc__ or cls.__name__  # else a dataclass has `inspect` write one, which is long to load
    for name, function in (_FUNCTIONS | _COMPARISON if eq else _FUNCTIONS).items():
        setattr(cls, name, function)
    made: Any = dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)(cls)
    listed = fields(made)
    made.__setters__ = {one.name: getattr(made, one.name).__set__ for one in listed}
    made.__defaults__ = {one.name: one.default for one in listed if one.default is not MISSING}
    made.__factories__ = {one.name: one.default_factory for one in listed if one.default_factory is not MISSING}
    made.__compared__ = attrgetter("__class__", *(one.name for one in listed if one.compare))
    return made


def _init(self: Any, /, *given: object, **named: object) -> None:
    values = self.__defaults__ | named
    if given:
        values |= _placed(self, given, named)
    for name, make in self.__factories__.items():
        if name not in values:
            values[name] = make()
    try:
        for name, put in self.__setters__.items():
            put(self, values[name])
    except KeyError:
        raise TypeError(f"{type(self).__name__}() lacks the argument {name!r}") from None
    if len(values) > len(self.__setters__):
        (unknown, *_) = values.keys() - self.__setters__.keys()
        raise TypeError(f"{type(self).__name__}() takes no argument {unknown!r}")


def _placed(self: Any, given: tuple[object, ...], named: dict[str, object]) -> dict[str, object]:
    places = self.__match_args__
    if len(given) > len(places):
        raise TypeError(f"{type(self).__name__}() takes {len(places)} arguments by place, and was given {len(given)}")
    values = dict(zip(places, given, strict=False))
    for twice in values.keys() & named.keys():
        raise TypeError(f"{type(self).__name__}() was given {twice!r} twice")
    return values


def _setattr(_self: object, name: str, _value: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(_self: object, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _repr(self: Any) -> str:
    shown = ", ".join(f"{one.name}={getattr(self, one.name)!r}" for one in fields(self) if one.repr)
    return f"{type(self).__qualname__}({shown})"


def _eq(self: Any, other: Any) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    return self.__compared__(self) == self.__compared__(other)


def _hash(self: Any) -> int:
    return hash(self.__compared__(self))


def _getstate(self: Any) -> list[object]:
    return [getattr(self, name) for name in self.__setters__]


def _setstate(self: Any, state: list[object]) -> None:
    for put, value in zip(self.__setters__.values(), state, strict=True):
        put(self, value)


_FUNCTIONS = {
    "__init__": _init,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
    "__repr__": _repr,
    "__getstate__": _getstate,
    "__setstate__": _setstate,
}
_COMPARISON = {"__eq__": _eq, "__hash__": _hash}
