"""`coord status` for people: one screen that tells an owner everything, each line from evidence with its age."""

from datetime import timedelta

from coord.faces.page import Block, Line, Style, Table
from coord.faces.pages import sessions
from coord.model import quoting, times
from coord.service.status import AgentStatus, Held, LedgerStatus, Need, Queued, Status, Tree
from coord.service.watching import Daemon

_FRESH = timedelta(minutes=15)
_LATE = timedelta(hours=1)


def blocks(status: Status) -> list[Block]:
    """Return the screen: what needs the owner first, since that is why they look."""
    return [
        *_head(status),
        *_needs(status),
        *_agents(status.agents),
        *_sessions(status),
        *_leases(status.leases),
        *_merges(status.merges, status.base),
    ]


def _head(status: Status) -> list[Block]:
    return [
        Line(f"{status.home}  base {status.base or 'unknown'}", "bold"),
        _daemon(status.daemon, status),
        _ledger(status.ledger),
    ]


def _daemon(daemon: Daemon, status: Status) -> Line:
    if daemon.state == "running":
        since = times.ago(daemon.since, status.at) if daemon.since else "unknown"
        return Line(f"daemon  running for {since} (pid {daemon.pid})", "green")
    if daemon.state == "unknown":
        return Line(f"daemon  unknown: pid {daemon.pid} cannot be seen from here", "yellow")
    return Line("daemon  not running; everything works, nothing happens by itself (coord watch --detach)", "yellow")


def _ledger(ledger: LedgerStatus) -> Line:
    waiting = "unknown" if ledger.waiting is None else f"{ledger.waiting:,} events" if ledger.waiting else "none"
    age = f"{length(ledger.age)} ago" if ledger.age is not None else "never"
    return Line(f"ledger  {ledger.commit[:10]} {age}, waiting: {waiting}; last {quoting.one_line(ledger.last)}", "dim")


def _needs(status: Status) -> list[Block]:
    if not status.needs:
        return [Line("needs you: nothing", "green")]
    rows = tuple(
        (need.kind, need.who, length(need.age) if need.age is not None else "", need.id[-8:], _what(need))
        for need in status.needs
    )
    more = [Line(f"  … and {status.needs_left_out} more", "dim")] if status.needs_left_out else []
    return [
        Line(""),
        Line("needs you", "bold"),
        Table(("", "who", "age", "id", "what"), rows, tuple[Style, ...]("yellow" for _ in rows)),
        *more,
    ]


def _what(need: Need) -> str:
    """Return what is needed; a message is named by its subject, which is its sender's."""
    return quoting.one_line(need.what) if need.kind in ("mail", "ack") and need.id else need.what


def _agents(agents: tuple[AgentStatus, ...]) -> list[Block]:
    if not agents:
        return [Line("no agents yet; name them in .coord.yaml, then run coord init", "yellow")]
    rows: list[tuple[str, ...]] = []
    styles: list[Style] = []
    for agent in agents:
        seen = f"{length(agent.idle)} ago" if agent.idle is not None else "never"
        unread = ", ".join(f"{one.count} {one.priority} {length(one.oldest)}" for one in agent.waiting)
        rows.append((agent.name, seen, agent.doing, unread, ", ".join(agent.leases), _tree(agent.tree)))
        styles.append(_agent_style(agent))
    return [
        Line(""),
        Table(("agent", "seen", "doing", "unread, oldest", "leases", "branch"), tuple(rows), tuple(styles)),
    ]


def _sessions(status: Status) -> list[Block]:
    return [Line(""), sessions.table(status.sessions, status.at)] if status.sessions else []


def _agent_style(agent: AgentStatus) -> Style:
    if any(one.priority == "urgent" or one.oldest > _LATE for one in agent.waiting):
        return "yellow"
    return "" if agent.idle is not None and agent.idle < _FRESH else "dim"


def _tree(tree: Tree | None) -> str:
    if tree is None:
        return ""
    distance = f" +{tree.ahead} -{tree.behind}" if tree.ahead is not None and tree.behind is not None else ""
    dirty = "" if not tree.dirty else f", {tree.dirty} uncommitted"
    return f"{tree.branch}{distance}{dirty}"


def _leases(leases: tuple[Held, ...]) -> list[Block]:
    if not leases:
        return [Line(""), Line("no leases", "dim")]
    rows = tuple(
        (
            one.scope,
            one.holder,
            one.mode,
            str(one.token),
            length(one.left),
            ", ".join(one.waiters),
            quoting.one_line(one.note) if one.note else "",
        )
        for one in leases
    )
    return [Line(""), Table(("leased", "by", "mode", "token", "left", "waiting", "note"), rows)]


def _merges(merges: tuple[Queued, ...], base: str) -> list[Block]:
    if not merges:
        return [Line(f"nothing waits to be merged{f' into {base}' if base else ''}", "dim")]
    rows = tuple(
        (
            one.state,
            f"{one.branch} -> {one.into}",
            one.gate or "",
            length(one.age),
            one.held,
            quoting.one_line(one.title),
        )
        for one in merges
    )
    return [Line(""), Table(("merging", "branch", "gate", "age", "", "title"), rows)]


def length(span: timedelta) -> str:
    """Return an age in its largest unit, as lists show it."""
    seconds = max(0, int(span.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
