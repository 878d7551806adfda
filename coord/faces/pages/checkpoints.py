"""Checkpoints and what a fresh session reads."""

from functools import singledispatch

from coord.faces.page import Block, Body, Line, Own, Table
from coord.faces.pages.words import now, short, titled, unknown
from coord.model import quoting, times
from coord.service import checkpoints
from coord.service.session import brief

blocks = singledispatch(unknown)


@blocks.register
def _saved(result: checkpoints.Saved) -> list[Block]:
    one = result.checkpoint
    held = f", {len(one.locks)} leases" if one.locks else ""
    return [
        Line(f"saved {one.id} on {one.branch or 'no branch'} with {len(one.dirty)} uncommitted files{held}", "green")
    ]


@blocks.register
def _checkpoints(result: checkpoints.Checkpoints) -> list[Block]:
    if not result.items:
        return [Line("no checkpoints; `coord checkpoint save` makes one")]
    rows = tuple(
        (short(one.id), times.ago(one.saved_at, now()), one.agent, one.branch, quoting.one_line(one.title))
        for one in result.items
    )
    more = [Line(f"… and {result.left_out} older (--limit)", "dim")] if result.left_out else []
    bad = [Line(f"unreadable: {key}", "red") for key in result.unreadable]
    return [Table(("id", "age", "agent", "branch", "title"), rows), *more, *bad]


@blocks.register
def _checkpoint(result: checkpoints.Shown) -> list[Block]:
    one = result.checkpoint
    where = f"{one.branch} at {one.commit[:10]}" if one.commit else one.branch
    head = f"from {quoting.origin(one.agent)}, checkpoint {one.id}, {times.ago(one.saved_at, now())} ago, {where}"
    made: list[Block] = [Line(head, "dim"), *titled(one.title, one.body)]
    made += [Line("next", "dim"), *(Body(f"- {step}", "cyan") for step in one.next)] if one.next else []
    for name, values in (("uncommitted", one.dirty), ("leases", one.locks), ("unread", one.open_messages)):
        if values:
            made.append(Line(f"{name}: {', '.join(values[:12])}", "dim"))
    return [*made, Line("retired; only the ledger has it", "dim")] if result.retired else made


@blocks.register
def _brief(result: brief.Brief) -> list[Block]:
    return [Own(result.text), Line(f"({result.tokens} of {result.budget} tokens)", "dim")]
