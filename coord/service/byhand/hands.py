"""What hands did in the files, read from what they left and told as events."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from coord.git import history
from coord.model import codec, keys
from coord.model.errors import BadRecord, HoldsSecret
from coord.model.records import Change, Checkpoint, Decision, Event, Lock, MergeRequest, Message, Record
from coord.service import delivery
from coord.service.coord import Coord
from coord.service.looks import Drift


class Hands:
    """Reads what hands did from what they left."""

    def __init__(self, coord: Coord, found: Sequence[Drift]) -> None:
        self.coord = coord
        gone = {one.key: one.ledger for one in found if one.what == "only in ledger"}
        self.gone = {key: data for data, key in zip(history.blobs(coord.git, gone.values()), gone, strict=True)}
        self.edited = set[str]()
        self.fresh: dict[str, bytes] = {}
        for one in found:
            stored = coord.store.get(one.key) if one.what in ("only in files", "differs") else None
            if stored is not None and coord.blob_id(stored.data) == one.file:
                self.fresh[one.key] = stored.data
                if one.what == "differs":
                    self.edited.add(one.key)

    def events(self) -> Iterator[Event]:
        """Yield one event for each thing that was done; what may not enter the ledger hides no other."""
        for key, data in self.gone.items():
            with suppress(HoldsSecret):
                yield self._moved(key, data) if _is_mail(key) else self._event("removed", key, data, Change(key, None))
        for key, data in self.fresh.items():
            what = "edited" if key in self.edited else "restored"
            with suppress(HoldsSecret):
                yield self._event(what, key, data, Change(key, data))

    def _moved(self, key: str, data: bytes) -> Event:
        """A message that left its place: read, put elsewhere or thrown away, by whoever's mailbox it was in."""
        mailbox = _box(key)
        changes = [Change(key, None)]
        what, target = "removed", self._new_place(key)
        if target:
            read = keys.is_read(target) and not keys.is_read(key) and _box(target) == mailbox
            what = "acked" if read else "moved"
            if target in self.fresh:
                changes.insert(0, Change(target, self.fresh.pop(target)))
        record = readable(key, data)
        about = f"{record.sender}: {record.subject}" if isinstance(record, Message) else key
        return self.coord.event(
            f"mail.{what}",
            f"{mailbox} <- {about}",
            changes,
            agent=self._known(mailbox),
            cause=[keys.id_in(key) or ""],
        )

    def _new_place(self, key: str) -> str:
        """Return where the message is now: in `read/`, elsewhere in its mailbox, in another one, or ""."""
        read = keys.as_read(key)
        if not keys.is_read(key) and self.coord.store.get(read) is not None:
            return read
        appeared = [place for place in self.fresh if place not in self.edited and _is_mail(place)]
        same = [place for place in appeared if keys.id_in(place) == keys.id_in(key)]
        return min(same, key=lambda place: (_box(place) != _box(key), not keys.is_read(place)), default="")

    def _event(self, what: str, key: str, data: bytes, change: Change) -> Event:
        record = readable(key, data)
        author, subject = _about(key, record)
        return self.coord.event(
            f"{_family(key)}.{what}",
            subject,
            (change,),
            agent=self._known(author) if what != "edited" else "unknown",
            cause=[identifier] if (identifier := keys.id_in(key)) else (),
            token=record.token if isinstance(record, Lock) else "",  # so that no later one is lower
        )

    def _known(self, name: str) -> str:
        return name if name in (*self.coord.config.everybody, delivery.COORD) else "unknown"


def _is_mail(key: str) -> bool:
    return key.startswith("inbox/") and not key.startswith((f"{keys.MERGES}/", f"{keys.DEAD}/"))


def _box(key: str) -> str:
    return key.split("/")[1]


def _family(key: str) -> str:
    match key.split("/"):
        case ["locks", *_]:
            return "lease"
        case ["checkpoints", "decisions", *_]:
            return "decision"
        case ["checkpoints", *_]:
            return "checkpoint"
        case ["inbox", "merges", *_]:
            return "merge"
        case _:
            return "mail"


def readable(key: str, data: bytes) -> Record | None:
    """Read a record; None where it is none, as a dead letter is none."""
    try:
        return None if key.startswith(f"{keys.DEAD}/") else codec.decode(key, data)
    except BadRecord:
        return None


def _about(key: str, record: Record | None) -> tuple[str, str]:
    """Return a record's own author, and a line about it."""
    match record:
        case Message():
            return record.sender, f"{record.sender} -> {_box(key)}: {record.subject}"
        case Lock():
            return record.holder, f"{record.holder}: {record.scope}"
        case Checkpoint():
            return record.agent, f"{record.agent}: {record.title}"
        case Decision():
            return record.made_by, f"{record.made_by}: {record.about}"
        case MergeRequest():
            return record.agent, f"{record.branch} -> {record.into}: {record.title}"
        case None:
            return "", key
