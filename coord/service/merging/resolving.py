"""Whose turn it is to resolve a conflict, and all that they need for it; code alone merges.

What others wrote, in files, commits and mail, is bounded and quoted: it is data to whoever reads it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

from coord.git import branch as branching
from coord.git import conflict, history, merge
from coord.git.conflict import Clash, Hunk
from coord.git.merge import Touch
from coord.model import codec, keys, leasetrailers, quoting, times
from coord.model.errors import BadRecord
from coord.model.records import Change, MergeRequest, Message
from coord.model.untrusted import clean_line
from coord.model.values import frozen
from coord.service import delivery
from coord.service.coord import Coord
from coord.service.merging.stacking import Left

_PATHS, _HUNKS, _LINES, _WIDTH = 12, 3, 12, 160
_COMMITS, _LETTERS, _AGENTS = 12, 5, 8
_ASKED = 200  # paths, of a conflict that has very many
_LOOKED_THROUGH = 200  # letters of each agent
_LOOKS_BACK = timedelta(days=14)
_SENT = ("mail.sent", "mail.adopted")


def whose(coord: Coord, one: MergeRequest) -> str:
    """Return who resolves what conflicts: the configured resolver, else its author, if that is somebody here."""
    known = coord.config.everybody
    return next(name for name in (coord.config.merge.resolver, one.agent, coord.config.coordinator) if name in known)


@frozen
class _Case:
    """A conflict: the commits of both sides and of where they parted, the paths, and whose turn it is."""

    one: MergeRequest
    what: str
    turn: str
    base: str
    ours: str
    paths: tuple[str, ...]
    clashes: tuple[Clash, ...]


def sent_back(coord: Coord, left: Left, base: str) -> None:
    """Take a request that conflicts with BASE out of the queue, as a task for whoever resolves it; others are told."""
    one, turn = left.one, whose(coord, left.one)
    parted = branching.parted(coord.git, base, one.head)
    clashes = conflict.clashes(coord.git, base, one.head, most=_PATHS)
    case = _Case(one, left.what, turn, parted, base, left.paths, clashes)
    subject = f"not merged: {one.branch}: {left.what}"
    task = delivery.notice(
        coord,
        turn,
        subject,
        "\n".join(_task(coord, case)),
        kind="task",
        priority="urgent" if one.priority == "urgent" else "high",
        ack="required",
        cause=(one.id,),
        refs=(*(f"commit:{commit}" for commit in (parted, base, one.head) if commit), *_named(clashes)),
    )
    changes = [Change(left.key, None), *delivery.copies(task, (turn,))]
    others = tuple(name for name in dict.fromkeys((one.agent, "owner")) if name != turn)
    if others:
        body = f"{left.what}. {quoting.address(turn)} has it as a task: `coord mail show {task.id}`.\n"
        word = delivery.notice(coord, others[0], subject, body, kind="merge", cause=(one.id, task.id))
        changes += delivery.copies(word, others)
    coord.record(
        coord.event(
            "merge.conflict",
            f"{one.branch} -> {one.into}: {left.what}",
            changes,
            agent=one.agent,
            cause=(one.id,),
            why=left.what,
            turn=turn,
            base=parted,
            ours=base,
            theirs=one.head,
        )
    )


def _task(coord: Coord, case: _Case) -> Iterator[str]:
    one = case.one
    yield f"`{one.branch}`, by {quoting.address(one.agent)}, was not merged into `{one.into}`: {case.what}."
    yield f"It is for {quoting.address(case.turn)} to resolve. Nothing was touched."
    yield ""
    yield f"- request: {one.id}: {quoting.within(one.title, 100)}"
    yield f"- base, where they parted: {case.base or 'nothing: they share no history'}"
    yield f"- ours, `{one.into}`: {case.ours}"
    yield f"- theirs, `{one.branch}`: {one.head}"
    for clash in case.clashes:
        yield from _clash(clash)
    if len(case.paths) > len(case.clashes):
        yield f"\n… and {len(case.paths) - len(case.clashes)} more paths: `git merge {one.into}` shows them."
    touches = merge.touched_by(coord.git, case.ours, one.head, case.paths)
    yield from _touched(f"on `{one.into}`, since they parted", [touch for touch in touches if touch.side == "base"])
    yield from _touched(f"on `{one.branch}`", [touch for touch in touches if touch.side == "head"])
    yield from _mail(coord, case)
    yield ""
    yield from _next(one, case.turn)


def _clash(clash: Clash) -> Iterator[str]:
    blobs = {"base": clash.base, "ours": clash.ours, "theirs": clash.theirs}
    versions = ", ".join(f"{side} {blob[:10] or 'has none'}" for side, blob in blobs.items())
    yield f"\nIn conflict: {clean_line(clash.path, 200)} ({versions})"
    for hunk in clash.hunks[:_HUNKS]:
        yield from _hunk(hunk)
    if len(clash.hunks) > _HUNKS:
        yield f"… and {len(clash.hunks) - _HUNKS} more places"


def _hunk(hunk: Hunk) -> Iterator[str]:
    for side, data in (("base", hunk.base), ("ours", hunk.ours), ("theirs", hunk.theirs)):
        place = f", at line {hunk.line}" if side == "ours" else ""
        lines = data.decode(errors="replace").split("\n") if data else []
        yield f"{side}{place}:" if lines else f"{side}{place}: nothing"
        yield from _shown(lines)


def _shown(lines: Sequence[str]) -> Iterator[str]:
    """Yield the first few of some lines as a quotation, none of them long."""
    cut = (line if len(line) <= _WIDTH else f"{line[:_WIDTH]}…" for line in lines[:_LINES])
    if lines:
        yield quoting.quoted("\n".join(cut))
    if len(lines) > _LINES:
        yield f"… and {len(lines) - _LINES} more lines"


def _touched(where: str, touches: Sequence[Touch]) -> Iterator[str]:
    if touches:
        yield f"\nCommits that changed these paths {where}:"
    for touch in touches[:_COMMITS]:
        yield f"- {touch.commit[:10]} by {clean_line(touch.author, 60)} {quoting.one_line(touch.subject, 100)}"
    if len(touches) > _COMMITS:
        yield f"- … and {len(touches) - _COMMITS} more"


def _around(coord: Coord, case: _Case) -> tuple[str, ...]:
    """Return the agents of both sides: the author, and whose merges brought these paths to the base meanwhile."""
    messages = conflict.arrivals(coord.git, case.base, case.ours, case.paths[:_ASKED]) if case.base else ()
    named = dict.fromkeys((case.one.agent, *map(leasetrailers.agent, messages)))
    return tuple(name for name in named if name in coord.config.everybody)[:_AGENTS]


def _mail(coord: Coord, case: _Case) -> Iterator[str]:
    words = map(re.escape, (case.one.id, case.one.branch, *case.paths[:_ASKED]))
    named = re.compile(rf"(?<![\w/.-])(?:{'|'.join(words)})(?![\w/-])")
    found = [message for message in _letters(coord, _around(coord, case)) if named.search(_text(message))]
    newest = sorted(found, key=lambda message: message.id, reverse=True)[:_LETTERS]
    if newest:
        yield "\nMail that names them, the newest first:"
    for message in newest:
        by_hand = message.extra.get(quoting.WRITTEN) == quoting.BY_HAND
        to = ", ".join(quoting.address(name) for name in message.to[:5])
        sender = quoting.origin(message.sender, by_hand=by_hand)
        about = quoting.within(message.subject, 100)
        yield f"- {message.id}, {times.format_time(message.sent_at)}, {sender} to {to}: {about}"
        yield from _shown(message.body.strip().split("\n"))


def _letters(coord: Coord, agents: Iterable[str]) -> Iterator[Message]:
    """Yield what AGENTS sent lately, once each."""
    since = coord.now() - _LOOKS_BACK
    index, seen = coord.indexed(), dict[str, str]()
    for name in agents:
        for kind in _SENT:
            for entry in index.entries(agent=name, kind=kind, since=since, limit=_LOOKED_THROUGH, newest_first=True):
                held = ((key, blob) for op, key, blob in entry.changes if op != "D" and key.startswith("inbox/"))
                seen |= {blob: key for key, blob in held if (keys.id_in(key) or "") == entry.id}
    for (_, key), data in zip(seen.items(), history.blobs(coord.git, seen), strict=True):
        try:
            yield codec.decode_message(data, key)
        except BadRecord:
            continue


def _text(message: Message) -> str:
    return "\n".join((message.subject, message.body, *(ref.partition(":")[2] for ref in message.refs)))


def _named(clashes: Sequence[Clash]) -> Iterator[str]:
    return (f"path:{clean_line(clash.path, 200)}" for clash in clashes)


def _next(one: MergeRequest, turn: str) -> Iterator[str]:
    if turn == one.agent:
        yield f"Next: in your worktree `git merge {one.into}`, resolve it, commit, then `coord merge retry {one.id}`."
        yield "Where you would have to choose for somebody else, ask them by mail."
        return
    author = quoting.address(one.agent)
    yield f"Next: on a branch of your own `git merge {one.head[:12]}` and `git merge {one.into}`, resolve it, commit,"
    yield f"then `coord merge retry {one.id} --branch YOURS`: it stays {author}'s request."
    yield f"Where you would have to choose for {author}, ask by mail."
