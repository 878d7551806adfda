"""Records and results for people: one function per result type."""

from datetime import UTC, datetime, timedelta
from functools import singledispatch

from coord.faces import overview
from coord.faces.page import Block, Body, Line, Style, Table
from coord.model import leases, times
from coord.model.codec import to_plain
from coord.model.records import Lock, MergeRequest, Message
from coord.service import (
    brief,
    checkpoints,
    decisions,
    history,
    letters,
    locks,
    mail,
    merges,
    setup,
    status,
    verify,
    watching,
    worktrees,
)

_PRIORITY: dict[str, Style] = {"urgent": "red", "high": "yellow", "low": "dim"}


def default(value: object) -> str:
    """Return a parameter's default as it is written on a command line."""
    return times.format_duration(value) if isinstance(value, timedelta) else str(value)


def now() -> datetime:
    """Return the moment that ages on a page are counted from."""
    return datetime.now(UTC)


@singledispatch
def blocks(result: object) -> list[Block]:
    """Return what a person reads of a result; a type without a page of its own is shown field by field."""
    plain = to_plain(result)
    if isinstance(plain, dict):
        return [Line(f"{name}: {value}") for name, value in plain.items() if value not in (None, "", [], {})]
    return [Line(str(plain))]


def short(identifier: str) -> str:
    """Return the part of an id that people type: its end, which tells ids of one moment apart."""
    return identifier[-8:]


@blocks.register
def _sent(result: mail.Sent) -> list[Block]:
    message = result.message
    if result.duplicate:
        return [Line(f"sent before, not sent again: {message.id}", "yellow")]
    lines: list[Block] = [Line(f"sent {message.id} to {', '.join(result.delivered)}", "green")]
    return [*lines, Line(f"  chosen because: {result.why}", "dim")] if result.why else lines


@blocks.register
def _listing(result: mail.Listing) -> list[Block]:
    if not result.items:
        return [
            Line(f"{result.mailbox}: nothing unread" if not result.unread else f"{result.mailbox}: nothing to show")
        ]
    rows, styles = [], []
    for item in result.items:
        message = item.message
        mark = "ack!" if message.ack == "required" and item.unread else "" if item.unread else "read"
        rows.append(
            (
                short(message.id),
                times.ago(message.sent_at, now()),
                message.sender,
                message.priority,
                message.subject,
                mark,
            )
        )
        styles.append(_PRIORITY.get(message.priority, "") if item.unread else "dim")
    head = Line(f"{result.mailbox}: {result.unread} unread", "bold")
    more = [Line(f"… and {result.left_out} more (--limit)", "dim")] if result.left_out else []
    return [head, Table(("id", "age", "from", "priority", "subject", ""), tuple(rows), tuple(styles)), *more]


@blocks.register
def _read(result: mail.ReadMail) -> list[Block]:
    if not result.items:
        return [Line(f"{result.mailbox}: nothing unread")]
    made: list[Block] = []
    for item in result.items:
        made += [*_message(item.message), Line("")]
    left = f"{result.left_out} more unread; " if result.left_out else ""
    asked = [item for item in result.items if item.message.ack == "required"]
    if asked:
        left += f"to be acknowledged: coord mail ack {' '.join(short(item.message.id) for item in asked)}"
    return [*made, Line(left, "yellow")] if left else made[:-1]


@blocks.register
def _message(message: Message) -> list[Block]:
    head = f"{message.sender} -> {', '.join(message.to)}: {message.subject}"
    about = [message.id, f"{times.format_time(message.sent_at)} ({times.ago(message.sent_at, now())} ago)"]
    about += [message.kind] if message.kind != "note" else []
    about += [message.priority] if message.priority != "normal" else []
    about += [f"ack {message.ack}"] if message.ack != "none" else []
    about += [f"about {', '.join(message.refs)}"] if message.refs else []
    return [Line(head, "bold"), Line("  ".join(about), "dim"), Body(message.body)]


@blocks.register
def _shown(result: letters.Shown) -> list[Block]:
    place = []
    if result.unread_by:
        place.append(f"unread: {', '.join(result.unread_by)}")
    if result.read_by:
        place.append(f"read: {', '.join(result.read_by)}")
    if result.retired:
        place.append("retired; only the ledger has it")
    return [*_message(result.message), Line("; ".join(place), "dim")]


@blocks.register
def _thread(result: mail.Thread) -> list[Block]:
    return [block for message in result.messages for block in (*_message(message), Line(""))][:-1]


@blocks.register
def _leases(result: locks.Leases) -> list[Block]:
    if not result.locks and not result.waiting:
        return [Line("no leases")]
    rows = tuple(
        (lock.scope, lock.holder, lock.mode, str(lock.token), _until(lock), lock.note) for lock in result.locks
    )
    styles: tuple[Style, ...] = tuple("dim" if lock.expires_at <= now() else "" for lock in result.locks)
    made: list[Block] = [Table(("scope", "holder", "mode", "token", "until", "note"), rows, styles)] if rows else []
    waiting = (
        f"{ask.holder} waits for {', '.join(ask.scopes)} since {times.ago(ask.asked_at, now())}"
        for ask in result.waiting
    )
    return [*made, *(Line(text, "yellow") for text in waiting)]


def _until(lock: Lock) -> str:
    left = lock.expires_at - now()
    clock = f"{lock.expires_at.astimezone():%H:%M}"
    return f"{clock} ({times.format_duration(left)} left)" if left > timedelta(0) else f"{clock} (over)"


@blocks.register
def _check(result: locks.Check) -> list[Block]:
    made: list[Block] = []
    for verdict in result.verdicts:
        if verdict.free:
            made.append(Line(f"{verdict.path}: free", "green"))
        elif verdict.yours:
            tokens = ", ".join(str(lock.token) for lock in verdict.held_by)
            made.append(Line(f"{verdict.path}: yours (token {tokens}) until {_until(verdict.held_by[0])}", "green"))
        else:
            made += [Line(f"{verdict.path}: {leases.describe((lock,))}", "red") for lock in verdict.held_by]
    return made


@blocks.register
def _queue(result: merges.Queue) -> list[Block]:
    gate = "" if result.gated else " (ungated: no merge.test is configured)"
    if not result.requests:
        return [Line(f"nothing waits to be merged into {result.base}{gate}")]
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


@blocks.register
def _trees(result: worktrees.Trees) -> list[Block]:
    if not result.trees:
        return [Line("no worktrees; `coord worktree add` makes one for each agent")]
    rows = tuple(
        (tree.agent, tree.branch, f"+{tree.ahead} -{tree.behind}", _dirt(tree), tree.path, "; ".join(tree.notes))
        for tree in result.trees
    )
    return [Table(("agent", "branch", f"to {result.base}", "uncommitted", "path", ""), rows)]


@blocks.register
def _tree(tree: worktrees.Tree) -> list[Block]:
    kept = f"; its work is kept on {tree.kept}" if tree.kept else ""
    return [Line(f"removed {tree.path}; the branch {tree.branch} stays{kept}", "green")]


def _dirt(tree: worktrees.Tree) -> str:
    return "folder is gone" if tree.missing else f"{len(tree.dirty)} files" if tree.dirty else ""


@blocks.register
def _daemon(found: watching.Daemon) -> list[Block]:
    if found.state == "running":
        since = times.ago(found.since, now()) if found.since else "unknown"
        return [Line(f"running, pid {found.pid}, for {since}", "green"), Line(f"log: {found.log}", "dim")]
    if found.state == "unknown":
        return [Line(f"unknown: pid {found.pid} cannot be seen from here", "yellow")]
    return [Line("not running; start it with `coord watch --detach`")]


blocks.register(status.Status)(overview.blocks)


@blocks.register
def _initialised(result: setup.Initialised) -> list[Block]:
    made: list[Block] = [Line(f"coord is set up in {result.home}", "green")]
    made.append(Line(f"  agents: {', '.join(result.agents) or 'none yet; name them in .coord.yaml'}"))
    if result.made:
        made.append(Line(f"  made: {', '.join(result.made)}"))
    if result.restored:
        made.append(Line(f"  brought back from the ledger: {result.restored} records"))
    made += [Line(f"  {note}", "yellow") for note in result.notes]
    return [*made, Line("  next: coord watch --detach, then coord status", "dim")]


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
        (short(one.id), times.ago(one.saved_at, now()), one.agent, one.branch, one.title) for one in result.items
    )
    more = [Line(f"… and {result.left_out} older (--limit)", "dim")] if result.left_out else []
    bad = [Line(f"unreadable: {key}", "red") for key in result.unreadable]
    return [Table(("id", "age", "agent", "branch", "title"), rows), *more, *bad]


@blocks.register
def _checkpoint(result: checkpoints.Shown) -> list[Block]:
    one = result.checkpoint
    where = f"{one.branch} at {one.commit[:10]}" if one.commit else one.branch
    made: list[Block] = [Line(f"{one.agent}: {one.title}", "bold")]
    made.append(Line(f"{one.id}  {times.ago(one.saved_at, now())} ago  {where}", "dim"))
    made.append(Body(one.body))
    made += [Line(f"  next: {step}", "cyan") for step in one.next]
    for name, values in (("uncommitted", one.dirty), ("leases", one.locks), ("unread", one.open_messages)):
        if values:
            made.append(Line(f"  {name}: {', '.join(values[:12])}", "dim"))
    return [*made, Line("retired; only the ledger has it", "dim")] if result.retired else made


@blocks.register
def _brief(result: brief.Brief) -> list[Block]:
    return [Body(result.text, indent=""), Line(f"({result.tokens} of {result.budget} tokens)", "dim")]


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


@blocks.register
def _log(result: history.Log) -> list[Block]:
    if not result.events:
        return [Line("nothing in the ledger fits")]
    rows = tuple(
        (f"{one.at.astimezone():%m-%d %H:%M:%S}", one.agent, one.kind, one.subject, one.commit[:10])
        for one in result.events
    )
    more = [Line("… and older ones (--limit, --since)", "dim")] if result.more else []
    return [Table(("when", "who", "what", "", "commit"), rows), *more]


@blocks.register
def _then(result: history.Then) -> list[Block]:
    made: list[Block] = [Line(f"at {times.format_time(result.at)} ({times.ago(result.at, now())} ago)", "bold")]
    made.append(Line(f"last event: {result.last.subject}", "dim"))
    held = tuple(
        (lock.scope, lock.holder, lock.mode, str(lock.token), times.format_time(lock.expires_at))
        for lock in result.leases
    )
    made += [Table(("held", "by", "mode", "token", "until"), held)] if held else [Line("no leases were held")]
    waiting = tuple(
        (box.mailbox, one.sender, one.priority, one.subject) for box in result.mailboxes for one in box.items
    )
    made += (
        [Table(("waiting for", "from", "priority", "subject"), waiting)] if waiting else [Line("no mail was waiting")]
    )
    queued = tuple((one.state, f"{one.branch} -> {one.into}", one.title) for one in result.merges)
    return [*made, Table(("merging", "branch", "title"), queued)] if queued else made


@blocks.register
def _verified(result: verify.Verified) -> list[Block]:
    noted = f"; {result.committed} changes made by hand were recorded" if result.committed else ""
    return [Line(f"files, ledger and index agree: {result.records} records at {result.commit[:10]}{noted}", "green")]
