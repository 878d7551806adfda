"""Figures for people."""

from functools import singledispatch

from coord.faces.page import Block, Line, Style, Table
from coord.faces.pages.words import unknown
from coord.service.measuring import bench, benchrows

COLUMNS = ("what", "measured", "floor", "ratio", "to reach", "reached")

blocks = singledispatch(unknown)


@blocks.register
def _bench(result: bench.Bench) -> list[Block]:
    styles: tuple[Style, ...] = tuple("yellow" if row.met is False else "" for row in result.rows)
    return [
        Line(f"{result.machine}; in {result.folder}", "dim"),
        Table(COLUMNS, tuple(map(cells, result.rows)), styles),
        Line("median / 99th percentile; the floor is the same durable files without coord, in the same run", "dim"),
    ]


def cells(row: benchrows.Row) -> tuple[str, ...]:
    """Return a figure as a person reads it, under COLUMNS."""
    ratio = f"{row.ratio:.2f}" if row.ratio is not None else ""
    reached = {None: "", True: "yes", False: "no"}[row.met]
    measured = f"{_pair(row.value, row.p99)} {row.unit}".strip() if row.value is not None else ""
    shown = f"{measured}; {row.note}" if measured and row.note else measured or row.note
    return row.what, shown, _pair(row.floor, row.floor_p99), ratio, row.mark, reached


def _pair(value: float | None, p99: float | None) -> str:
    return " / ".join(_number(one) for one in (value, p99) if one is not None)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
