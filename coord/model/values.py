"""Values, whose fields say all of them: equal where those are, hashed by them and shown with them.

A frozen dataclass is that by itself, but has six functions compiled for each class, and some fifty classes are half of
what a short command loads. For classes that many starts load three of the six are written here, once.
"""

from typing import ClassVar


class ByValue:
    """What a frozen dataclass with slots inherits that says `eq=False, repr=False`; nothing inherits from that."""

    __slots__: ClassVar[tuple[str, ...]] = ()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ByValue) or other.__class__ is not self.__class__:
            return NotImplemented
        return _fields(self) == _fields(other)

    def __hash__(self) -> int:
        return hash(_fields(self))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__qualname__}({shown})"


def _fields(value: ByValue) -> tuple[object, ...]:
    return tuple([getattr(value, name) for name in value.__slots__])
