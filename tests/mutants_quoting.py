"""Faults planted into quoting; each must be caught by a check of what pages show."""

from collections.abc import Callable, Mapping

import pytest
import rich.console
import rich.text

from coord.faces import page
from coord.faces.page import Style
from coord.model import quoting

Plant = Callable[[pytest.MonkeyPatch], None]


def _draw_unmarked(line: str, style: Style, console: rich.console.Console) -> None:
    console.print(rich.text.Text(line, style=style))


def _quoting(name: str, fault: Callable[..., object]) -> Plant:
    return lambda patch: patch.setattr(quoting, name, fault)


ALL: Mapping[str, Plant] = {
    "no marks": _quoting("lines", lambda text: text.split("\n")),
    "only the first line is marked": _quoting("lines", lambda text: iter([f"> {text}"])),
    "text is not cleaned": _quoting("lines", lambda text: (f"> {line}" for line in text.split("\n"))),
    "empty lines are not marked": _quoting(
        "lines", lambda text: (f"> {line}" if line else "" for line in text.split("\n"))
    ),
    "no mark in a cell": _quoting("one_line", lambda text, limit=None: text[:limit]),
    "the sender's own words": _quoting("origin", lambda sender, by_hand=False: f"{sender}{by_hand}"),
    "any address": _quoting("address", lambda text: text),
    "broken lines are not marked": lambda patch: patch.setattr(page, "_draw_line", _draw_unmarked),
}
