"""The merge queue for people."""

from functools import singledispatch

from coord.faces.page import Block, Body, Line, Table
from coord.faces.pages.words import now, short, unknown
from coord.model import times
from coord.model.records import MergeRequest
from coord.service import merges

blocks = singledispatch(unknown)


@blocks.register
def _queue(result: merges.Queue) -> list[Block]:
    gate = "" if result.gated else " (ungated: no merge.test is configured)"
    into = f" into {result.base}" if result.base else ""
    if not result.requests:
        return [Line(f"nothing waits to be merged{into}{gate}")]
    rows = tuple(
        (
            short(one.id),
            one.state,
            f"{one.branch} -> {one.into}",
            times.ago(one.requested_at, now()),
            one.title,
            one.result,
        )
        for one in result.requests
    )
    return [Line(f"merge queue{gate}", "bold"), Table(("id", "state", "branch", "age", "title", ""), rows)]


@blocks.register
def _request(one: MergeRequest) -> list[Block]:
    made: list[Block] = [Line(f"{one.branch} -> {one.into}: {one.title}", "bold")]
    made.append(
        Line(f"{one.id}  {one.state}  {one.head[:10]} by {one.agent}, {times.ago(one.requested_at, now())} ago", "dim")
    )
    details = [f"gate: {one.gate}" if one.gate else "", one.result]
    made += [Line(text, "yellow") for text in details if text]
    return [*made, Body(one.body)] if one.body else made
