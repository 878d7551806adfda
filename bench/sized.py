"""Repositories with a long history, of coord's own making; made once and kept in .bench-cache/."""

import hashlib
import os
import random
import shutil
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import coord.indexrows
import coord.stores.journal
from bench import ground
from coord.git.ledger import Ledger
from coord.git.repo import Git
from coord.model import codec, ids, keys
from coord.model.records import Change, Event, Message
from coord.service import locks, mail, setup
from coord.service.command import Prose
from coord.service.coord import Coord
from coord.service.measuring import benchground
from coord.service.measuring.benchground import AGENTS

SIZES = (100, 1_000, 10_000, 100_000)
READER = "reader"  # whose mailbox is the same at every size
_CACHE = ground.ROOT / ".bench-cache"
_UNREAD, _READ, _FOR_READER = 1_000, 1_000, 20
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_BATCH = 5_000


@contextmanager
def repository(messages: int) -> Iterator[Path]:
    """Lend a repository in which so many MESSAGES were sent; all but the last 2,000 were read and retired."""
    source = kept(messages)
    with ground.folder() as outer:
        yield Path(shutil.copytree(source, outer / "repository", symlinks=True, copy_function=_copy))


def kept(messages: int) -> Path:
    """Return the kept repository of that size, for reading only."""
    source = Path(__file__).read_bytes() + b"%d %d" % (coord.indexrows.FORMAT, coord.stores.journal.FORMAT)
    place = _CACHE / f"{hashlib.sha256(source).hexdigest()[:12]}-{messages}"
    if not place.exists():
        _CACHE.mkdir(exist_ok=True)
        half = _CACHE / f"half-{messages}"
        for old in _CACHE.glob(f"*-{messages}"):
            shutil.rmtree(old)
        _make(half, messages)
        half.rename(place)
    return place


def _copy(source: str, target: str) -> str:
    """Copy a file; one of git's packs, which nobody ever changes, by a second name for it."""
    if "/objects/pack/" in source:
        os.link(source, target)
        return target
    return str(shutil.copy2(source, target))


def _make(home: Path, messages: int) -> None:
    home.mkdir()
    git = Git(home)
    git.run("init", "--quiet", "--template=")
    ledger, tip = Ledger(git), None
    story = _story(messages)
    while batch := list(islice(story, _BATCH)):
        tip = ledger.append(batch, parent=tip, now=batch[-1].at)
    setup.init(home, agents=(*AGENTS, READER))
    opened = Coord.open(home, who=AGENTS[0])
    for number in range(_FOR_READER):
        mail.send(opened, (READER,), Prose(benchground.text(number)))
    locks.acquire(opened, ("src/a.py",))
    locks.release(opened, ("src/a.py",))
    opened.indexed()
    opened.index.close()
    git.run("repack", "-a", "-d", "--quiet", timeout=3600)


def _story(messages: int) -> Iterator[Event]:
    """Yield what would have happened: every message sent, read a thousand later, retired another thousand later."""
    chance = random.Random(messages)
    unread: deque[tuple[str, str, bytes, str]] = deque()
    read: deque[tuple[str, str, bytes, str]] = deque()
    for number in range(messages):
        at = _BEGIN + timedelta(seconds=20 * number)
        box, sender = AGENTS[number % 13], AGENTS[(number + 5) % 13]
        identifier = ids.ulid(at, chance.randbytes(10))
        body = benchground.text(number)
        subject = " ".join(body.split()[:6])
        message = Message(
            id=identifier, sender=sender, to=(box,), subject=subject, body=body, sent_at=at, thread=identifier
        )
        key, data = keys.message(box, message), codec.encode(message)
        yield _event(chance, at, "mail.sent", sender, f"{sender} -> {box}: {subject}", Change(key, data), id=identifier)
        unread.append((box, key, data, identifier))
        if len(unread) > _UNREAD:
            box, key, data, cause = unread.popleft()
            moved = keys.as_read(key)
            changes = (Change(moved, data), Change(key, None))
            yield _event(chance, at, "mail.read", box, f"{box} <- a message", *changes, cause=cause)
            read.append((box, moved, data, cause))
        if len(read) > _READ:
            box, key, data, cause = read.popleft()
            yield _event(chance, at, "mail.retired", "coord", f"{box}: (read)", Change(key, None), cause=cause)


def _event(
    chance: random.Random,
    at: datetime,
    kind: str,
    agent: str,
    subject: str,
    *changes: Change,
    id: str = "",
    cause: str = "",
) -> Event:
    return Event(
        id=id or ids.ulid(at, chance.randbytes(10)),
        kind=kind,
        agent=agent,
        subject=subject,
        at=at,
        changes=changes,
        cause=(cause,) if cause else (),
    )
