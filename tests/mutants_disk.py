"""Faults planted in how coord writes, to see that what torments the disk finds each."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from coord.git.ledger import Ledger
from coord.service.committer import Committer
from coord.stores import durable, journal
from coord.stores.files import FileStore

Mutant = Callable[[], AbstractContextManager[object]]

_apply, _sync_folder = FileStore.apply, durable.sync_folder


def _nothing(*_: object, **__: object) -> None:
    """Do nothing."""


def _advance_first(self: Committer) -> int:
    pending = self.journal.read()
    carried = self._finish(pending.unfinished)
    self.store.sync(pending.published)
    self.journal.advance(pending, tip=pending.tip, carried=carried)
    self._append(pending)
    return len(pending.events)


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
    "the advance comes before the commit": lambda: patch.object(Committer, "_batch", _advance_first),
    "the files come before the note": lambda: patch.object(FileStore, "apply", _publish_first),
    "names of records are not synced": lambda: patch.object(durable, "sync_names", _nothing),
    "names in the ledger are not synced": lambda: patch.object(Ledger, "_settle", _nothing),
    "the segment's name is not synced": lambda: patch.object(durable, "sync_folder", _not_the_journals),
    "the journal's state is not synced": lambda: patch.object(durable, "replace", _replace_unsynced),
    "nothing heals after a start": lambda: patch.object(Committer, "heal", _nothing),
    "done is believed after a start": lambda: patch.object(journal, "_is_done", _any_boot),
}
