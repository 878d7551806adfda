"""The write-ahead note of events: durable here first, then published as files, then committed to the ledger.

Writers append to the newest segment `<number>.log` (framing.py) either an event
(model/eventline.py), `{"done":id}` when all its files are visible, or `{"void":id}`
when its note may have failed and its writer was told so. Files that are visible may
still be undone by a power cut, so a `done` of an earlier boot counts for nothing.

One reader at a time, who holds the ledger's guard: read, commit to the ledger, advance.
`advance` notes in `state.json` how far all is in the ledger, and the ledger's tip then.
Nothing needs noting before a commit: a reader that finds the ledger at another tip knows
that a commit was not followed by its advance (a crash, a power cut), or that somebody
else moved the ledger, and looks for the ids between the two. So no event is committed
twice; and none is lost, since the note is synced before the event is acknowledged, the
commit (by git) and the files (`Pending.published`) before the advance, and the advance
before a segment is removed. A lost `done` costs a repetition that changes nothing.

The order of events is the order of their lines, across segments too: an event may rest
on another only if it was begun after that one was noted. Writers look for the newest
segment each time; the reader begins segment N + 1 only when N is drained, that is, read
to its end under its lock, which no writer then holds; N is removed before the lock is
let go, and a writer that waited for it sees so and looks again.
"""

import fcntl
import json
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from coord.model import eventline
from coord.model.errors import CoordError, Corrupt, Unavailable
from coord.model.eventline import Noted
from coord.model.records import Event, Process
from coord.model.regex import regex
from coord.model.values import frozen
from coord.stores import durable, oslock
from coord.stores.framing import Framed, frame, unframe

FORMAT = 1
SEGMENT_LIMIT = 4 << 20
BATCH = 1000
_SEGMENT = regex(r"\d{8}\.log")


@frozen
class Position:
    """A place in the journal; nobody but the journal looks inside."""

    segment: int
    offset: int


@frozen(kw_only=True)
class Pending:
    """What waits to be committed, in order, and what may wait to be published.

    `published` are the keys of those, and of the ones carried by the last advance, whose changes
    are known to be visible: they must be synced before `advance`.
    `unfinished` are those of `events`, and of the ones carried by the last advance, that are
    not known to be visible; their changes are without those that a later event replaces. To
    apply them again undoes nothing, provided that whoever could change the same keys has been
    kept out (by the guard they write under) since before `read`. `more` says that further
    events were noted when these were read.
    `tip` is the ledger's at the last advance: ids of `events` may be in the ledger after it,
    not before; None says anywhere. So look there when the ledger is at another tip, commit
    only what is not found, and tell `advance` what was. `damaged` counts the lines of garbage passed over.
    """

    events: tuple[Noted, ...]
    unfinished: tuple[Noted, ...]
    published: frozenset[str]
    position: Position
    tip: str | None
    damaged: int
    more: bool


@frozen
class _State:
    position: Position = Position(0, 0)
    tip: str | None = None
    carried: tuple[Noted, ...] = ()


class Journal:
    """The journal in FOLDER. Any process may note; one at a time, under the ledger's guard, reads and advances."""

    def __init__(self, folder: Path, *, segment_limit: int = SEGMENT_LIMIT) -> None:
        self._folder = folder
        self._state = folder / "state.json"
        self._segment_limit = segment_limit

    def append(self, event: Event, process: Process) -> None:
        """Note EVENT, durably, before its changes become visible.

        Raises:
            Unavailable: it could not be noted; what is left of it is garbage that readers pass over.
        """
        with durable.faults(f"note an event in {self._folder}"), self._newest() as segment:
            _write(segment, eventline.encode(event, process))
            try:
                durable.sync_data(segment)
            except BaseException:
                with suppress(OSError, CoordError):
                    _write(segment, _mark("void", event.id))
                raise

    def done(self, event_id: str) -> None:
        """Note that all changes of an event are visible; not synced, since losing it is harmless."""
        with durable.faults(f"note an event in {self._folder}"), self._newest() as segment:
            _write(segment, _mark("done", event_id))

    def size(self) -> int:
        """Return how many bytes and carried events wait, without a lock; 0 says that nothing waits."""
        with durable.faults(f"read the journal {self._folder}"):
            state = self._load()
            position, waiting = state.position, len(state.carried)
            for number in self._numbers():
                if number >= position.segment:
                    with suppress(FileNotFoundError):
                        waiting += self._path(number).stat().st_size
                        waiting -= position.offset if number == position.segment else 0
        return waiting

    def read(self, limit: int = BATCH) -> Pending:
        """Return up to LIMIT events noted after the last advance.

        Raises:
            Corrupt: an event in a later version's format, or a damaged state; committing must wait.
            Unavailable: a file cannot be read.
        """
        with durable.faults(f"read the journal {self._folder}"):
            state = self._load()
            position, found, later = self._drain(state.position)
        here = [text for _, text in found.texts]
        voided = _marked("void", [*here, *later])
        settled = voided | _marked("done", here)
        notes = iter([(behind, text) for behind, text in found.texts if not _is_mark(text)])
        events: list[Noted] = []
        end = 0
        for behind, text in notes:
            noted = eventline.decode(text)
            if noted.event.id in voided:
                continue
            if len(events) == limit:
                later = [text, *(rest for _, rest in notes), *later]
                break
            events.append(replace(noted, done=_is_done(noted, settled)))
            end = behind
        else:
            end = found.end
        carried = [replace(noted, done=_is_done(noted, settled)) for noted in state.carried]
        return Pending(
            events=tuple(events),
            unfinished=_unfinished([*carried, *events], later, voided),
            published=frozenset(change.key for one in (*carried, *events) if one.done for change in one.event.changes),
            position=Position(position.segment, position.offset + end),
            tip=state.tip,
            damaged=found.damaged,
            more=not all(map(_is_mark, later)),
        )

    def advance(
        self,
        pending: Pending,
        *,
        tip: str | None,
        found: Collection[str] = (),
        carried: Sequence[Noted] = (),
    ) -> None:
        """Note, durably, that all events of PENDING are in the ledger, whose tip is TIP and itself durable.

        FOUND are the ids that were in the ledger already. CARRIED are those of `unfinished` that
        the caller has not applied again, because their writer may still be at it; the next
        `read` returns them until they are done. Worth calling without events too, when
        `size` was not 0.

        Raises:
            Unavailable: it could not be noted; the same events will be read again.
        """
        position = pending.position
        # A reader that died may have committed a larger batch: then what follows is in the ledger too.
        if pending.events and pending.events[-1].event.id in found:
            tip = pending.tip
        note = {
            "format": FORMAT,
            "segment": position.segment,
            "offset": position.offset,
            "tip": tip,
            "carried": [eventline.encode(noted.event, noted.process) for noted in carried],
        }
        with durable.faults(f"write {self._state}"):
            durable.make_folder(self._folder)
            self._sync(position.segment)
            durable.replace(self._state, json.dumps(note, indent=1).encode())
            if position.offset >= self._segment_limit and self._numbers()[-1:] == [position.segment]:
                self._begin(position.segment + 1)

    def _sync(self, number: int) -> None:
        """Sync a segment, whose last `done` may not be yet: a position behind its end would hide what is noted next."""
        with suppress(FileNotFoundError):
            fd = os.open(self._path(number), os.O_RDONLY | os.O_NOFOLLOW)
            try:
                durable.sync_data(fd)
            finally:
                os.close(fd)

    def _drain(self, position: Position) -> tuple[Position, Framed, list[str]]:
        """Return where the oldest segment with news was read from, the news, and the texts of later segments."""
        found = Framed((), 0, 0)
        numbers = self._numbers()
        for place, number in enumerate(numbers):
            if number < position.segment:  # removed, and brought back by a power cut
                self._path(number).unlink(missing_ok=True)
                continue
            position = position if number == position.segment else Position(number, 0)
            newest = number == numbers[-1]
            found, drained = self._read(position, retire=not newest)
            if not drained:
                rest = [self._read(Position(later, 0), retire=False)[0] for later in numbers[place + 1 :]]
                return position, found, [text for one in rest for _, text in one.texts]
        return position, found, []

    def _read(self, position: Position, *, retire: bool) -> tuple[Framed, bool]:
        """Read a segment on from POSITION; with RETIRE remove it when nothing can follow, which True says."""
        path = self._path(position.segment)
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            alone = retire and _lock_alone(fd)
            found = unframe(_read_from(fd, position.offset), final=alone)
            drained = alone and not found.texts
            if drained:
                path.unlink()
            return found, drained
        finally:
            os.close(fd)

    @contextmanager
    def _newest(self) -> Iterator[int]:
        """Open the newest segment for appending, with a share in its lock that keeps it from being removed."""
        while True:
            numbers = self._numbers()
            if not numbers:
                durable.make_folder(self._folder)
                self._begin(self._load().position.segment + 1)
                continue
            try:
                segment = os.open(self._path(numbers[-1]), os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(segment, fcntl.LOCK_SH)
                found = os.fstat(segment)
                if not found.st_nlink:
                    continue
                if not found.st_size:
                    # Whoever writes first, not who made it, syncs its name: nobody may acknowledge before.
                    durable.sync_folder(self._folder)
                yield segment
                return
            finally:
                os.close(segment)

    def _begin(self, number: int) -> None:
        with suppress(FileExistsError):
            os.close(os.open(self._path(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644))

    def _numbers(self) -> list[int]:
        try:
            return sorted(int(name[:8]) for name in os.listdir(self._folder) if _SEGMENT.fullmatch(name))
        except FileNotFoundError:
            return []

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08}.log"

    def _load(self) -> _State:
        try:
            note = json.loads(self._state.read_bytes())
            if note["format"] != FORMAT:
                raise Corrupt(
                    f"{self._state} has format {note['format']!r}, this version reads {FORMAT}",
                    hint="use the version of coord that wrote it, or a later one",
                )
            position = Position(int(note["segment"]), int(note["offset"]))
            return _State(position, note["tip"], tuple(map(eventline.decode, note["carried"])))
        except FileNotFoundError:
            return _State()
        except (ValueError, KeyError, TypeError) as error:
            raise Corrupt(f"{self._state} is damaged: {error!r}", hint="coord doctor --fix") from error


def _is_done(noted: Noted, settled: Collection[str]) -> bool:
    return noted.event.id in settled and not oslock.of_earlier_boot(noted.process)


def _unfinished(noted: Sequence[Noted], following: Sequence[str], voided: Collection[str]) -> tuple[Noted, ...]:
    """Return those not done, without the changes that a later event, noted or FOLLOWING, replaces."""
    if all(one.done for one in noted):
        return ()
    behind = [eventline.decode(text).event for text in following if not _is_mark(text)]
    replaced = {change.key for event in behind if event.id not in voided for change in event.changes}
    unfinished: list[Noted] = []
    for one in reversed(noted):
        changes = tuple(change for change in one.event.changes if change.key not in replaced)
        replaced.update(change.key for change in changes)
        if changes and not one.done:
            unfinished.append(replace(one, event=replace(one.event, changes=changes)))
    return tuple(reversed(unfinished))


def _write(segment: int, text: str) -> None:
    record = frame(text)
    written = os.write(segment, record)
    if written < len(record) - 1:  # without its last line break a record is whole
        message = f"cannot note an event: the disk took {written} of its {len(record)} bytes"
        raise Unavailable(message, hint="free some disk space, then run it again")


def _mark(name: str, event_id: str) -> str:
    return json.dumps({name: event_id}, separators=(",", ":"))


def _is_mark(text: str) -> bool:
    return text.startswith(('{"done":', '{"void":'))


def _marked(name: str, texts: Sequence[str]) -> set[str]:
    return {json.loads(text)[name] for text in texts if text.startswith(f'{{"{name}":')}


def _lock_alone(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_from(fd: int, offset: int) -> bytes:
    os.lseek(fd, offset, os.SEEK_SET)
    with open(fd, "rb", closefd=False) as file:
        return file.read()
