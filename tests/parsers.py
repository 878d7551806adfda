"""What every parser promises, each as a check of one input: refused in coord's own words, or read exactly.

A check raises whatever the parser raised, if that is no class of errors.py, or an
AssertionError where something was read, and not as promised.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from typing import Any

import lines
import mangled

from coord.config import checks, flow, reading, writing
from coord.config.schema import Agent, Config
from coord.faces import jsontext
from coord.model import codec, ids, keys, mailboxes, scope, times, trailers
from coord.model.errors import BadRecord, ConfigError, UnknownAgent, Usage
from coord.model.records import Checkpoint, Decision, Lock, MergeRequest, Message, Record
from coord.model.scope import Form
from coord.model.untrusted import UNSAFE
from coord.stores.base import parts_of

AGENTS = ("backend", "frontend", "pm-architect")
CONFIG = Config(agents=tuple(Agent(name=name) for name in AGENTS))
GROUPS = {"web": ("backend", "frontend")}
FORMS = (Form(), Form(fold_case=True, compose=True), Form(is_file=lambda path: path.endswith("d")))
_LONGEST_NAME = 255


@dataclass(frozen=True)
class Parser:
    """A parser under test: how to make an input that has structure, and what must hold of any."""

    made: Callable[[Random], Any]
    check: Callable[[Any], None]
    binary: bool = False


def _stays_below(key: str) -> None:
    parts = parts_of(key)
    assert os.path.normpath(key) == key
    assert ".." not in parts
    assert all(len(os.fsencode(part)) <= _LONGEST_NAME for part in parts)


def key_of(record: Record) -> str:
    """Return where a record that was read would be written."""
    match record:
        case Message():
            return keys.message("frontend", record)
        case Lock():
            return keys.lock(record)
        case Checkpoint():
            return keys.checkpoint(record)
        case Decision():
            return keys.decision(record)
        case MergeRequest():
            return keys.merge_request(record)


# ---- records and hand-written messages ----


def _made_record(rng: Random) -> tuple[str, bytes, Record | None]:
    key = rng.choice(tuple(mangled.MAKERS))
    record = mangled.MAKERS[key](rng)
    whole = codec.encode(record)
    data = mangled.mangled(rng, whole)
    return key, data, record if data == whole else None


def _check_record(given: tuple[str, bytes, Record | None] | bytes) -> None:
    if isinstance(given, bytes):
        for key in mangled.MAKERS:
            _check_record((key, given, None))
        return
    key, data, original = given
    try:
        record = codec.decode(key, data)
    except BadRecord as fault:
        assert original is None, fault
        assert fault.message.startswith(key)
        assert fault.hint
        return
    assert original in (None, record)
    assert codec.decode(key, codec.encode(record)) == _to_the_millisecond(record)
    name = getattr(record, "holder", getattr(record, "agent", "a"))
    if keys.is_agent_name(name):
        _stays_below(key_of(record))
    if identifier := getattr(record, "id", ""):
        assert ids.is_ulid(identifier)
        ids.time_of(identifier)
    json.loads(jsontext.dumps(codec.to_plain(record)))


def _to_the_millisecond(record: Record) -> Record:
    moments = {name: getattr(record, name, None) for name in _MOMENTS}
    cut = {name: at.replace(microsecond=at.microsecond // 1000 * 1000) for name, at in moments.items() if at}
    return replace(record, **cut)


_MOMENTS = ("sent_at", "expires_at", "granted_at", "saved_at", "decided_at", "outcome_at", "requested_at")


def _made_draft(rng: Random) -> bytes:
    whole = codec.encode(mangled.message(rng)) if rng.random() < 0.5 else mangled.text(rng, most=16).encode()
    return mangled.mangled(rng, whole)


def _check_draft(data: bytes) -> None:
    try:
        draft = codec.draft_message(data, "inbox/x.md")
    except BadRecord as fault:
        assert fault.message.startswith("inbox/x.md")
        assert fault.hint
        return
    assert data.decode().endswith(draft.body)
    rest = data.removesuffix(draft.body.encode())
    assert not rest or b"---" in rest or rest == b"\xef\xbb\xbf"


# ---- configuration ----


def _check_config(text: str) -> None:
    try:
        read = reading.parse(text, "x")
    except ConfigError as fault:
        assert fault.message.startswith("x:")
        assert not UNSAFE.search(fault.message)
        return
    for every in (False, True):
        assert reading.parse(writing.render(read, every=every), "x") == read
    assert all(map(keys.is_agent_name, read.names))
    assert set(read.names) >= {name for group in read.groups for name in group.members}


def _check_flow(text: str) -> None:
    try:
        read = flow.from_flow(text, "x").config
    except ConfigError as fault:
        assert fault.message.startswith("x:")
        return
    assert read.names
    assert reading.parse(writing.render(read), "x") == read


def _made_config(samples: tuple[str, ...]) -> Callable[[Random], str]:
    return lambda rng: mangled.mangled(rng, rng.choice(samples).encode()).decode(errors="replace")


# ---- names, scopes, times, ids ----


def _check_name(text: str) -> None:
    spelled = checks.spell_name(text)
    assert keys.is_agent_name(spelled)
    if keys.is_agent_name(text):
        assert spelled == text
        checks.agent_name(text)
        _stays_below(f"{keys.mailbox(text)}/x")
        assert trailers.author(text)[0] == text
    else:
        try:
            checks.agent_name(text)
        except Usage as fault:
            assert fault.hint
        else:
            raise AssertionError(f"{text!r} passed for a name")
    found = mailboxes.reach((text, "backend"), agents=AGENTS, groups=GROUPS, sender="pm-architect")
    assert set(found.mailboxes) <= {*AGENTS, "owner"}
    assert "backend" in found.mailboxes
    assert not found.unknown or found.unknown == (text,)
    assert set(mailboxes.nearest(text, agents=AGENTS, groups=GROUPS)) <= {*AGENTS, "@web", "owner", "all", "auto"}
    try:
        CONFIG.agent(text)
    except UnknownAgent as fault:
        assert not UNSAFE.search(fault.message)


def _check_scope(text: str) -> None:
    for form in FORMS:
        try:
            normal = scope.normalise(text, form)
        except Usage as fault:
            assert fault.hint
            continue
        assert scope.normalise(normal, form) == normal
        assert scope.same(normal, normal, form)
        assert scope.contains(normal, normal, form)
        assert scope.overlap(normal, normal, form)
        named = normal.startswith(("task:", "merge:"))
        assert scope.overlap(normal, "**", form) != named
        parts = normal.split("/")
        assert named or not {"", ".", "..", ".git"} & set(parts)
        assert named or parts[0] not in keys.FOLDERS
        lock = replace(_LOCK, scope=normal)
        key = keys.lock(lock)
        _stays_below(key)
        assert codec.decode(key, codec.encode(lock)) == lock
        if not named and not scope.is_glob(text):
            assert scope.normalise(scope.quote(text), form) == normal


_LOCK = mangled.lock(Random(1))
_LOCK = replace(_LOCK, holder="backend", mode="shared")


def _made_time(rng: Random) -> str:
    if rng.random() < 0.5:
        whole = mangled.moment(rng).isoformat(timespec="milliseconds")
    else:
        whole = times.format_duration(timedelta(milliseconds=rng.randrange(10 ** rng.randrange(1, 13))))
    return mangled.mangled(rng, whole.encode()).decode(errors="replace")


def _check_time(text: str) -> None:
    try:
        at = times.parse_time(text)
    except Usage as fault:
        assert fault.hint
        assert "\n" not in fault.message
    else:
        assert times.parse_time(times.format_time(at)) == at.replace(microsecond=at.microsecond // 1000 * 1000)
    try:
        length = times.parse_duration(text)
    except Usage as fault:
        assert fault.hint
    else:
        assert timedelta(0) <= length <= times.LONGEST
        assert times.parse_duration(times.format_duration(length)) <= length


def _check_id(text: str) -> None:
    key = f"inbox/backend/{text}-x.md"
    if ids.is_ulid(text):
        at = ids.time_of(text)
        assert keys.id_in(key) == text
        entropy = sum(ids.ALPHABET.index(one) << 5 * place for place, one in enumerate(text[:9:-1]))
        assert at.year == 9999 or ids.ulid(at, entropy.to_bytes(10, "big")) == text
    elif (found := keys.id_in(key)) is not None:
        assert ids.is_ulid(found)
    slug = ids.slug(text)
    assert 0 < len(slug) <= 40
    assert set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    _stays_below(f"inbox/backend/{keys.file_name(ids.ALPHABET[:26], text)}")


def _made_id(rng: Random) -> str:
    return mangled.mangled(rng, mangled.ulid(rng).encode()).decode(errors="replace")


PARSERS: Mapping[str, Parser] = {
    "record": Parser(_made_record, _check_record, binary=True),
    "draft": Parser(_made_draft, _check_draft, binary=True),
    "config": Parser(_made_config(mangled.CONFIGS), _check_config),
    "flow": Parser(_made_config(mangled.FLOWS), _check_flow),
    "name": Parser(lambda rng: rng.choice((rng.choice(mangled.NAMES), mangled.text(rng, most=3))), _check_name),
    "scope": Parser(mangled.text, _check_scope),
    "time": Parser(_made_time, _check_time),
    "id": Parser(_made_id, _check_id),
    "commit": Parser(mangled.commit_message, lines.check_commit),
    "event": Parser(mangled.event, lines.check_event),
    "eventline": Parser(lines.made_line, lines.check_line),
    "framing": Parser(lines.made_frames, lines.check_frames, binary=True),
    "wire": Parser(lambda rng: mangled.text(rng, most=4), lines.check_wire),
    "json": Parser(lines.made_plain, lines.check_json),
    "clean": Parser(lambda rng: mangled.text(rng, halves=True, most=12), lines.check_clean),
}
