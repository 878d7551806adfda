"""Text or JSON to typed arguments; types to JSON schema."""

import dataclasses
import difflib
import types
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from coord.model import times
from coord.model.errors import Usage
from coord.service.command import Param

_MOST = 10**18  # beyond are numbers that databases and operating systems cannot take


def parse(param: Param, text: str) -> object:
    """Turn one piece of text into what PARAM takes.

    Raises:
        Usage: the text is no such thing; names the parameter.
    """
    if param.kind == "choice":
        return _choice(param, text)
    reader = _READERS[param.kind]
    try:
        return reader(text)
    except ValueError:
        raise Usage(f"{spelled(param)}: {text!r} is no {param.kind}") from None
    except Usage as fault:
        raise Usage(f"{spelled(param)}: {fault.message}", hint=fault.hint) from None


def option(param: Param) -> str:
    """Return how a parameter is spelled on a command line, without dashes."""
    return param.name.rstrip("_").replace("_", "-")


def spelled(param: Param) -> str:
    """Return what a message calls a parameter: a word by its name in the usage line, an option with its dashes."""
    return param.name.rstrip("_").upper() if param.positional else f"--{option(param)}"


def _choice(param: Param, text: str) -> str:
    lowered = text.strip().lower()
    if lowered not in param.choices:
        close = difflib.get_close_matches(lowered, param.choices, n=1)
        hint = f"did you mean {close[0]}?" if close else ""
        raise Usage(f"{spelled(param)}: {text!r} is none of {', '.join(param.choices)}", hint=hint)
    return lowered


def _integer(text: str) -> int:
    value = int(text)
    if abs(value) > _MOST:
        raise ValueError(text)
    return value


_READERS: Mapping[str, Callable[[str], object]] = {
    "text": str,
    "prose": str,
    "integer": _integer,
    "number": float,
    "duration": times.parse_duration,
    "time": times.parse_time,
}


def schema(hint: Any) -> dict[str, Any]:
    """Return the JSON schema of what a command of this return type prints with `--json`."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    hint = getattr(hint, "__supertype__", hint)
    for known, made in _PLAIN.items():
        if hint is known:
            return dict(made)
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"enum": list(inner)}
    if origin is tuple:
        return {"type": "array", "items": schema(inner[0])}
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema(part) for part in inner]}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _object(hint)
    return {"type": "object"}


_PLAIN: Mapping[Any, Mapping[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    Path: {"type": "string"},
    datetime: {"type": "string", "format": "date-time"},
    timedelta: {"type": "number", "description": "seconds"},
}


def _object(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    named = {
        ("from" if field.name == "sender" else field.name): schema(hints[field.name])
        for field in dataclasses.fields(kind)
    }
    return {"type": "object", "title": kind.__name__, "properties": named}
