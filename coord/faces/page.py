"""What a person reads: a few kinds of block, written plainly into pipes and drawn on terminals.

All text is cleaned on its way out: nothing that an agent wrote can move the cursor,
change colours or reorder letters. What others wrote stands behind `>`, also where a
terminal is too narrow for a line of it.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Literal, TextIO

import rich
import rich.cells
import rich.console
import rich.table
import rich.text

from coord.model import quoting
from coord.model.untrusted import clean_line, clean_text
from coord.model.values import frozen

_LEAST, _GAP = 12, 2

Style = Literal["", "bold", "dim", "red", "green", "yellow", "cyan"]


@frozen
class Line:
    """One line; its text may be untrusted."""

    text: str
    style: Style = ""


@frozen
class Body:
    """Several lines as somebody wrote them, quoted so that they cannot pass for coord's own."""

    text: str
    style: Style = ""


@frozen
class Own:
    """Several lines of coord's own, in which others' words are quoted already."""

    text: str


@frozen
class Table:
    """Rows under headings; `styles` colour rows by position."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    styles: tuple[Style, ...] = ()


Block = Line | Body | Own | Table


def write(blocks: Sequence[Block], out: TextIO, environ: Mapping[str, str] = os.environ) -> None:
    """Write blocks to OUT, drawn where it is a terminal that by ENVIRON wants colour."""
    if out.isatty() and environ.get("TERM") != "dumb":
        draw(blocks, rich.console.Console(file=out, highlight=False, soft_wrap=False, _environ=environ))
    else:
        out.writelines(_plain(block) for block in blocks)


def draw(blocks: Sequence[Block], console: "rich.console.Console") -> None:
    """Draw blocks on a console, as `write` does on a terminal."""
    for block in blocks:
        match block:
            case Line(text, style):
                _draw_line(clean_line(text), style, console)
            case Body(text, style):
                for line in quoting.lines(text):
                    _draw_line(line, style, console)
            case Own(text):
                for line in clean_text(text).rstrip("\n").split("\n"):
                    _draw_line(line, "", console)
            case Table():
                console.print(_table(block, console.width))


def _draw_line(line: str, style: Style, console: "rich.console.Console") -> None:
    """Draw one line on as many as it takes: those of a quotation are all marked, others indented from the second on."""
    quotation = line.startswith(quoting.MARK)
    mark = f"{quoting.MARK} " if quotation else ""
    rest = mark or "  "
    drawn = rich.text.Text(quoting.unquoted(line) if quotation else line, style=style)
    pieces = drawn.wrap(console, max(console.width - len(rest), _LEAST))
    for number, piece in enumerate(pieces or [drawn]):
        console.print(
            rich.text.Text.assemble((rest if number else mark, "dim"), piece), no_wrap=True, overflow="ignore"
        )


def _table(table: Table, width: int) -> "rich.table.Table":
    """Draw a table in which only the widest column gives way on a narrow terminal: ids and times stay whole."""
    cells = [[clean_line(cell) for cell in row] for row in table.rows]
    widths = [max(map(rich.cells.cell_len, column)) for column in zip(table.columns, *cells, strict=True)]
    excess = sum(widths) + _GAP * (len(widths) - 1) - width
    widest = widths.index(max(widths))
    widths[widest] = min(widths[widest], max(_LEAST, widths[widest] - excess))
    drawn = rich.table.Table(box=None, pad_edge=False, header_style="dim", show_header=any(table.columns))
    for column, wide in zip(table.columns, widths, strict=True):
        drawn.add_column(column, overflow="ellipsis", no_wrap=True, min_width=wide, max_width=wide)
    for number, row in enumerate(cells):
        style = table.styles[number] if number < len(table.styles) else ""
        drawn.add_row(*(rich.text.Text(cell, style=style) for cell in row))
    return drawn


def _plain(block: Block) -> str:
    match block:
        case Line(text, _):
            return f"{clean_line(text)}\n"
        case Body(text, _):
            return f"{quoting.quoted(text)}\n"
        case Own(text):
            return clean_text(text).rstrip("\n") + "\n"
        case Table(columns, rows, _):
            lines = [columns, *rows] if any(columns) else list(rows)
            cells = [[clean_line(cell) for cell in line] for line in lines]
            widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
            return "".join(
                "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n"
                for line in cells
            )
