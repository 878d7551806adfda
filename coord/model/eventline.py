"""Event <-> one line of JSON, with the process that wrote it.

Format 1, one object:
    v         1
    id kind agent subject at cause facts    as in Event; `at` is ISO 8601 in UTC
    process   [pid, start time, boot], how records.Process names its writer
    changes   a list of {"k": key} with one of
                "t"  the new content, when it is UTF-8 text
                "b"  the new content in base64, when it is not
                "s"  the position in this list of a change with the same content
                "d"  true: the key is removed
A line is ASCII and holds no line break. It carries moments to the millisecond.
"""

import base64
import json
from collections.abc import Sequence

from coord.model.errors import Corrupt, Usage
from coord.model.records import Change, Event, Process
from coord.model.times import format_time, parse_time
from coord.model.values import frozen

FORMAT = 1


@frozen
class Noted:
    """An event as its writer noted it; DONE says that all its changes are known to be visible."""

    event: Event
    process: Process
    done: bool = False


def encode(event: Event, process: Process) -> str:
    """Return the line that says EVENT happened and PROCESS is carrying it out."""
    return json.dumps(
        {
            "v": FORMAT,
            "id": event.id,
            "kind": event.kind,
            "agent": event.agent,
            "subject": event.subject,
            "at": format_time(event.at),
            "process": [process.pid, process.started_at, process.boot],
            "cause": event.cause,
            "facts": dict(event.facts),
            "changes": _changes(event.changes),
        },
        separators=(",", ":"),
    )


def decode(line: str) -> Noted:
    """Read a line that `encode` wrote.

    Raises:
        Corrupt: it is no such line, or one of a later format.
    """
    try:
        fields = json.loads(line)
        if fields["v"] != FORMAT:
            raise Corrupt(
                f"an event noted in format {fields['v']!r}, this version reads {FORMAT}",
                hint="use the version of coord that wrote it, or a later one",
            )
        pid, started_at, boot = fields["process"]
        event = Event(
            id=_text(fields["id"]),
            kind=_text(fields["kind"]),
            agent=_text(fields["agent"]),
            subject=_text(fields["subject"]),
            at=parse_time(_text(fields["at"])),
            changes=_read_changes(fields["changes"]),
            cause=tuple(map(_text, fields["cause"])),
            facts={_text(name): _text(value) for name, value in fields["facts"].items()},
        )
        return Noted(event, Process(pid=_number(pid), started_at=_text(started_at), boot=_text(boot)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, Usage) as error:
        raise Corrupt(f"{line[:80]!r} is no note of an event: {error!r}") from error


def _changes(changes: Sequence[Change]) -> list[dict[str, object]]:
    seen: dict[bytes, int] = {}
    lines: list[dict[str, object]] = []
    for position, change in enumerate(changes):
        line: dict[str, object] = {"k": change.key}
        if change.data is None:
            line["d"] = True
        elif change.data in seen:
            line["s"] = seen[change.data]
        else:
            seen[change.data] = position
            try:
                line["t"] = change.data.decode()
            except UnicodeDecodeError:
                line["b"] = base64.b64encode(change.data).decode()
        lines.append(line)
    return lines


def _read_changes(lines: Sequence[dict[str, object]]) -> tuple[Change, ...]:
    changes: list[Change] = []
    for line in lines:
        match line:
            case {"k": str(key), "t": str(text)}:
                changes.append(Change(key, text.encode()))
            case {"k": str(key), "b": str(packed)}:
                changes.append(Change(key, base64.b64decode(packed, validate=True)))
            case {"k": str(key), "s": int(position)} if 0 <= position < len(changes):
                changes.append(Change(key, changes[position].data))
            case {"k": str(key), "d": True}:
                changes.append(Change(key, None))
            case _:
                raise ValueError(f"no change: {line!r:.80}")
    return tuple(changes)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"no text: {value!r:.80}")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"no number: {value!r:.80}")
    return value
