"""Decisions for people."""

from functools import singledispatch

from coord.faces.page import Block, Body, Line, Style, Table
from coord.faces.pages.words import now, short, unknown
from coord.model import quoting, times
from coord.model.untrusted import clean_line
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
        state = "superseded" if ruling.superseded_by else "decided" if one.outcome else "open"
        words = f"{one.about}: {one.choice}" + (f" - {one.outcome}" if one.outcome else "")
        made_by = quoting.address(one.made_by)
        rows.append((short(one.id), times.ago(one.decided_at, now()), made_by, state, quoting.one_line(words)))
        styles.append("dim" if ruling.superseded_by else "")
    return [Table(("id", "age", "by", "state", "about: choice"), tuple(rows), tuple(styles))]


@blocks.register
def _ruling(result: decisions.Ruling) -> list[Block]:
    one = result.decision
    sure = f", confidence {one.confidence}" if one.confidence is not None else ""
    ago = times.ago(one.decided_at, now())
    made: list[Block] = [Line(f"from {quoting.origin(one.made_by)}, decision {one.id}, {ago} ago{sure}", "dim")]
    made.append(Body(clean_line(f"{one.about}: {one.choice}"), "bold"))
    made += [Body(f"\n{one.body}")] if one.body.strip() else []
    if one.outcome:
        made += [Line("what came of it", "dim"), Body(one.outcome, "green")]
    return made
