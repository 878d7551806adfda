"""What coord has in the files of coding assistants, for people."""

from collections.abc import Sequence
from functools import singledispatch

from coord.faces.page import Block, Line, Own, Table
from coord.faces.pages.words import unknown
from coord.service import agents

blocks = singledispatch(unknown)


@blocks.register
def _edits(result: agents.Edits) -> list[Block]:
    if not result.changes:
        return [Line("nothing to change", "green")]
    diffs: list[Block] = [Own(edit.diff) for edit in result.edits if edit.diff]
    end = Line("written", "green") if result.written else Line("only shown; `--write` writes it", "yellow")
    return [*diffs, *_notes(result.notes), end]


@blocks.register
def _parts(result: agents.Parts) -> list[Block]:
    rows = tuple((part.client, part.state, part.path) for part in result.parts)
    return [Table(("for", "coord", "file"), rows), *_notes(result.notes)]


def _notes(notes: Sequence[str]) -> list[Block]:
    return [Line(note, "dim") for note in notes]
