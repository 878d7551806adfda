"""The nouns: read this file first.

All are frozen, all times are aware UTC, and text is exactly what its author wrote.
`extra` keeps front-matter keys this version does not know, so that passing a record
on never loses what a newer version or a person put there.
"""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import Literal

from coord.model.values import frozen

Extra = Mapping[str, str | tuple[str, ...]]

Kind = Literal["note", "question", "answer", "task", "alert", "briefing", "merge"]
Priority = Literal["low", "normal", "high", "urgent"]
Ack = Literal["none", "wanted", "required"]
Mode = Literal["exclusive", "shared"]
MergeState = Literal["queued", "testing", "landing", "landed", "conflict", "failed", "cancelled"]


@frozen(kw_only=True)
class Message:
    """One piece of mail. Its place says its state: a mailbox is unread, `read/` under it is acked."""

    id: str
    sender: str
    to: tuple[str, ...]
    subject: str
    body: str
    sent_at: datetime
    kind: Kind = "note"
    priority: Priority = "normal"
    thread: str = ""
    reply_to: str = ""
    ack: Ack = "none"
    expires_at: datetime | None = None
    refs: tuple[str, ...] = ()
    cause: tuple[str, ...] = ()
    extra: Extra = field(default_factory=dict)


@frozen(kw_only=True)
class Process:
    """An operating-system process, named so that a reused pid is never mistaken for it."""

    pid: int
    started_at: str
    boot: str


@frozen(kw_only=True)
class Lock:
    """A lease somebody holds on a scope, with the fencing token that proves it."""

    scope: str
    holder: str
    token: int
    granted_at: datetime
    expires_at: datetime
    mode: Mode = "exclusive"
    process: Process | None = None
    note: str = ""
    extra: Extra = field(default_factory=dict)


@frozen(kw_only=True)
class Checkpoint:
    """What an agent would need to carry on: facts noted by coord, summary and next steps in its own words."""

    id: str
    agent: str
    saved_at: datetime
    title: str
    body: str
    next: tuple[str, ...] = ()
    session: str = ""
    task: str = ""
    branch: str = ""
    commit: str = ""
    dirty: tuple[str, ...] = ()
    touched: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    open_messages: tuple[str, ...] = ()
    extra: Extra = field(default_factory=dict)


@frozen(kw_only=True)
class Decision:
    """A choice somebody made, why (the body), and what came of it once that is known."""

    id: str
    made_by: str
    decided_at: datetime
    about: str
    choice: str
    body: str = ""
    confidence: float | None = None
    outcome: str = ""
    outcome_at: datetime | None = None
    supersedes: str = ""
    extra: Extra = field(default_factory=dict)


@frozen(kw_only=True)
class MergeRequest:
    """A branch that waits to be merged, until it has landed or gone back to its author.

    `after` are the requests that must land before. While it is tested it is a member of a `batch`: `candidate`
    is its own merge commit, upon `base`, which is the candidate of the member one `position` lower. While it lands,
    `was` is where the branch was before, if not at `base`.
    """

    id: str
    branch: str
    into: str
    head: str
    agent: str
    requested_at: datetime
    title: str
    state: MergeState = "queued"
    priority: Priority = "normal"
    task: str = ""
    after: tuple[str, ...] = ()
    reviewed: tuple[str, ...] = ()
    batch: str = ""
    position: int = 0
    base: str = ""
    candidate: str = ""
    was: str = ""
    gate: str = ""
    result: str = ""
    body: str = ""
    extra: Extra = field(default_factory=dict)


@frozen
class Change:
    """One record's new bytes under its key; `None` removes it."""

    key: str
    data: bytes | None


@frozen(kw_only=True)
class Event:
    """Something that happened, with every change to the folders it brought: one commit on the ledger.

    `subject` is what a person reads after the kind (`backend -> frontend: API changed`);
    `facts` are further trailers (`Coord-Token: 42`), names without the prefix. Neither is
    trusted: `trailers.py` escapes both.
    """

    id: str
    kind: str
    agent: str
    subject: str
    at: datetime
    changes: tuple[Change, ...] = ()
    cause: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


Record = Message | Lock | Checkpoint | Decision | MergeRequest
