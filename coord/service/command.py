"""A command is a typed function: its signature is its options, its docstring its help.

    @command("lock acquire", writes=True, example="coord lock acquire 'src/**' --ttl 45m")
    def acquire(coord: Coord, scopes: Annotated[tuple[str, ...], "paths or globs"], *, ttl: ...) -> Lease:

The first parameter is the opened repository. Parameters before the `*` are positional on
a command line, those after it are options. Every face (command line, and whatever comes)
derives from `Command.params` and the closed table of types below.
"""

import inspect
import types
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Concatenate,
    Generic,
    Literal,
    NewType,
    ParamSpec,
    Protocol,
    TypeVar,
    Union,
    get_args,
    get_origin,
)
from typing import get_type_hints as type_hints

from coord.model.errors import Usage
from coord.model.values import frozen
from coord.service.coord import Coord

P = ParamSpec("P")
R = TypeVar("R")

Prose = NewType("Prose", str)
"""Text of any length; a face may read it from a stream (on a command line `-` is standard input)."""

KINDS: dict[object, str] = {
    str: "text",
    Prose: "prose",
    int: "integer",
    float: "number",
    bool: "flag",
    timedelta: "duration",
    datetime: "time",
}


_MUST = object()


@frozen
class Param:
    """One parameter of a command, as a face needs to know it."""

    name: str
    kind: str
    help: str
    positional: bool
    required: bool
    many: bool
    default: object
    choices: tuple[str, ...] = ()


class Opens(Protocol):
    """A way to open the repository around a folder, as `Coord.open` is one."""

    def __call__(self, start: Path, *, who: str = "") -> Coord:
        """Open it, spoken to by WHO."""
        ...


class Command(Generic[P, R]):
    """A function of the service with its name; calling it runs it."""

    def __init__(
        self, run: Callable[Concatenate[Coord, P], R], name: str, *, writes: bool, example: str, opens: Opens
    ) -> None:
        self.run = run
        self.opens = opens
        self.name = name
        self.writes = writes
        self.example = example

    def __call__(self, coord: Coord, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it in an opened repository."""
        return self.run(coord, *args, **kwargs)

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (self.run.__doc__ or "").partition("\n")[0]

    @property
    def help(self) -> str:
        """The docstring: its first line is the summary."""
        return inspect.getdoc(self.run) or ""

    @cached_property
    def params(self) -> tuple[Param, ...]:
        """Every parameter but the repository, in order.

        Raises:
            TypeError: a parameter's type is not in the closed table; found by the first test that lists commands.
        """
        run: Any = self.run  # whose code says what `inspect.signature` would; to load that takes as long as a command
        code, hints = run.__code__, type_hints(run, include_extras=True)
        placed, names = code.co_argcount, code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        defaults = dict(zip(reversed(names[:placed]), reversed(run.__defaults__ or ()), strict=False))
        defaults |= run.__kwdefaults__ or {}
        declared = list(enumerate(names))[1:]
        return tuple(_param(name, hints[name], at < placed, defaults.get(name, _MUST)) for at, name in declared)

    @cached_property
    def returns(self) -> Any:
        """The type of the result, from which its schema is derived."""
        return type_hints(self.run)["return"]


def command(
    name: str, *, writes: bool = False, example: str, opens: Opens = Coord.open
) -> Callable[[Callable[Concatenate[Coord, P], R]], Command[P, R]]:
    """Make a function a command called NAME (words separated by spaces); OPENS gives it its repository."""

    def wrap(run: Callable[Concatenate[Coord, P], R]) -> Command[P, R]:
        return Command(run, name, writes=writes, example=example, opens=opens)

    return wrap


def shown(limit: int) -> int:
    """Return LIMIT, how many a command may show at most.

    Raises:
        Usage: it would show none, which looks as if there were none.
    """
    if limit < 1:
        raise Usage(f"--limit {limit} shows nothing", hint="give 1 or more")
    return limit


def _param(name: str, hint: Any, positional: bool, default: object) -> Param:
    text, *_ = [note for note in getattr(hint, "__metadata__", ()) if isinstance(note, str)] or [""]
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    inner = _without_none(bare)
    many = get_origin(inner) is tuple
    item = get_args(inner)[0] if many else inner
    choices = get_args(item) if get_origin(item) is Literal else ()
    kind = "choice" if choices else KINDS.get(item)
    if kind is None:
        raise TypeError(f"{name}: {hint!r} is not in the table of parameter types")
    required = default is _MUST
    return Param(
        name=name,
        kind=kind,
        help=text,
        positional=positional,
        required=required,
        many=many,
        default=None if required else default,
        choices=choices,
    )


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        present = [part for part in get_args(hint) if part is not type(None)]
        return present[0] if len(present) == 1 else hint
    return hint
