"""Faults to plant in the product, by name, so that a checker is seen to find them."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from coord import index, indexrows
from coord.config import checks, flow
from coord.daemon.rules import sweep
from coord.faces import jsontext, wire
from coord.model import (
    codec,
    eventline,
    frontmatter,
    ids,
    keys,
    leases,
    mailboxes,
    scope,
    shapes,
    times,
    trailers,
    untrusted,
)
from coord.model.errors import Corrupt
from coord.model.records import Change, Lock
from coord.service import checkpoints, decisions, mail
from coord.service.byhand import adopt
from coord.service.committer import Committer
from coord.service.leasebook import Book
from coord.stores import files, folders, framing


@dataclass(frozen=True)
class Mutant:
    """A fault: OWNER's attribute is replaced by what MADE makes of it; WHERE says whose checker must find it."""

    name: str
    where: str
    owner: Any
    attribute: str
    made: Callable[[Any], Any]

    def plant(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put the fault into this process."""
        monkeypatch.setattr(self.owner, self.attribute, self.made(getattr(self.owner, self.attribute)))


def _trimmed(split: Callable[[str], frontmatter.Parts]) -> Callable[[str], frontmatter.Parts]:
    def split_and_trim(text: str) -> frontmatter.Parts:
        parts = split(text)
        return parts._replace(body=parts.body.rstrip())

    return split_and_trim


def _lossy(_changes: object) -> Callable[[Sequence[Change]], list[dict[str, object]]]:
    def lossy(changes: Sequence[Change]) -> list[dict[str, object]]:
        return [
            {"k": one.key, "d": True} if one.data is None else {"k": one.key, "t": one.data.decode(errors="replace")}
            for one in changes
        ]

    return lossy


def _dotted(_lock: object) -> Callable[[Lock], str]:
    return lambda record: f"locks/{quote(record.scope, safe='')[:150]}.yaml"


def _by_float(_time_of: object) -> Callable[[str], datetime]:
    def time_of(identifier: str) -> datetime:
        value = 0
        for character in identifier[:10]:
            value = value << 5 | ids.ALPHABET.index(character)
        return datetime.fromtimestamp(value / 1000, UTC)

    return time_of


def _pattern(text: str) -> Callable[[object], re.Pattern[str]]:
    return lambda _old: re.compile(text)


def _same(_old: object) -> Callable[..., Any]:
    return lambda value, *_rest: value


PARSERS: tuple[Mutant, ...] = (
    Mutant("a body loses its end", "record", codec, "split", _trimmed),
    Mutant("an id is any text", "record", codec, "path_fault", lambda _: lambda _column, _value: ""),
    Mutant("a whole number is any text", "record", shapes, "_WHOLE", _pattern(".{1,30}")),
    Mutant("half characters are replaced", "draft", codec, "decoded", lambda _: lambda d: d.decode(errors="replace")),
    Mutant("any name will do", "config", checks, "agent_name", lambda _: lambda _text: None),
    Mutant("a list passes for a text", "flow", flow, "plain", lambda _: lambda node: node.text.strip()),
    Mutant("a name is a prefix of one", "name", keys, "_NAME", lambda _: re.compile("[a-z0-9].*")),
    Mutant("dots climb out", "scope", scope, "_climb", lambda _: lambda parts, _text: parts.append("..")),
    Mutant("a lease hides behind a dot", "scope", keys, "lock", _dotted),
    Mutant("slashes stay", "scope", keys, "quote", lambda _: lambda text, **_safe: quote(text)),
    Mutant("an empty unit is read for ever", "time", times, "_PART", _pattern("(?=(.))(?=(.))")),
    Mutant(
        "milliseconds are lost", "time", times, "format_time", lambda old: lambda at: old(at.replace(microsecond=0))
    ),
    Mutant("an id beyond all dates", "id", ids, "time_of", _by_float),
    Mutant("a slug of nothing is empty", "id", ids, "slug", lambda old: lambda t, limit=40: old(t, limit)[:-8]),
    Mutant("escapes are read as they are", "commit", trailers, "_unescaped", _same),
    Mutant("trailers are not escaped", "event", trailers, "_escaped", _same),
    Mutant("what is no text is replaced", "eventline", eventline, "_changes", _lossy),
    Mutant("a line is not summed", "framing", framing, "_text_of", lambda _: lambda line: line[9:].decode("latin-1")),
    Mutant("a choice is any word", "wire", wire, "_choice", lambda _: lambda _param, text: text),
    Mutant("a number has no end", "wire", wire, "_READERS", lambda old: {**old, "integer": int}),
    Mutant("escapes reach the terminal", "json", jsontext, "UNSAFE", _pattern("(?!)")),
    Mutant("text is shown as it is", "clean", untrusted, "_bare", _same),
)


def _consumed_by_reading(old: Callable[..., None]) -> Callable[..., None]:
    return lambda coord, name, item, kind: None if kind == "mail.read" else old(coord, name, item, kind)


def _to_himself(old: Callable[..., Any]) -> Callable[..., Any]:
    return lambda addresses, **rest: old(addresses, **{**rest, "sender": ""})


def _shortened(old: Callable[..., Lock]) -> Callable[..., Lock]:
    return lambda *given, ttl, now, **rest: replace(old(*given, ttl=ttl, now=now, **rest), expires_at=now + ttl)


def _to_its_folder(old: Callable[..., Any]) -> Callable[..., Any]:
    return lambda coord, draft, mailbox, *rest: replace(old(coord, draft, mailbox, *rest), to=(mailbox,))


def _twice(old: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *given: [(key, replace(one, superseded_by="")) for key, one in old(*given)]


def _met(one: Any, other: Any) -> bool:
    return bool(one.holder != other.holder and one.mode == other.mode == "exclusive")


# WHERE says which acts the plays that must find the fault are full of.
SERVICE: tuple[Mutant, ...] = (
    Mutant("reading leaves mail unread", "send read", mail, "_move", _consumed_by_reading),
    Mutant("`all` reaches its sender", "send", mailboxes, "reach", _to_himself),
    Mutant("a key is forgotten", "keyed", mail, "_keyed", lambda _: lambda *_given: None),
    Mutant("what a hand addressed stays in its folder", "drop list", adopt, "_completed", _to_its_folder),
    Mutant("who shares does not mind who holds", "acquire", leases, "_conflict", lambda _: _met),
    Mutant("renewing shortens", "acquire renew", leases, "renew", _shortened),
    Mutant("tokens begin again", "acquire release forget", index.Index, "max_token", lambda _: lambda _self: 0),
    Mutant("tokens of several are not read", "acquire release forget", indexrows, "_TOKEN", _pattern("(?!)")),
    Mutant("only equal scopes meet", "acquire", leases, "overlap", lambda _: lambda one, other, _form: one == other),
    Mutant("noted work is not finished", "killed", Committer, "_finish", lambda _: lambda _self, _unfinished: []),
    Mutant("commits are not looked for", "send killed", Committer, "_held", lambda _: lambda *_given: set()),
    Mutant("checkpoints pile up", "save", checkpoints, "_keys", lambda old: lambda *given: old(*given)[1:]),
    Mutant("a decision is superseded twice", "decide", decisions, "rulings", _twice),
    Mutant(
        "the owner is not told", "send wait watch", sweep, "level_of", lambda old: lambda *given: min(old(*given), 1)
    ),
    Mutant("read mail stays for ever", "send read wait watch", sweep, "_retire", lambda _: lambda _view: []),
    Mutant("leases expire unheard", "acquire wait watch", Book, "_tell", lambda _: lambda *_given: ()),
)


def _following(flags: int) -> int:
    return flags & ~os.O_NOFOLLOW


def _looked_at_first(_enter: object) -> Callable[..., int]:
    def enter(home: Path, parts: Sequence[str], made: list[Sequence[str]] | None = None) -> int:
        path = home.joinpath(*parts)
        if path.is_symlink():
            raise Corrupt(f"{path} is a link")
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    return enter


LINKS: tuple[Mutant, ...] = (
    Mutant("links to folders are followed", "links", folders, "_FOLDER", _following),
    Mutant("links to files are followed", "links", folders, "_READ", _following),
    Mutant("a folder is looked at and then opened", "race", folders, "enter", _looked_at_first),
)

HOSTILE: tuple[Mutant, ...] = (
    Mutant("texts are shown as they are", "bodies", untrusted, "_bare", _same),
    Mutant("trailers are not escaped", "bodies", trailers, "_escaped", _same),
    Mutant("JSON is written as it is", "bodies", jsontext, "UNSAFE", _pattern("(?!)")),
    Mutant("keys may climb", "paths", files, "parts_of", lambda _: lambda key: key.split("/")),
)
