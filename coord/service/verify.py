"""Prove that files, ledger and index agree; record in the ledger what hands changed in the files.

Whatever is read here may change meanwhile: events are noted, published as files and committed
one after the other. So a disagreement counts only when two looks found the same one and the
journal, read in between, had nothing to say about its key.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from time import time
from typing import Annotated, Literal

from coord.git import history
from coord.model import codec, keys
from coord.model.errors import BadRecord, Corrupt
from coord.model.records import Change, Checkpoint, Decision, Event, Lock, MergeRequest, Message, Record
from coord.service import committer, delivery
from coord.service.command import command
from coord.service.coord import Coord
from coord.stores import oslock
from coord.stores.journal import Pending

What = Literal[
    "only in files", "only in ledger", "differs", "folder emptied", "unreadable", "too large", "wrong in index"
]

GUARD = "reconcile"
# In each of the three folders once setting up has filled it. Where it is gone, the folder as a whole
# was emptied (`rm -r`, `git clean -x`): that is an accident, not so many removals.
MARKER = ".coord"
EVERYTHING = 1 << 30
SIZE_LIMIT = 1 << 20
_TOO_LARGE = "too large"
_BY_HAND = ("only in files", "only in ledger", "differs")
_DEEP_LIMIT = 3600.0
_NAMED = 5
# A file may change twice within one tick of the file system's clock, 2 s at worst (FAT).
_TICK = timedelta(seconds=2)

Stamp = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Drift:
    """A key about which two of files, ledger and index disagree, with the blob each has; "" is none."""

    key: str
    what: What
    file: str = ""
    ledger: str = ""
    index: str = ""

    @property
    def by_hand(self) -> bool:
        """Whether somebody's hands did this, so that `reconcile` can record it."""
        return self.what in _BY_HAND


@dataclass(frozen=True, slots=True)
class Verified:
    """What was proven: so many records, alike in files, ledger and index at this commit."""

    ok: bool
    records: int
    commit: str
    committed: int = 0
    deep: bool = False


class Looks:
    """Remembers blob ids by what `stat` says and the ledger's tree by its commit.

    Looking again at what has not changed reads no file and runs no git: keep one where you look
    often. What changed less than a TICK ago is not remembered, since it may change again unseen.
    """

    def __init__(self, coord: Coord, *, tick: timedelta = _TICK) -> None:
        self.coord = coord
        self._tick = tick.total_seconds()
        self._blobs: dict[str, tuple[Stamp, str]] = {}
        self._tree: tuple[str | None, dict[str, str]] = (None, {})

    def tree(self) -> dict[str, str]:
        """Return the blob of every record in the ledger's tip."""
        tip = self.coord.ledger.tip()
        if tip != self._tree[0]:
            found = history.tree(self.coord.git, tip) if tip else {}
            self._tree = (tip, {key: blob for key, blob in found.items() if keys.is_record(key)})
        return self._tree[1]

    @property
    def tip(self) -> str | None:
        """The commit whose tree was looked at last."""
        return self._tree[0]

    def files(self) -> dict[str, str]:
        """Return the blob id of every record's file; `too large` where it may not enter the ledger."""
        found = {}
        for key in self.coord.records(""):
            blob = self._blob(key)
            if blob is not None:
                found[key] = blob
        self._blobs = {key: known for key, known in self._blobs.items() if key in found}
        return found

    def compare(self) -> dict[str, Drift]:
        """Return where files and ledger disagree at this moment, events in flight included."""
        files, tree = self.files(), self.tree()
        emptied = {folder for folder in keys.FOLDERS if not (self.coord.home / folder / MARKER).exists()}
        found = {}
        for key in sorted(files.keys() | tree.keys()):
            file, blob = files.get(key, ""), tree.get(key, "")
            if file == blob:
                continue
            what: What = "differs"
            if file == _TOO_LARGE:
                if key.startswith(f"{keys.DEAD}/") and not blob:
                    continue  # set aside by coord itself, which keeps it out of the ledger
                what, file = "too large", ""
            elif not blob:
                what = "only in files"
            elif not file:
                what = "folder emptied" if key.partition("/")[0] in emptied else "only in ledger"
            found[key] = Drift(key, what, file, blob)
        return found

    def _blob(self, key: str) -> str | None:
        try:
            status = os.stat(self.coord.home / key, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if status.st_size > SIZE_LIMIT:
            return _TOO_LARGE
        stamp = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        known = self._blobs.get(key)
        if known is not None and known[0] == stamp:
            return known[1]
        looked_at = time()
        stored = self.coord.store.get(key)
        if stored is None:
            return None
        blob = self.coord.blob_id(stored.data)
        if max(status.st_mtime, status.st_ctime) < looked_at - self._tick:
            self._blobs[key] = (stamp, blob)
        return blob


@command("ledger verify", writes=True, example="coord ledger verify --deep")
def verify(
    coord: Coord,
    *,
    commit: Annotated[bool, "first record in the ledger what hands changed in the files"] = False,
    deep: Annotated[bool, "also prove that git has every object of the ledger's history"] = False,
) -> Verified:
    """Prove that files, ledger and index agree, byte for byte.

    What is on its way at this moment is no disagreement. With --commit, a message moved to
    `read/` by hand becomes an acknowledgement by its reader, one deleted a removal, a new
    record is restored under its own author; no file is touched.

    Raises:
        Corrupt: they do not agree; names each key and how it differs.
    """
    looks = Looks(coord)
    found = drift(coord, looks)
    committed = reconcile(coord, found) if commit and found else 0
    if committed:
        found = drift(coord, looks)
    tree = looks.tree()
    found = (*found, *_index_drift(coord, looks))
    if found:
        raise _disagree(found)
    tip = coord.ledger.tip() or ""
    if deep and tip:
        _connected(coord, tip)
    return Verified(True, len(tree), tip, committed, deep)


def drift(coord: Coord, looks: Looks | None = None) -> tuple[Drift, ...]:
    """Return where files and ledger disagree, events in flight left out; commits what waits first."""
    looks = looks or Looks(coord)
    coord.committer.settle()
    first = looks.compare()
    if not first:
        return ()
    tip = looks.tip
    busy = _busy(coord)
    again = looks.compare()
    # A record may have come to the ledger and left it again since the first look.
    busy |= _committed(coord, tip, looks.tip)
    return tuple(_judged(coord, one) for key, one in first.items() if again.get(key) == one and key not in busy)


def reconcile(coord: Coord, found: Sequence[Drift]) -> int:
    """Make what hands changed in the files events, and return how many; touches no file.

    What is unreadable or too large stays where it is and out of the ledger.
    """
    with coord.exclusive(GUARD):
        now = set(drift(coord))
        events = tuple(_Hands(coord, [one for one in found if one in now]).events())
        for event in events:
            # Noted as done: the files are as they are, and `record` would write them again.
            coord.journal.append(event, oslock.me())
            coord.journal.done(event.id)
    coord.committer.settle()
    return len(events)


def _busy(coord: Coord) -> set[str]:
    """Return the keys of every event that is not yet both published and committed."""
    with coord.store.exclusive(committer.GUARD):
        return touched(coord.journal.read(EVERYTHING))


def _committed(coord: Coord, since: str | None, until: str | None) -> set[str]:
    """Return the keys that the ledger's commits between two tips speak of."""
    if since is None or until is None or since == until:
        return set()
    entries = history.entries(coord.git, since=since, until=until)
    return {key for entry in entries for _, key, _ in entry.changes}


def touched(pending: Pending) -> set[str]:
    """Return the keys of which the journal's events speak."""
    return {change.key for noted in (*pending.events, *pending.unfinished) for change in noted.event.changes}


def _judged(coord: Coord, one: Drift) -> Drift:
    """Say of a file that the ledger does not have whether it is a record at all."""
    stored = coord.store.get(one.key) if one.file and not one.key.startswith(f"{keys.DEAD}/") else None
    if stored is not None and _record(one.key, stored.data) is None:
        return Drift(one.key, "unreadable", one.file, one.ledger)
    return one


def _index_drift(coord: Coord, looks: Looks) -> Iterator[Drift]:
    index = coord.indexed()
    rows = {key: blob for folder in keys.FOLDERS for key, blob in index.live(folder).items() if keys.is_record(key)}
    tree = looks.tree()
    for key in sorted(rows.keys() | tree.keys()):
        if rows.get(key) != tree.get(key):
            yield Drift(key, "wrong in index", "", tree.get(key, ""), rows.get(key, ""))


def _disagree(found: Sequence[Drift]) -> Corrupt:
    named = "; ".join(f"{one.key}: {one.what}" for one in found[:_NAMED])
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    kinds = {one.what for one in found}
    first = next((one.key for one in found if not one.by_hand), "")
    if "folder emptied" in kinds:
        hint = "bring back what was lost: coord init"
    elif any(one.by_hand for one in found):
        hint = "record what was done by hand: coord ledger verify --commit"
    elif "wrong in index" in kinds:
        hint = "delete .git/coord/index.db: it is made again from the ledger"
    else:
        hint = f"mend or remove {first}; the ledger has what it was, if anything: git log -p coord/ledger -- '{first}'"
    return Corrupt(
        f"{len(found)} records disagree: {named}{more}",
        hint=hint,
        findings=[f"{one.key}: {one.what}" for one in found],
    )


def _connected(coord: Coord, tip: str) -> None:
    done = coord.git.run("rev-list", "--objects", "--quiet", "--end-of-options", tip, check=False, timeout=_DEEP_LIMIT)
    if done.status != 0:
        raise Corrupt(
            f"the ledger's history is not whole: {done.err}",
            hint="fetch it from a clone that has it: git fetch <remote> coord/ledger",
        )


class _Hands:
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
        """Yield one event for each thing that was done."""
        for key, data in self.gone.items():
            yield self._moved(key, data) if _is_mail(key) else self._event("removed", key, data, Change(key, None))
        for key, data in self.fresh.items():
            what = "edited" if key in self.edited else "restored"
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
        record = _record(key, data)
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
        record = _record(key, data)
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


def _record(key: str, data: bytes) -> Record | None:
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
