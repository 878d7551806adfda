"""Inputs for parsers from a seed: whole records and texts, and the same with a few bytes gone wrong.

Plain functions of a `Random`, since they are called millions of times.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from coord.model import ids, trailers
from coord.model.records import (
    Change,
    Checkpoint,
    Decision,
    Event,
    Lock,
    MergeRequest,
    Message,
    Process,
    Record,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SCRAPS = (
    *("---", "---\n", "\n", "\r\n", "\r", "\t", " ", "", ":", ": ", "- ", "#", ",", "[", "]", "{", "}", '"', "'", "\\"),
    *("|", ">", "&a ", "*a", "!!str ", "%", "@", "~", "null", "no", "1.10", "12:30:45", "..", "../", "/", "//", ".git"),
    *("*", "**", "?", "[a-z]", "[!", "\\*", "format: 1\n", "format: 2\n", "id: ", "from: ", "to: ", "subject: "),
    *("agents:", "\n  ", "backend", "{name}", "30m", "1h", "2026-11-22T12:03:11Z", "+01:00", "Coord-Event: ", "\n\n"),
    *(
        "\0",
        "\x07",
        "\x1b[31m",
        "\x85",
        "\u2028",
        "\u202e",
        "\u200b",
        "\ufeff",
        "é",
        "e\u0301",
        "中",
        "\U0001f600",
        "ß",
    ),
    *("İ", "01KAJ3X5ZC9Q0V7T2D4M8N6P1R", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "con", "all", "@web", "owner", "-", "--", "%2F"),
    *('{"v":1', '"t"', "true", "1e999", "9" * 20, "task:", "merge:", "locks", "inbox/", "~1", "nan", "-1", "٣"),
)
HALVES = ("\ud800", "\udc80", "\udfff")
NAMES = ("backend", "frontend", "a", "x-1", "0--0", "owner", "pm-architect", "a" * 32)


def text(rng: Random, *, halves: bool = False, most: int = 8) -> str:
    """Return some scraps in a row; HALVES admits lone surrogates."""
    pieces = [rng.choice(SCRAPS) for _ in range(rng.randrange(most))]
    if rng.random() < 0.3:
        pieces.append("".join(chr(rng.randrange(32, 127)) for _ in range(rng.randrange(12))))
    if rng.random() < 0.1:
        pieces.append(chr(rng.choice((rng.randrange(0xD800), rng.randrange(0xE000, 0x110000)))))
    if halves and rng.random() < 0.1:
        pieces.append(rng.choice(HALVES))
    return "".join(pieces)


def mangled(rng: Random, data: bytes) -> bytes:
    """Return DATA with up to three edits: bytes lost, added, changed, repeated, lines swapped, or the end cut off."""
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(data) + 1)
        end = min(at + rng.choice((1, 1, 2, 8, 64)), len(data))
        match rng.randrange(6):
            case 0:
                data = data[:at] + data[end:]
            case 1:
                data = data[:at] + rng.choice(SCRAPS).encode() + data[at:]
            case 2:
                data = data[:at] + rng.randbytes(rng.randrange(4)) + data[end:]
            case 3:
                data = data[:end] + data[at:end] * rng.choice((1, 2, 40)) + data[end:]
            case 4:
                lines = data.split(b"\n")
                rng.shuffle(lines)
                data = b"\n".join(lines)
            case _:
                data = data[:at]
    return data


def ulid(rng: Random) -> str:
    """Return an id of any moment that an id can say."""
    first = rng.choice("01234567") if rng.random() < 0.1 else "0"
    return first + "".join(rng.choices(ids.ALPHABET, k=ids.LENGTH - 1))


def moment(rng: Random) -> datetime:
    """Return a moment to the millisecond, between the years 1 and 9999."""
    return EPOCH + timedelta(milliseconds=rng.randrange(-62_000_000_000_000, 253_000_000_000_000))


def _plain(rng: Random) -> str:
    """Return a text that a record can hold."""
    return text(rng).replace("\0", "")


def _many(rng: Random) -> tuple[str, ...]:
    return tuple(_plain(rng) for _ in range(rng.randrange(3)))


def _later(rng: Random) -> datetime | None:
    return moment(rng) if rng.random() < 0.3 else None


def _extra(rng: Random) -> dict[str, str | tuple[str, ...]]:
    return {"mood": _plain(rng), "seen": _many(rng)} if rng.random() < 0.2 else {}


def message(rng: Random) -> Message:
    """Return any message."""
    return Message(
        id=ulid(rng),
        sender=_plain(rng) or "x",
        to=_many(rng),
        subject=_plain(rng),
        body=_plain(rng),
        sent_at=moment(rng),
        kind=rng.choice(("note", "question", "merge")),
        priority=rng.choice(("normal", "urgent")),
        ack=rng.choice(("none", "required")),
        thread=_plain(rng),
        expires_at=_later(rng),
        refs=_many(rng),
        cause=_many(rng),
        extra=_extra(rng),
    )


def lock(rng: Random) -> Lock:
    """Return any lease."""
    process = Process(pid=rng.randrange(1 << 40), started_at=_plain(rng), boot=_plain(rng))
    return Lock(
        scope=_plain(rng) or "docs",
        holder=rng.choice(NAMES),
        token=rng.randrange(10**18),
        granted_at=moment(rng),
        expires_at=moment(rng),
        mode=rng.choice(("exclusive", "shared")),
        process=process if rng.random() < 0.3 else None,
        note=_plain(rng),
        extra=_extra(rng),
    )


def checkpoint(rng: Random) -> Checkpoint:
    """Return any checkpoint."""
    return Checkpoint(
        id=ulid(rng),
        agent=rng.choice(NAMES),
        saved_at=moment(rng),
        title=_plain(rng),
        body=_plain(rng),
        next=_many(rng),
        branch=_plain(rng),
        dirty=_many(rng),
        locks=_many(rng),
        extra=_extra(rng),
    )


def decision(rng: Random) -> Decision:
    """Return any decision."""
    return Decision(
        id=ulid(rng),
        made_by=_plain(rng),
        decided_at=moment(rng),
        about=_plain(rng),
        choice=_plain(rng),
        body=_plain(rng),
        confidence=rng.choice((None, 0.0, 0.8, -1e300, 5e-324)),
        outcome=_plain(rng),
        outcome_at=_later(rng),
        extra=_extra(rng),
    )


def merge_request(rng: Random) -> MergeRequest:
    """Return any merge request."""
    return MergeRequest(
        id=ulid(rng),
        branch=_plain(rng),
        into=_plain(rng),
        head=_plain(rng),
        agent=rng.choice(NAMES),
        requested_at=moment(rng),
        title=_plain(rng),
        state=rng.choice(("queued", "landed")),
        gate=_plain(rng),
        body=_plain(rng),
        extra=_extra(rng),
    )


MAKERS: Mapping[str, Callable[[Random], Record]] = {
    "inbox/frontend/x.md": message,
    "locks/x.yaml": lock,
    "checkpoints/backend/x.md": checkpoint,
    "checkpoints/decisions/x.md": decision,
    "inbox/merges/x.md": merge_request,
}


def event(rng: Random) -> Event:
    """Return any event, lone surrogates and bytes that are no text included."""
    contents: tuple[Any, ...] = (None, b"", b"same", text(rng).encode(), rng.randbytes(rng.randrange(9)))
    changes = tuple(Change(text(rng, halves=True), rng.choice(contents)) for _ in range(rng.randrange(4)))
    names = [name for name in ("Token", "Why", "X-1") if rng.random() < 0.4]
    return Event(
        id=rng.choice((ulid(rng), text(rng, halves=True))),
        kind=rng.choice(("mail.sent", "lease.granted", text(rng, halves=True))),
        agent=rng.choice((*NAMES, text(rng, halves=True))),
        subject=text(rng, halves=True),
        at=moment(rng),
        changes=changes,
        cause=tuple(text(rng, halves=True) for _ in range(rng.randrange(3))),
        facts={name: text(rng, halves=True) for name in names},
    )


def commit_message(rng: Random) -> str:
    """Return a commit's message: coord's own, damaged, or anybody's."""
    whole = trailers.message(event(rng))
    return mangled(rng, whole.encode(errors="replace")).decode(errors="replace") if rng.random() < 0.8 else text(rng)


CONFIGS = (
    "format: 1\nagents:\n  backend: {role: Backend Developer, domain: [apps_script/**, '*.js']}\n  frontend:\n"
    "coordinator: backend\ngroups:\n  web: [backend, frontend]\nleases: {ttl: 10m, max: 1h}\n",
    "agents: [a, b, c]\nmail:\n  read_retention: 2d\n  unread_age: {urgent: 5m}\nmerge:\n  into: main\n  test: make -k\n",
    "worktrees:\n  path: ../w-{name}\n  branch: agent/{name}\nwatch:\n  scan_every: 1s\ncheckpoints:\n  keep: 3\n",
)
FLOWS = (
    "swarm: {topology: hierarchical, max_agents: 3}\nqueen: {name: PM Architect, capabilities: [plan]}\n"
    "workers:\n- name: Back_End\n  role: Backend\n  domain: [src/**]\n- name: back-end\n- all\n"
    "file_locking: {timeout: 30m, backend: x}\n",
    "workers: [{name: [a, b]}, [c], {name: d, role: [e]}]\nqueen: {role: f}\n",
    "swarm:\n  queen: a\n  workers: [b, c, b]\nfile_locking:\n  timeout: 9h\n",
)
