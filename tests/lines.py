"""What the ledger, the journal and the faces promise of one input; see parsers.py."""

import json
import os
from dataclasses import replace
from random import Random
from typing import Any

import mangled

from coord.faces import jsontext, wire
from coord.model import eventline, keys, trailers
from coord.model.errors import Corrupt, Refused, Usage
from coord.model.eventline import Noted
from coord.model.records import Process
from coord.model.untrusted import UNSAFE, clean_line, clean_text
from coord.service import commands
from coord.stores import framing
from coord.stores.base import parts_of

PROCESS = Process(pid=4711, started_at="1702.71", boot="591187be")


# ---- the ledger and the journal ----


def check_commit(text: str) -> None:
    """Check a commit's message, anybody's."""
    parsed = trailers.parse(text)
    if parsed is None:
        return
    assert not UNSAFE.search(parsed.subject)
    try:
        again = trailers.parse(trailers.message(_event_of(parsed)))
    except Usage:
        return  # a name of a fact that only a hand would write
    assert again is not None
    assert (again.kind, again.id, again.agent, again.cause) == (parsed.kind, parsed.id, parsed.agent, parsed.cause)
    assert again.facts == parsed.facts


def _event_of(parsed: trailers.Parsed) -> Any:
    return replace(
        _EVENT,
        kind=parsed.kind,
        id=parsed.id,
        agent=parsed.agent,
        subject=parsed.subject,
        cause=parsed.cause,
        facts=parsed.facts,
    )


_EVENT = mangled.event(Random(1))


def check_event(seed: Any) -> None:
    """Check an event's way into a commit's message and back, or a text's."""
    if isinstance(seed, str):
        assert trailers.parse(seed) is None or "Coord-Event:" in seed
        return
    written = trailers.message(seed)
    parsed = trailers.parse(written)
    assert parsed is not None
    assert (parsed.kind, parsed.id, parsed.agent, parsed.cause) == (seed.kind, seed.id, seed.agent, seed.cause)
    assert parsed.facts == seed.facts
    assert len(written.splitlines()) == written.count("\n") == 5 + len(seed.cause) + len(seed.facts)
    first = written.partition("\n")[0]
    assert len(first) <= trailers.SUBJECT_LIMIT
    assert clean_line(first) == first


def made_line(rng: Random) -> tuple[str, Noted | None]:
    """Make a line of the journal, and what it says if it is whole."""
    event = mangled.event(rng)
    whole = eventline.encode(event, PROCESS)
    line = mangled.mangled(rng, whole.encode()).decode(errors="replace")
    return line, Noted(event, PROCESS) if line == whole else None


def check_line(given: tuple[str, Noted | None] | str) -> None:
    """Check a line of the journal."""
    line, original = (given, None) if isinstance(given, str) else given
    try:
        noted = eventline.decode(line)
    except Corrupt as fault:
        assert original is None, fault
        return
    assert original in (None, noted)
    written = eventline.encode(noted.event, noted.process)
    assert written.isascii()
    assert written.splitlines() == [written]
    assert eventline.decode(written).event.changes == noted.event.changes
    for change in noted.event.changes:
        try:
            parts_of(change.key)
        except Refused:
            continue
        _stays_below_folders(change.key)


def _stays_below_folders(key: str) -> None:
    assert key.split("/", 1)[0] in keys.FOLDERS
    assert os.path.normpath(f"/home/{key}") == f"/home/{key}"


def made_frames(rng: Random) -> tuple[list[str], bytes]:
    """Make some records of the journal, and their bytes, which may be damaged."""
    written = [eventline.encode(mangled.event(rng), PROCESS) for _ in range(rng.randrange(4))]
    whole = b"".join(map(framing.frame, written))
    data = mangled.mangled(rng, whole)
    return written, data


def check_frames(given: tuple[list[str], bytes] | bytes) -> None:
    """Check bytes of the journal."""
    written, data = ([], given) if isinstance(given, bytes) else given
    found = framing.unframe(data, final=True)
    texts = [text for _, text in found.texts]
    assert found.end == len(data)
    if data == b"".join(map(framing.frame, written)):
        assert texts == written
        assert not found.damaged
    elif written:
        assert set(texts) <= set(written)
    early = framing.unframe(data, final=False)
    assert early.texts == found.texts[: len(early.texts)]
    assert early.end <= len(data)


# ---- faces ----

_PARAMS = tuple({param.kind: param for one in commands.every() for param in one.params}.values())


def check_wire(text: str) -> None:
    """Check a text as the value of every kind of parameter."""
    for param in _PARAMS:
        if param.kind == "flag":
            continue
        try:
            value = wire.parse(param, text)
        except Usage as fault:
            assert fault.message.startswith(f"--{wire.option(param)}: ")
        else:
            assert param.kind not in ("text", "prose") or value == text
            assert param.kind != "choice" or value in param.choices
            assert param.kind != "integer" or abs(int(str(value))) < 1 << 62


def made_plain(rng: Random) -> Any:
    """Make plain data."""
    depth = rng.randrange(3)
    value: Any = mangled.text(rng, halves=True)
    for _ in range(depth):
        value = rng.choice(([value, 1, None], {mangled.text(rng): value, "x": 0.5}, (value, True)))
    return value


def check_json(value: Any) -> None:
    """Check plain data on its way into JSON."""
    written = jsontext.dumps(value)
    assert not UNSAFE.search(written)
    assert "\n" not in written
    assert json.loads(written) == json.loads(json.dumps(value))
    assert json.loads(jsontext.dumps(value, indent=2)) == json.loads(written)


def check_clean(text: str) -> None:
    """Check a text on its way to a terminal."""
    line, block = clean_line(text), clean_text(text)
    assert not UNSAFE.search(line)
    assert "\n" not in line
    assert len(line.splitlines()) <= 1
    assert not UNSAFE.search(block)
    assert clean_line(line) == line
    assert len(clean_line(text, 20)) <= 20
