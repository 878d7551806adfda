"""Sessions of coding assistants, for people."""

from collections.abc import Sequence
from datetime import datetime
from functools import singledispatch

from coord.faces.page import Block, Line, Style, Table
from coord.faces.pages.words import now, unknown
from coord.model import quoting, times
from coord.service.session import sessions
from coord.service.session.sessions import Session, Wake

blocks = singledispatch(unknown)


@blocks.register
def _sessions(found: sessions.Sessions) -> list[Block]:
    if not found.items:
        return [Line("no session of a coding assistant has called coord's hooks", "dim")]
    return [table(found.items, now())]


def table(items: Sequence[Session], at: datetime) -> Table:
    """Return sessions as a table, as they are at the moment AT."""
    styles: dict[str, Style] = {"active": "", "idle": "dim", "limited": "yellow", "ended": "dim"}
    rows = tuple(
        (
            f"{one.client} {quoting.within(one.version, 20) if one.version else ''}".rstrip(),
            one.agent or "unknown",
            f"{one.state} ({one.why})" if one.why else one.state,
            f"{times.ago(one.seen_at, at)} ago",
            times.ago(one.since, at),
            quoting.one_line(one.doing, 60) if one.doing else "",
            one.worktree,
            _woken(one.wake, at),
        )
        for one in items
    )
    head = ("session", "agent", "state", "heard", "for", "doing", "worktree", "woken")
    return Table(head, rows, tuple(styles[one.state] for one in items))


def _woken(wake: Wake | None, at: datetime) -> str:
    if wake is None:
        return ""
    if wake.seen_at is None:
        return f"called by {wake.way} {times.ago(wake.at, at)} ago: no sign yet"
    seconds = (wake.seen_at - wake.since).total_seconds()
    return f"by {wake.way} after {seconds:.1f} s, {times.ago(wake.seen_at, at)} ago"
