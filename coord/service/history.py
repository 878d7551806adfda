"""What happened, and how things stood at an earlier moment: both read from the ledger alone."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, TypeVar

from coord.git import history
from coord.model import codec, keys, leases, times
from coord.model.errors import BadRecord, NotFound, Usage
from coord.model.records import Lock, MergeRequest, Message, Priority
from coord.model.values import frozen
from coord.service.command import command, shown
from coord.service.coord import Coord

R = TypeVar("R")

_LISTED = 20


@frozen
class Happened:
    """One event of the ledger, and how long ago it was."""

    at: datetime
    age: timedelta
    agent: str
    kind: str
    subject: str
    id: str
    commit: str
    cause: tuple[str, ...]
    facts: Mapping[str, str]


@frozen
class Log:
    """Events, the newest first; `more` says that older ones fit the question too."""

    events: tuple[Happened, ...]
    more: bool = False


@frozen
class Unread:
    """A message that waited then, and for how long it had."""

    id: str
    subject: str
    sender: str
    priority: Priority
    sent_at: datetime
    age: timedelta


@frozen
class Box:
    """What was unread in one mailbox, oldest first; `left_out` are not listed."""

    mailbox: str
    unread: int
    items: tuple[Unread, ...]
    left_out: int = 0


@frozen
class Then:
    """How things stood at a moment: the event that was the last one then, and all that was open."""

    at: datetime
    age: timedelta
    last: Happened
    leases: tuple[Lock, ...] = ()
    mailboxes: tuple[Box, ...] = ()
    merges: tuple[MergeRequest, ...] = ()
    unreadable: tuple[str, ...] = ()


@command("log", example="coord log --agent backend --since 2h")
def log(
    coord: Coord,
    *,
    agent: Annotated[str, "only what this one did; coord, git and unknown are names too"] = "",
    kind: Annotated[str, "only kinds that begin with this: mail, lease.granted"] = "",
    since: Annotated[str, "from this moment on: a time, or how long ago (2h)"] = "",
    until: Annotated[str, "up to this moment: a time, or how long ago (2h)"] = "",
    limit: Annotated[int, "at most this many, the newest"] = 50,
) -> Log:
    """Show what happened, the newest first, as `git log coord/ledger` has it."""
    most = shown(limit)
    found = coord.indexed().entries(
        agent=agent.strip().lower() or None,
        kind=kind.strip().lower() or None,
        since=_moment(coord, since) if since else None,
        until=_moment(coord, until) if until else None,
        limit=most + 1,
        newest_first=True,
    )
    now = coord.now()
    events = tuple(_happened(entry, now) for entry in found)
    return Log(events[:most], more=len(events) > most)


@command("history", example="coord history --at '2026-11-22 14:00'")
def at(coord: Coord, *, at: Annotated[str, "the moment: a time, or how long ago (2h)"]) -> Then:
    """Show who held what, and what waited, at an earlier moment.

    It is read from the ledger as it was then: leases that were live, mail that was unread,
    merges that waited.

    Raises:
        NotFound: the ledger begins later.
        Usage: the moment lies in the future.
    """
    when, now = _moment(coord, at), coord.now()
    if when > now:
        raise Usage(
            f"{times.format_time(when)} lies in the future", hint="give a time that has passed, or 2h for two hours ago"
        )
    coord.committer.settle()
    commit = history.at_time(coord.git, when) if coord.ledger.tip() else None
    if commit is None:
        raise NotFound(
            f"the ledger begins after {times.format_time(when)}",
            hint="see its beginning: git log --reverse coord/ledger",
        )
    entry = next(history.entries(coord.git, until=commit, newest_first=True, limit=1, with_changes=False))
    return _Reader(coord, when).read(commit, _happened(entry, now), now - when)


def _moment(coord: Coord, text: str) -> datetime:
    try:
        return coord.now() - times.parse_duration(text.strip().removesuffix(" ago"))
    except Usage:
        pass
    try:
        return times.parse_time(text)
    except Usage as fault:
        raise Usage(fault.message, hint=f"{fault.hint} Or say how long ago: 2h, 3d.") from None


def _happened(entry: history.Entry, now: datetime) -> Happened:
    return Happened(
        at=entry.at,
        age=max(now - entry.at, timedelta(0)),
        agent=entry.agent,
        kind=entry.kind,
        subject=entry.subject,
        id=entry.id,
        commit=entry.commit,
        cause=entry.cause,
        facts=dict(entry.facts),
    )


class _Reader:
    """Reads the records of one commit as they looked at a moment."""

    def __init__(self, coord: Coord, when: datetime) -> None:
        self.coord = coord
        self.when = when
        self.contents: dict[str, bytes] = {}
        self.unreadable: list[str] = []

    def read(self, commit: str, last: Happened, age: timedelta) -> Then:
        tree = {key: blob for key, blob in history.tree(self.coord.git, commit).items() if keys.is_record(key)}
        boxes: dict[str, list[str]] = {}
        locks: list[str] = []
        merges: list[str] = []
        for key in sorted(tree, key=lambda key: (keys.id_in(key) or "", key)):
            match key.split("/"):
                case ["locks", _]:
                    locks.append(key)
                case ["inbox", "merges", _]:
                    merges.append(key)
                case ["inbox", name, _] if name != ".dead":
                    boxes.setdefault(name, []).append(key)
        shown = [*locks, *merges, *(key for found in boxes.values() for key in found[:_LISTED])]
        blobs = history.blobs(self.coord.git, [tree[key] for key in shown])
        self.contents = {key: data for data, key in zip(blobs, shown, strict=True)}
        return Then(
            at=self.when,
            age=age,
            last=last,
            leases=tuple(leases.live(self._decoded(codec.decode_lock, locks), self.when)),
            mailboxes=tuple(self._box(name, boxes[name]) for name in sorted(boxes)),
            merges=tuple(self._decoded(codec.decode_merge_request, merges)),
            unreadable=tuple(self.unreadable),
        )

    def _box(self, name: str, found: list[str]) -> Box:
        messages = self._decoded(codec.decode_message, found[:_LISTED])
        return Box(name, len(found), tuple(map(self._unread, messages)), max(len(found) - _LISTED, 0))

    def _unread(self, message: Message) -> Unread:
        age = max(self.when - message.sent_at, timedelta(0))
        return Unread(message.id, message.subject, message.sender, message.priority, message.sent_at, age)

    def _decoded(self, decode: Callable[[bytes, str], R], wanted: Sequence[str]) -> list[R]:
        found = []
        for key in wanted:
            try:
                found.append(decode(self.contents[key], key))
            except BadRecord:
                self.unreadable.append(key)
        return found
