"""Sessions of coding assistants: which client, as which agent, where, since when, doing what.

One small file each in coord's private folder, for its owner's eyes alone. It is evidence and
memory, not a record: losing it loses no mail and no lease, at worst something is told twice.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import psutil

from coord.model.records import Process
from coord.model.regex import regex
from coord.model.values import frozen
from coord.service.command import command
from coord.service.coord import Coord
from coord.stores import durable, folders, oslock

FOLDER = "sessions"
WAITER = ".waiter"
State = Literal["active", "idle", "limited", "ended"]
_KEPT = timedelta(days=7)
_PLAIN = regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
_LARGEST = 1 << 20
_FAR = 8
_SHELLS = frozenset(("sh", "bash", "dash", "zsh", "fish", "ksh", "env", "timeout"))


@frozen(kw_only=True)
class Wake:
    """A wake-up: which way, for which messages, and since when there was something to wake for.

    `seen_at` is when a hook told that the session goes on because of it; None while nothing has.
    """

    way: str
    ids: tuple[str, ...]
    since: datetime
    at: datetime
    tries: int = 1
    seen_at: datetime | None = None


@frozen(kw_only=True)
class Session:
    """One session as it was last heard of; `why` says what limits it, `process` is the client's own.

    `store` is where its client keeps its sessions, if not where it does by itself. `socket` and `pane` say
    where in tmux it was begun. `wake` is its latest
    wake-up, whether or not that was seen to work.
    """

    client: str
    id: str
    since: datetime
    seen_at: datetime
    agent: str = ""
    version: str = ""
    worktree: str = ""
    doing: str = ""
    state: State = "active"
    why: str = ""
    process: Process | None = None
    store: str = ""
    socket: str = ""
    pane: str = ""
    wake: Wake | None = None


@dataclass(slots=True, kw_only=True)
class Memory:
    """What coord told a session and must not tell again, and what it may want when it saves a checkpoint by itself."""

    handed: list[str] = field(default_factory=list)  # ids of messages
    pressing: list[str] = field(default_factory=list)  # ids of messages that the last stop was held up for
    held_up: int = 0
    in_a_row: int = 0
    introduced: bool = False
    worked: bool = False
    said: str = ""
    saved_at: float = 0.0
    looked: dict[str, str] = field(default_factory=dict)  # leased files that were changed already: how they looked
    crossed: list[str] = field(default_factory=list)  # what a holder was told of


@dataclass(slots=True)
class Kept:
    """A session and its memory while somebody works on them; what is changed in them is kept on leaving."""

    session: Session
    memory: Memory


@frozen
class Sessions:
    """Sessions, the one heard of last first."""

    items: tuple[Session, ...]


@command("session list", example="coord session list")
def list_(
    coord: Coord,
    *,
    all: Annotated[bool, "also those that ended"] = False,
    agent: Annotated[str, "only this agent's"] = "",
) -> Sessions:
    """List the sessions of coding assistants whose hooks call coord, the one heard of last first.

    One whose process is gone has ended, whether or not it said so.
    """
    wanted = coord.known(agent) if agent else ""
    found = (one for one in _all(coord) if wanted in ("", one.agent) and (all or one.state != "ended"))
    return Sessions(tuple(sorted(found, key=lambda one: one.seen_at, reverse=True)))


def find(coord: Coord, client: str, id: str) -> Session | None:
    """Return a session by the client's own name for it."""
    kept = _read(_path(coord, client, id)) if id else None
    return kept.session if kept else None


def going_on(coord: Coord) -> list[Session]:
    """Return the sessions that are known to go on, the one heard of last first.

    One whose file others can read counts as none: they could have written it.
    """
    found = []
    for path in _files(coord):
        session = kept.session if _is_private(path) and (kept := _read(path)) else None
        if session and session.state != "ended" and session.process and oslock.is_alive(session.process):
            found.append(session)
    return sorted(found, key=lambda one: one.seen_at, reverse=True)


def agent_in(coord: Coord, tree: Path) -> str:
    """Return the agent whose session was heard of last in a worktree, "" where none was."""
    found = (kept.session for path in _files(coord) if _is_private(path) and (kept := _read(path)))
    there = sorted((one for one in found if one.agent and one.worktree == str(tree)), key=lambda one: one.seen_at)
    return there[-1].agent if there else ""


def every(coord: Coord, client: str) -> Iterator[Kept]:
    """Yield the sessions of a client as they are kept."""
    for path in _files(coord):
        if path.name.startswith(f"{client}-") and (found := _read(path)):
            yield found


@contextmanager
def opened(coord: Coord, client: str, id: str, *, timeout: float) -> Iterator[Kept]:
    """Have a session, a new one where it is not known, alone among all processes, and keep it on leaving.

    Raises:
        TimedOut: another hook of the session took longer than TIMEOUT seconds.
        Unavailable: it cannot be kept; raised on leaving.
    """
    path = _path(coord, client, id)
    with oslock.hold(path.with_suffix(".lock"), timeout=timeout, name=f"session {path.stem}"):
        now = coord.now()
        kept = _read(path) or Kept(Session(client=client, id=id, since=now, seen_at=now), Memory())
        yield kept
        _write(path, kept)


def waiter_file(coord: Coord, session: Session) -> Path:
    """Return the file that names the process which waits to wake a session."""
    return _path(coord, session.client, session.id).with_suffix(WAITER)


def is_there(session: Session) -> bool:
    """Tell whether a session's client is known, and not proven dead."""
    return session.process is not None and oslock.is_alive(session.process) is not False


def client_process(parent: int) -> Process | None:
    """Return the client's own process: the first above the hook that is no shell."""
    for pid in ancestors(parent):
        if _name(pid) not in _SHELLS:
            return oslock.process_of(pid)
    return None


def ancestors(pid: int) -> Iterator[int]:
    """Yield the process PID and those above it, as far as it makes sense."""
    for _ in range(_FAR):
        if pid <= 1:
            return
        yield pid
        try:
            pid = psutil.Process(pid).ppid()
        except psutil.Error:
            return


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return ""


def sweep(coord: Coord) -> None:
    """Forget what nobody has heard of for a week."""
    for path in _files(coord):
        with suppress(OSError):
            if coord.now().timestamp() - path.stat().st_mtime > _KEPT.total_seconds():
                path.unlink()
                for beside in (".lock", WAITER):
                    path.with_suffix(beside).unlink(missing_ok=True)


def _all(coord: Coord) -> Iterator[Session]:
    for path in _files(coord):
        kept = _read(path)
        if kept is not None:
            gone = kept.session.process is not None and oslock.is_alive(kept.session.process) is False
            yield replace(kept.session, state="ended") if gone else kept.session


def _files(coord: Coord) -> list[Path]:
    try:
        return sorted(path for path in (coord.private / FOLDER).iterdir() if path.suffix == ".json")
    except OSError:
        return []


def _is_private(path: Path) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False
    return found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _path(coord: Coord, client: str, id: str) -> Path:
    """Return a session's file: its id is the client's word, and no path unless it is plain."""
    digest = hashlib.sha256(id.encode("utf-8", "surrogatepass")).hexdigest()[:40]
    return coord.private / FOLDER / f"{client}-{id if _PLAIN.fullmatch(id) else f'~{digest}'}.json"


def _read(path: Path) -> Kept | None:
    """Read a session; one that is damaged is none, since it can be told all anew."""
    try:
        plain = json.loads(folders.regular(path, _LARGEST))
        told, memory = plain["session"], Memory(**plain["memory"])
        process = Process(**told.pop("process")) if told.get("process") else None
        wake = _wake(told.pop("wake")) if told.get("wake") else None
        since, seen_at = (datetime.fromisoformat(told.pop(name)) for name in ("since", "seen_at"))
        session = Session(**{**told, "process": process, "wake": wake}, since=since, seen_at=seen_at)
        hash((session, since - seen_at))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    sound = session.state in get_args(State) and all(
        isinstance(getattr(memory, name), type(default)) for name, default in asdict(Memory()).items()
    )
    return Kept(session, memory) if sound else None


def _wake(told: dict[str, Any]) -> Wake:
    moments = {name: datetime.fromisoformat(told.pop(name)) for name in ("since", "at", "seen_at") if told.get(name)}
    wake = Wake(**{**told, "ids": tuple(told["ids"]), **moments})
    hash((wake, wake.at - wake.since, wake.tries + 1))
    return wake


def _write(path: Path, kept: Kept) -> None:
    plain = {"session": asdict(kept.session), "memory": asdict(kept.memory)}
    with durable.faults(f"keep {path}"):
        durable.replace(path, json.dumps(plain, default=datetime.isoformat).encode(), mode=0o600, sync=False)
