"""The merge queue for people."""

from functools import singledispatch

from coord.faces.page import Block, Body, Line, Style, Table
from coord.faces.pages.words import now, short, titled, unknown
from coord.model import quoting, times
from coord.model.records import MergeRequest
from coord.service import mergegraph, merges, testruns

blocks = singledispatch(unknown)


@blocks.register
def _queue(result: merges.Queue) -> list[Block]:
    gate = "" if result.gated else f" (nothing lands: {result.lack})" if result.lack else " (ungated)"
    gate += f" (pushed to {result.push})" if result.push else ""
    gate += "" if result.watched else " (no daemon runs: `coord watch --detach`)"
    into = f" into {result.base}" if result.base else ""
    if not result.requests:
        return [Line(f"nothing waits to be merged{into}{gate}")]
    rows = tuple(
        (
            short(one.id),
            one.state,
            f"{one.branch} -> {one.into}",
            times.ago(one.requested_at, now()),
            "; ".join(filter(None, (one.result, result.strays.get(one.id, "")))),
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


@blocks.register
def _runs(result: testruns.Runs) -> list[Block]:
    if not result.runs:
        return [Line("no test has run")]
    rows = tuple(
        (
            times.ago(one.at, now()),
            f"{len(one.members)} upon {one.into}" if one.members else f"{one.into} alone",
            one.commit[:10],
            "passed" if one.passed else f"{one.step}: {one.what}",
            times.format_duration(one.took) if one.took.total_seconds() >= 1 else "",
            one.log,
        )
        for one in result.runs
    )
    styles: tuple[Style, ...] = tuple("green" if one.passed else "red" for one in result.runs)
    made: list[Block] = [Table(("ago", "tested", "commit", "outcome", "took", "log"), rows, styles)]
    made += [
        Line(f"flaky: {one.step} failed {one.times} times on what passed as well", "yellow") for one in result.flaky
    ]
    return [*made, Line("the end of the last log:", "dim"), Body(result.tail)] if result.tail else made


@blocks.register
def _retest(result: testruns.Retest) -> list[Block]:
    if not result.forgotten:
        return [Line(f"nothing is remembered of {result.branch} as it is", "dim")]
    counted = f"{result.forgotten} run{'s' if result.forgotten > 1 else ''}"
    return [Line(f"{result.branch} is tested again when something waits: {counted} of it count no longer")]


_COLOURS: dict[str, Style] = {"landing": "green", "testing": "cyan", "conflict": "red", "ready": "yellow"}


@blocks.register
def _graph(result: mergegraph.Graph) -> list[Block]:
    made: list[Block] = [Line(f"{result.base} {result.tip[:10]}", "bold")]
    for number, one in enumerate(result.branches):
        last = number + 1 == len(result.branches)
        before = result.branches[number - 1] if number else None
        stacked = bool(one.batch) and before is not None and before.batch == one.batch
        bend = "└" if last else "│" if stacked else "├"
        turn = "  └─" if stacked else "──"
        apart = ", ".join(
            words for count, words in ((one.ahead, f"{one.ahead} ahead"), (one.behind, f"{one.behind} behind")) if count
        )
        where = f" in {', '.join(one.conflicts[:5])}" if one.conflicts else ""
        note = f"  {one.note}" if one.note and not one.conflicts else ""
        text = f"{bend}{turn} {one.branch}  {one.standing}{where}{f'  ({apart})' if apart else ''}{note}"
        made.append(Line(text, _COLOURS.get(one.standing, "" if one.standing == "queued" else "dim")))
    return made if result.branches else [*made, Line("no branch is ahead of it or behind it", "dim")]
