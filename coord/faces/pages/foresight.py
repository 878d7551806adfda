"""Conflicts foreseen, for people: a matrix of who with whom, then each with its places."""

from functools import singledispatch

from coord.faces.page import Block, Line, Table
from coord.faces.pages.words import unknown
from coord.model.foresight import BASE
from coord.model.untrusted import clean_line
from coord.service.foresight import Forecast, Place

_SHOWN, _LINES = 8, 3

blocks = singledispatch(unknown)


@blocks.register
def _forecast(found: Forecast) -> list[Block]:
    if not found.works:
        return [Line(f"no agent has work that {found.base or 'the base'} lacks in a worktree")]
    base = found.base or "base"
    if not found.conflicts:
        return [Line(f"{len(found.works)} agents' work goes together, and with {base}", "green")]
    counts = {(one.first, one.second): len(one.paths) for one in found.conflicts}
    involved = {name for pair in counts for name in pair}
    names = [one.agent for one in found.works if one.agent in involved]
    columns = ("paths in conflict", base, *names[:-1])
    rows = tuple((name, *(_cell(counts, name, other) for other in (BASE, *names[:-1]))) for name in names)
    made: list[Block] = [Table(columns, rows)]
    if quiet := len(found.works) - len(names):
        made.append(Line(f"{quiet} more go together with all", "dim"))
    for one in found.conflicts:
        made += _place(one, base)
    return made


def _cell(counts: dict[tuple[str, str], int], name: str, other: str) -> str:
    if name == other:
        return ""
    found = counts.get((name, other)) or counts.get((other, name))
    return str(found) if found else "·"


def _place(one: Place, base: str) -> list[Block]:
    older = f"; {one.older}'s began earlier" if one.older else ""
    made: list[Block] = [Line(f"{one.first} and {one.second or base}{older}", "bold")]
    for path in one.paths[:_SHOWN]:
        lines = [f"line {hunk.line}" for hunk in one.hunks if hunk.path == path]
        more = ", …" if len(lines) > _LINES else ""
        where = f": {', '.join(lines[:_LINES])}{more}" if lines else ""
        made.append(Line(f"- {clean_line(path, 200)}{where}", "yellow"))
    if len(one.paths) > _SHOWN:
        made.append(Line(f"- … and {len(one.paths) - _SHOWN} more", "yellow"))
    return made
