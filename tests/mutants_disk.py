"""Faults planted in how coord writes, to see that what torments the disk finds each."""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

from disk import Fault

from coord.git.ledger import Ledger
from coord.model.errors import CoordError
from coord.model.records import Event, Process
from coord.service.committer import Committer
from coord.service.coord import Coord
from coord.stores import durable, folders, journal, oslock
from coord.stores.base import Guard
from coord.stores.files import FileStore
from coord.stores.framing import frame
from coord.stores.journal import Journal, Pending

Mutant = Callable[[], AbstractContextManager[object]]

_apply, _sync_folder = FileStore.apply, durable.sync_folder
_append, _write, _unlink, _hold = Journal.append, journal._write, Path.unlink, oslock.hold
_held: list[AbstractContextManager[Guard]] = []


def _nothing(*_: object, **__: object) -> None:
    """Do nothing."""


def _advance_first(self: Committer, pending: Pending) -> int:
    carried = self._finish(pending.unfinished)
    self.store.sync(pending.published)
    self.journal.advance(pending, tip=pending.tip, carried=carried)
    self._append(pending)
    return 0


def _publish_first(self: FileStore, changes: Any, *, commit: Callable[[], None] | None = None) -> None:
    _apply(self, changes)
    if commit is not None:
        commit()


def _replace_unsynced(path: Path, data: bytes) -> None:
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)
    _sync_folder(path.parent)


def _not_the_journals(path: Path) -> None:
    if path.name != "journal":
        _sync_folder(path)


def _any_boot(noted: Any, settled: Any) -> bool:
    return noted.event.id in settled


POWER: Mapping[str, Mutant] = {
    "the note is not synced": lambda: patch.object(durable, "sync_data", _nothing),
    "files are not synced before the advance": lambda: patch.object(FileStore, "sync", _nothing),
    "the advance comes before the commit": lambda: patch.object(Committer, "_commit", _advance_first),
    "the files come before the note": lambda: patch.object(FileStore, "apply", _publish_first),
    "names of records are not synced": lambda: patch.object(durable, "sync_names", _nothing),
    "names in the ledger are not synced": lambda: patch.object(Ledger, "_settle", _nothing),
    "the segment's name is not synced": lambda: patch.object(durable, "sync_folder", _not_the_journals),
    "the journal's state is not synced": lambda: patch.object(durable, "replace", _replace_unsynced),
    "nothing heals after a start": lambda: patch.object(Coord, "_heal", _nothing),
    "done is believed after a start": lambda: patch.object(journal, "_is_done", _any_boot),
}


def _append_swallowing(self: Journal, event: Event, process: Process) -> None:
    with suppress(CoordError):
        _append(self, event, process)


def _unlink_sparing(self: Path, missing_ok: bool = False) -> None:
    if self.parent.name != "tmp":
        _unlink(self, missing_ok)


def _create_leaking(path: str | Path, data: bytes, folder: int | None = None, *, sync: bool = True) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=folder)
    durable.write_whole(fd, data)
    if sync:
        durable.sync_file(fd)
    os.close(fd)


@contextmanager
def _hold_leaking(path: Path, *, name: str, **_: Any) -> Iterator[Guard]:
    held = _hold(path, timeout=0.1, name=name)
    _held.append(held)  # else it would be let go with the last name for it
    yield held.__enter__()
    held.__exit__(None, None, None)


def _write_once(fd: int, data: bytes) -> None:
    os.write(fd, data)


def _note_once(segment: int, text: str) -> None:
    os.write(segment, frame(text))


def _on_write(fault: Fault) -> bool:
    return fault.number == errno.ENOSPC and not (fault.lasting or fault.short)


def _halved(fault: Fault) -> bool:
    return fault.short and not fault.lasting


def _note_unvoided(segment: int, text: str) -> None:
    if not text.startswith('{"void"'):
        _write(segment, text)


# Each with the faults among which one reveals it.
ERRORS: Mapping[str, tuple[Mutant, Callable[[Fault], bool]]] = {
    "an error while noting is swallowed": (lambda: patch.object(Journal, "append", _append_swallowing), _on_write),
    "a temporary file is left behind": (lambda: patch.object(Path, "unlink", _unlink_sparing), _on_write),
    "a descriptor is leaked": (lambda: patch.object(folders, "create", _create_leaking), _on_write),
    "a guard stays held": (lambda: patch.object(oslock, "hold", _hold_leaking), _on_write),
    "a folder is left half made": (lambda: patch.object(folders, "unmake", _nothing), _on_write),
    "half a file is taken for a whole one": (lambda: patch.object(durable, "write_whole", _write_once), _halved),
    "half a note is taken for a whole one": (lambda: patch.object(journal, "_write", _note_once), _halved),
    "a note that failed is not withdrawn": (lambda: patch.object(journal, "_write", _note_unvoided), _on_write),
    "an error has no next step": (lambda: patch.dict(durable._NEXT_STEP, {errno.ENOSPC: ""}), _on_write),
}
