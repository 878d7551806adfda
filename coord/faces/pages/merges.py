"""The merge queue for people."""

from functools import singledispatch

from coord.faces.page import Block, Line, Table
from coord.faces.pages.words import now, short, titled, unknown
from coord.model import quoting, times
from coord.model.records import MergeRequest
from coord.service import merges

blocks = singledispatch(unknown)


@blocks.register
def _queue(result: merges.Queue) -> list[Block]:
    gate = "" if result.gated else f" (nothing lands: {result.lack})" if result.lack else " (ungated)"
    into = f" into {result.base}" if result.base else ""
    if not result.requests:
        return [Line(f"nothing waits to be merged{into}{gate}")]
    rows = tuple(
        (
            short(one.id),
            one.state,
            f"{one.branch} -> {one.into}",
            times.ago(one.requested_at, now()),
            one.result,
            quoting.one_line(one.title),
        )
        for one in result.requests
    )
    return [Line(f"merge queue{gate}", "bold"), Table(("id", "state", "branch", "age", "", "title"), rows)]


@blocks.register
def _request(one: MergeRequest) -> list[Block]:
    ago = times.ago(one.requested_at, now())
    made: list[Block] = [Line(f"{one.branch} -> {one.into}: {one.state}", "bold")]
    made.append(Line(f"from {quoting.origin(one.agent)}, request {one.id} of {one.head[:10]}, {ago} ago", "dim"))
    details = [f"gate: {one.gate}" if one.gate else "", one.result]
    made += [Line(text, "yellow") for text in details if text]
    return [*made, *titled(one.title, one.body)]
