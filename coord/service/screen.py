"""No credential enters the ledger: every event's texts are looked at before its first byte is kept anywhere."""

import dataclasses
from collections.abc import Collection, Iterator
from dataclasses import replace

from coord.model import codec, mailboxes, secrets
from coord.model.errors import BadRecord, HoldsSecret, Refused
from coord.model.records import Event
from coord.model.secrets import Found
from coord.model.shapes import TABLES
from coord.service.committer import Committer

_COORD = "coord"
ALLOWED = "Allowed-Secret"


class Screen:
    """Looks at events as they are made; the owner may say that this once a credential shall pass."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer
        self._owner_allows = False

    def allow(self, who: str) -> None:
        """Let what WHO records from now on carry credentials; each event says so.

        Raises:
            Refused: WHO is not the owner.
        """
        if who != mailboxes.OWNER:
            raise Refused(
                f"{who} may not let a credential pass; only the owner may",
                hint="take it out, and say where it is kept: a path, or the name of an environment variable",
            )
        self._owner_allows = True

    def passed(self, event: Event, allowed: Collection[str]) -> Event:
        """Return EVENT if none of its texts carries a credential, or none but by rules that are ALLOWED.

        What the ledger's tip holds already, because it was let pass, may be moved and spoken of.
        Coord's own words about others' are redacted, never refused: nobody would be there to be told.

        Raises:
            HoldsSecret: one does; names the field, line, column and rule, not the secret.
        """
        if not secrets.suspicious(_bytes(event)):
            return event
        if event.agent == _COORD:
            facts = {name: secrets.redacted(value) for name, value in event.facts.items()}
            event = replace(event, subject=secrets.redacted(event.subject), facts=facts)
        found = [(place, one) for place, one in _found(event) if one.rule not in allowed]
        if found and self._owner_allows:
            rules = ", ".join(sorted({one.rule for _, one in found}))
            return replace(event, facts={**event.facts, ALLOWED: rules})
        for place, one in found:
            if not self._recorded(one):
                raise refusal(place, one)
        return event

    def fault(self, key: str, data: bytes, allowed: Collection[str]) -> HoldsSecret | None:
        """Return why a record's bytes may not enter the ledger, or None."""
        if not self._owner_allows and secrets.suspicious(_plain(data)):
            for place, one in _in_record(key, data):
                if one.rule not in allowed and not self._recorded(one):
                    return refusal(place, one)
        return None

    def _recorded(self, one: Found) -> bool:
        """Tell whether a record in the ledger's tip holds this credential."""
        self._committer.settle()
        tip = self._committer.ledger.tip()
        if tip is None:
            return False
        last = one.text.rstrip().rpartition("\n")[2]  # patterns are single lines
        words = ("grep", "--quiet", "--fixed-strings", "-f", "-", tip)
        return self._committer.git.run(*words, stdin=last.encode() + b"\n", check=False).status == 0


def refusal(place: str, one: Found) -> HoldsSecret:
    """Name a credential's place and rule, and what to do."""
    return HoldsSecret(
        f"{place}, line {one.line}, column {one.column}: this looks like a credential "
        f"({one.rule}: {one.shown}); nothing was recorded, since the ledger keeps what it gets for ever",
        hint="take it out and say where it is kept instead; if others may have seen it, revoke it; "
        "if it is none, the owner can record it with --allow-secret",
        rule=one.rule,
        field=place,
        line=one.line,
        column=one.column,
    )


def _bytes(event: Event) -> bytes:
    data = {change.data for change in event.changes if change.data}
    words = (event.subject, *event.facts.values(), *event.cause, *(change.key for change in event.changes))
    return _plain(b"\n".join((*data, *(word.encode(errors="surrogatepass") for word in words))))


def _plain(data: bytes) -> bytes:
    """Return DATA with UTF-16's zero bytes taken out, so that no encoding hides ASCII."""
    return data if b"\0" not in data else data.replace(b"\0", b"")


def _found(event: Event) -> Iterator[tuple[str, Found]]:
    for data in dict.fromkeys(change.data for change in event.changes if change.data):
        key = next(change.key for change in event.changes if change.data == data)
        yield from _in_record(key, data)
    words = {"subject": event.subject, **{name.lower(): value for name, value in event.facts.items()}}
    words |= {"cause": "\n".join(event.cause), "file name": "\n".join(change.key for change in event.changes)}
    for place, text in words.items():
        yield from ((place, one) for one in secrets.find(text))


def _in_record(key: str, data: bytes) -> Iterator[tuple[str, Found]]:
    """Yield what a record holds, by field; what lies between fields, or in no record, by its place in the file."""
    named = [(place, one) for place, text in _fields(key, data) for one in secrets.find(text)]
    yield from named
    known = {one.text for _, one in named}
    whole = _plain(data).decode(errors="replace")
    yield from (("file", one) for one in secrets.find(whole) if one.text not in known)


def _fields(key: str, data: bytes) -> Iterator[tuple[str, str]]:
    try:
        record = codec.decode(key, data)
    except BadRecord:
        return
    spelled = {column.name: column.key for column in TABLES[type(record)].columns}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        for name, text in value.items() if field.name == "extra" else ((spelled.get(field.name, field.name), value),):
            yield from (
                (name, part) for part in (text if isinstance(text, tuple) else (text,)) if isinstance(part, str)
            )
