"""The ledger for people."""

from functools import singledispatch

from coord.faces.page import Block, Line, Table
from coord.faces.pages.words import now, unknown
from coord.model import quoting, times
from coord.service import history

blocks = singledispatch(unknown)


@blocks.register
def _log(result: history.Log) -> list[Block]:
    if not result.events:
        return [Line("nothing in the ledger fits")]
    rows = tuple(
        (f"{one.at.astimezone():%m-%d %H:%M:%S}", one.agent, one.kind, one.commit[:10], quoting.one_line(one.subject))
        for one in result.events
    )
    more = [Line("… and older ones (--limit, --since)", "dim")] if result.more else []
    return [Table(("when", "who", "what", "commit", ""), rows), *more]


@blocks.register
def _then(result: history.Then) -> list[Block]:
    made: list[Block] = [Line(f"at {times.format_time(result.at)} ({times.ago(result.at, now())} ago)", "bold")]
    made.append(Line(f"last event: {quoting.one_line(result.last.subject)}", "dim"))
    held = tuple(
        (lock.scope, lock.holder, lock.mode, str(lock.token), times.format_time(lock.expires_at))
        for lock in result.leases
    )
    made += [Table(("held", "by", "mode", "token", "until"), held)] if held else [Line("no leases were held")]
    waiting = tuple(
        (box.mailbox, quoting.address(one.sender), one.priority, quoting.one_line(one.subject))
        for box in result.mailboxes
        for one in box.items
    )
    made += (
        [Table(("waiting for", "from", "priority", "subject"), waiting)] if waiting else [Line("no mail was waiting")]
    )
    queued = tuple((one.state, f"{one.branch} -> {one.into}", quoting.one_line(one.title)) for one in result.merges)
    return [*made, Table(("merging", "branch", "title"), queued)] if queued else made
