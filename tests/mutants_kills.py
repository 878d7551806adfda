"""Faults to be planted in a worker: each breaks one rule that keeps what was acknowledged, once."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from coord.git import merge, stale
from coord.git.ledger import Ledger
from coord.git.repo import Done, Git
from coord.model.eventline import Noted
from coord.model.records import Change, Event, Process
from coord.service import branches
from coord.service.committer import Committer
from coord.service.coord import Coord
from coord.service.merging import stacking
from coord.service.merging.line import Line
from coord.service.merging.moving import Moving
from coord.service.merging.stacking import Keyed
from coord.stores.files import FileStore
from coord.stores.journal import Journal, Pending


def _said_before_noted() -> None:
    append, size = Journal.append, Journal.size
    late: list[tuple[Event, Process]] = []

    def note(journal: Journal) -> None:
        while late:
            append(journal, *late.pop())

    def later(self: Journal, event: Event, process: Process) -> None:
        note(self)
        late.append((event, process))

    def noted(self: Journal) -> int:
        note(self)
        return size(self)

    Journal.append, Journal.size = later, noted  # type: ignore[method-assign]


def _published_before_noted() -> None:
    apply = FileStore.apply

    def early(self: FileStore, changes: Sequence[Change], *, commit: Callable[[], None] | None = None) -> None:
        apply(self, changes)
        if commit is not None:
            commit()

    FileStore.apply = early  # type: ignore[method-assign]


def _done_before_published() -> None:
    append = Journal.append

    def finished(self: Journal, event: Event, process: Process) -> None:
        append(self, event, process)
        self.done(event.id)

    Journal.append = finished  # type: ignore[method-assign]


def _committed_again() -> None:
    def nothing(self: Committer, tip: str | None, pending: Pending) -> set[str]:
        return set()

    Committer._held = nothing  # type: ignore[method-assign]


def _left_unfinished() -> None:
    def nothing(self: Committer, unfinished: Sequence[Noted]) -> list[Noted]:
        return []

    Committer._finish = nothing  # type: ignore[method-assign]


def _advanced_before_committed() -> None:
    append = Committer._append

    def late(self: Committer, pending: Pending) -> tuple[str | None, set[str]]:
        self.journal.advance(pending, tip=self.ledger.tip())
        return append(self, pending)

    Committer._append = late  # type: ignore[method-assign]


def _removed_before_noted() -> None:
    record = Coord.record

    def hasty(self: Coord, event: Event) -> None:
        self.store.apply([change for change in event.changes if change.data is None])
        record(self, event)

    Coord.record = hasty  # type: ignore[method-assign]


def _merged_again() -> None:
    def never(git: Git, base: str, head: str) -> bool:
        return False

    def unknown(coord: Coord, below: str, head: str) -> None:
        return None

    merge.already_in, stacking._brought = never, unknown


def _moved_before_pushed() -> None:
    push = Moving._push

    def hasty(self: Moving, line: Line, members: list[Keyed]) -> bool:
        merge.move(self.coord.git, branches.ref(line.into), members[-1][1].candidate, line.here)
        return push(self, line, members)

    Moving._push = hasty  # type: ignore[method-assign]


def _moved_blindly() -> None:
    def force(git: Git, ref: str, new: str, old: str, *, message: str = "coord: merge", **_more: object) -> None:
        git.run("update-ref", "--create-reflog", "-m", message, ref, new)

    merge.move = force


def _ledger_forced() -> None:
    def force(self: Ledger, stream: bytes) -> Done:
        return self._git.run("fast-import", "--force", "--done", "--quiet", "--date-format=raw", stdin=stream)

    Ledger._import = force  # type: ignore[method-assign]


def _live_locks_removed() -> None:
    def take(lock: Path, common: Path) -> bool:
        lock.unlink(missing_ok=True)
        return True

    stale.remove = take  # type: ignore[assignment]


def _index_touched() -> None:
    append = Ledger.append

    def untidy(self: Ledger, events: Sequence[Event], **more: Any) -> str:
        self._git.run("read-tree", "HEAD")
        return append(self, events, **more)

    Ledger.append = untidy  # type: ignore[method-assign]


def _never_swept() -> None:
    def nothing(self: FileStore) -> int:
        return 0

    FileStore.sweep = nothing  # type: ignore[method-assign]


MUTANTS: dict[str, Callable[[], None]] = {
    "said before noted": _said_before_noted,
    "published before noted": _published_before_noted,
    "done before published": _done_before_published,
    "committed again": _committed_again,
    "left unfinished": _left_unfinished,
    "advanced before committed": _advanced_before_committed,
    "removed before noted": _removed_before_noted,
    "never swept": _never_swept,
    "merged again": _merged_again,
    "moved blindly": _moved_blindly,
    "moved before pushed": _moved_before_pushed,
    "ledger forced": _ledger_forced,
    "live locks removed": _live_locks_removed,
    "index touched": _index_touched,
}
