"""The daemon as others see it."""

from functools import singledispatch

from coord.faces.page import Block, Line
from coord.faces.pages.words import now, unknown
from coord.model import times
from coord.service import watching

blocks = singledispatch(unknown)


@blocks.register
def _daemon(found: watching.Daemon) -> list[Block]:
    if found.state == "running":
        since = times.ago(found.since, now()) if found.since else "unknown"
        return [Line(f"running, pid {found.pid}, for {since}", "green"), Line(f"log: {found.log}", "dim")]
    if found.state == "unknown":
        return [Line(f"unknown: pid {found.pid} cannot be seen from here", "yellow")]
    if found.pid:
        return [Line(f"stopped, pid {found.pid}"), Line(f"log: {found.log}", "dim")]
    return [Line("not running; start it with `coord watch --detach`")]
