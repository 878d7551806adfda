"""Everything an owner wants to know on one screen: from evidence, with its age, and `unknown` where there is none."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from coord.git import history, worktree
from coord.git.relations import Relation, relations
from coord.git.worktree import Worktree
from coord.model import codec, ids, keys, leases, mailboxes, scope
from coord.model.errors import BadRecord, CoordError, TimedOut
from coord.model.gate import PASSED, UNGATED, has_passed
from coord.model.leases import Ask
from coord.model.records import Lock, MergeRequest, Message, Mode, Priority
from coord.model.regex import regex
from coord.model.values import frozen
from coord.service import branches, livefolders, merges, watching
from coord.service.command import command
from coord.service.coord import Coord
from coord.service.leasebook import Book
from coord.service.session import sessions
from coord.service.session.sessions import Session
from coord.service.watching import Daemon
from coord.stores.base import LEDGER

_PRIORITIES: tuple[Priority, ...] = ("urgent", "high", "normal", "low")
_AT_ONCE = 4
_SHOWN = 20
_WAIT = 0.05

_FRONT = regex(rb"\A---\r?\n(.*?)^---", re.DOTALL | re.MULTILINE)
_FACT = regex(rb"^(priority|ack):[ \t]*[\"']?(\w+)", re.MULTILINE | re.IGNORECASE)


@frozen
class Unread:
    """How many messages of one priority wait in a mailbox, and for how long the oldest has."""

    priority: Priority
    count: int
    oldest: timedelta


@frozen
class Tree:
    """An agent's worktree against the base branch; None is unknown."""

    path: str
    branch: str
    ahead: int | None
    behind: int | None
    dirty: int | None


@frozen
class AgentStatus:
    """One agent: its last sign of life, what waits for it, what it holds, where it works."""

    name: str
    role: str
    seen_at: datetime | None
    idle: timedelta | None
    doing: str
    unread: int
    waiting: tuple[Unread, ...]
    leases: tuple[str, ...]
    tree: Tree | None


@frozen
class Held:
    """A live lease, how long it still lasts, and who waits for it."""

    scope: str
    mode: Mode
    holder: str
    token: int
    granted_at: datetime
    expires_at: datetime
    left: timedelta
    note: str
    waiters: tuple[str, ...]


@frozen
class Queued:
    """A merge request that waits; `gate` is `ungated` where nothing will test it, `held` why it is stuck."""

    id: str
    branch: str
    into: str
    agent: str
    title: str
    state: str
    priority: Priority
    age: timedelta
    gate: str
    held: str


@frozen
class LedgerStatus:
    """The ledger's last event, and how many more are noted but not yet committed; None is unknown."""

    commit: str
    at: datetime | None
    age: timedelta | None
    last: str
    waiting: int | None


@frozen
class Need:
    """Something that waits for the owner, or for somebody on whom the owner may want to call."""

    kind: Literal["mail", "ack", "merge", "dead letter", "unreadable"]
    what: str
    who: str = ""
    id: str = ""
    age: timedelta | None = None


@frozen
class Status:
    """How things stood at one moment."""

    home: str
    at: datetime
    base: str
    agents: tuple[AgentStatus, ...]
    leases: tuple[Held, ...]
    merges: tuple[Queued, ...]
    sessions: tuple[Session, ...]
    daemon: Daemon
    ledger: LedgerStatus
    needs: tuple[Need, ...]
    needs_left_out: int = 0


@frozen
class _Glance:
    """What a message's key and the first lines of its file tell without reading it as a whole."""

    key: str
    mailbox: str
    at: datetime
    priority: Priority
    ack: str


@command("status", example="coord status")
def status(coord: Coord) -> Status:
    """Show on one screen who is there, what is held, what waits, and what needs you.

    All of it is looked up now: when an agent was last seen, not whether it is thought to be
    busy; the daemon by its process, not by a file's age. What cannot be told is unknown.
    """
    return _Look(coord).status()


class _Look:
    """One look at the repository, at one moment."""

    def __init__(self, coord: Coord) -> None:
        self.coord = coord
        self.now = coord.now()
        self.needs: list[Need] = []

    def status(self) -> Status:
        coord = self.coord
        unread = {name: self._unread(name) for name in coord.config.everybody}
        locks = self._locks()
        waiting = tuple(one for _, one in merges.waiting(coord))
        listed = worktree.all_of(coord.git)
        base = coord.config.merge.into or listed[0].branch
        trees = self._trees(listed, base)
        self._owner(unread, waiting)
        return Status(
            home=str(coord.home),
            at=self.now,
            base=base,
            agents=tuple(self._agent(name, unread[name], locks, trees.get(name)) for name in coord.config.names),
            leases=self._held(locks),
            merges=tuple(map(self._queued, waiting)),
            sessions=sessions.list_(coord).items,
            daemon=watching.find(coord),
            ledger=self._ledger(),
            needs=tuple(self.needs[:_SHOWN]),
            needs_left_out=max(len(self.needs) - _SHOWN, 0),
        )

    def _age(self, then: datetime) -> timedelta:
        return max(self.now - then, timedelta(0))

    def _agent(self, name: str, unread: Sequence[_Glance], locks: Sequence[Lock], tree: Tree | None) -> AgentStatus:
        seen = self.coord.presence.last(name)
        waiting = []
        for priority in _PRIORITIES:
            found = [self._age(one.at) for one in unread if one.priority == priority]
            if found:
                waiting.append(Unread(priority, len(found), max(found)))
        return AgentStatus(
            name=name,
            role=self.coord.config.agent(name).role,
            seen_at=seen.at if seen else None,
            idle=self._age(seen.at) if seen else None,
            doing=seen.doing if seen else "",
            unread=len(unread),
            waiting=tuple(waiting),
            leases=tuple(lock.scope for lock in locks if lock.holder == name),
            tree=tree,
        )

    def _unread(self, name: str) -> list[_Glance]:
        found = []
        for key in self.coord.records(keys.mailbox(name)):
            stored = self.coord.store.get(key) if not keys.is_read(key) else None
            if stored is not None:
                found.append(_glance(key, name, stored.data))
        return found

    def _locks(self) -> tuple[Lock, ...]:
        found = []
        for key in self.coord.records("locks"):
            stored = self.coord.store.get(key)
            try:
                if stored is not None:
                    found.append(codec.decode_lock(stored.data, key))
            except BadRecord as fault:
                self.needs.append(Need("unreadable", f"{key}: {fault.message}"))
        return leases.live(found, self.now)

    def _held(self, locks: Sequence[Lock]) -> tuple[Held, ...]:
        queue = self._queue() if locks else ()
        return tuple(
            Held(
                scope=lock.scope,
                mode=lock.mode,
                holder=lock.holder,
                token=lock.token,
                granted_at=lock.granted_at,
                expires_at=lock.expires_at,
                left=lock.expires_at - self.now,
                note=lock.note,
                waiters=tuple(ask.holder for ask in queue if self._waits_for(ask, lock)),
            )
            for lock in locks
        )

    def _queue(self) -> tuple[Ask, ...]:
        try:
            return Book.read(self.coord).queue
        except BadRecord:
            return ()

    def _waits_for(self, ask: Ask, lock: Lock) -> bool:
        return any(scope.overlap(wanted, lock.scope, self.coord.form) for wanted in ask.scopes)

    def _queued(self, one: MergeRequest) -> Queued:
        tested = PASSED if has_passed(one) else "not tested yet" if self.coord.config.merge.gate else UNGATED
        held = one.result if one.state == "queued" else ""
        return Queued(
            id=one.id,
            branch=one.branch,
            into=one.into,
            agent=one.agent,
            title=one.title,
            state=one.state,
            priority=one.priority,
            age=self._age(one.requested_at),
            gate=tested,
            held=held,
        )

    def _ledger(self) -> LedgerStatus:
        coord = self.coord
        commit = coord.ledger.tip()
        waiting = _waiting(coord)
        if commit is None:
            return LedgerStatus("", None, None, "", waiting)
        last = next(history.entries(coord.git, until=commit, newest_first=True, limit=1, with_changes=False))
        words = f"{last.kind or 'commit'}: {last.subject}"
        return LedgerStatus(commit, last.at, self._age(last.at), words, waiting)

    def _owner(self, unread: dict[str, list[_Glance]], waiting: Sequence[MergeRequest]) -> None:
        notices = 0
        for glance in unread[mailboxes.OWNER]:
            if glance.ack == "required":
                self._message("ack", glance)
            elif glance.priority in ("high", "urgent") or self._asks(glance):
                self._message("mail", glance)
            else:
                notices += 1
        if notices:
            self.needs.append(Need("mail", f"{notices} notices unread: coord mail read --as owner", mailboxes.OWNER))
        for name, found in unread.items():
            for glance in found:
                if name != mailboxes.OWNER and glance.ack == "required":
                    self._message("ack", glance)
        for one in waiting:
            if one.result.startswith("waits: "):
                self.needs.append(
                    Need("merge", f"{one.branch}: {one.result}", one.agent, one.id, self._age(one.requested_at))
                )
        for key in self.coord.records(keys.DEAD):
            if not key.endswith(".why.md"):
                identifier = keys.id_in(f"{key}.md")
                age = self._age(ids.time_of(identifier)) if identifier else None
                self.needs.append(Need("dead letter", key, id=identifier or "", age=age))

    def _asks(self, glance: _Glance) -> bool:
        message = self._read(glance.key)
        return message is not None and message.kind in ("question", "alert", "task")

    def _message(self, kind: Literal["mail", "ack"], glance: _Glance) -> None:
        what = glance.key
        who = glance.mailbox
        if len(self.needs) < _SHOWN and (message := self._read(glance.key)) is not None:
            what = message.subject
            who = message.sender if kind == "mail" else f"{message.sender} -> {glance.mailbox}"
        self.needs.append(Need(kind, what, who, keys.id_in(glance.key) or "", self._age(glance.at)))

    def _read(self, key: str) -> Message | None:
        stored = self.coord.store.get(key)
        try:
            return codec.decode_message(stored.data, key) if stored else None
        except BadRecord:
            return None

    def _trees(self, listed: Sequence[Worktree], base: str) -> dict[str, Tree]:
        coord = self.coord
        by_path = {tree.path: tree for tree in listed if not tree.prunable}
        found = {name: by_path[path] for name in coord.config.names if (path := coord.worktree_of(name)) in by_path}
        tip = coord.git.peek(coord.place.common, branches.ref(base)) if base else None
        apart = relations(coord.git, tip, {tree.head for tree in found.values()}) if tip else {}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            dirty = dict(zip(found, pool.map(_dirty, (tree.path for tree in found.values())), strict=True))
        return {name: self._tree(tree, apart.get(tree.head), dirty[name]) for name, tree in found.items()}

    def _tree(self, tree: Worktree, apart: Relation | None, dirty: int | None) -> Tree:
        ahead, behind = (apart.ahead, apart.behind) if apart else (None, None)
        return Tree(str(tree.path), tree.branch, ahead, behind, dirty)


def _glance(key: str, mailbox: str, data: bytes) -> _Glance:
    front = _FRONT.match(data)
    facts = {name.lower(): value.lower().decode() for name, value in _FACT.findall(front[1] if front else b"")}
    normal: Priority = "normal"
    priority = next((one for one in _PRIORITIES if one == facts.get(b"priority")), normal)
    return _Glance(key, mailbox, ids.time_of(keys.id_in(key) or ""), priority, facts.get(b"ack", "none"))


def _waiting(coord: Coord) -> int | None:
    """Count the events that are noted and not committed; None while somebody is committing them."""
    if not coord.journal.size():
        return 0
    try:
        with coord.store.exclusive(LEDGER, timeout=_WAIT):
            return len(coord.journal.read(livefolders.EVERYTHING).events)
    except TimedOut:
        return None


def _dirty(path: Path) -> int | None:
    try:
        return len(worktree.dirty(path, alone=False))
    except CoordError:
        return None
