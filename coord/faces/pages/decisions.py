"""Decisions for people."""

from functools import singledispatch

from coord.faces.page import Block, Body, Line, Style, Table
from coord.faces.pages.words import now, short, unknown
from coord.model import times
from coord.service import decisions

blocks = singledispatch(unknown)


@blocks.register
def _decisions(result: decisions.Decisions) -> list[Block]:
    if not result.items:
        return [Line("no decisions; `coord decision record` notes one")]
    rows: list[tuple[str, ...]] = []
    styles: list[Style] = []
    for ruling in result.items:
        one = ruling.decision
        state = "superseded" if ruling.superseded_by else one.outcome or "open"
        rows.append((short(one.id), times.ago(one.decided_at, now()), one.made_by, one.about, one.choice, state))
        styles.append("dim" if ruling.superseded_by else "")
    return [Table(("id", "age", "by", "about", "choice", "outcome"), tuple(rows), tuple(styles))]


@blocks.register
def _ruling(result: decisions.Ruling) -> list[Block]:
    one = result.decision
    made: list[Block] = [Line(f"{one.about}: {one.choice}", "bold")]
    sure = f", confidence {one.confidence}" if one.confidence is not None else ""
    made.append(Line(f"{one.id}  by {one.made_by}{sure}", "dim"))
    made += [Body(one.body)] if one.body.strip() else []
    return [*made, Line(f"outcome: {one.outcome}", "green")] if one.outcome else made
