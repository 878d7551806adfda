"""The default store: a file for each record, below the home worktree's three folders.

New bytes are staged outside those folders and renamed into place, so that a reader
never sees half a record and a watcher never sees a temporary file. What a note made
durable before is not waited for here as well: one sync an event, not three; `sync`
catches up before the note may go (write-ahead logging: Mohan et al., ARIES, 1992).
Every folder on the way is opened by descriptor without following links, so that no
planted link leads a read or a write out of the three folders.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from stat import S_ISDIR
from urllib.parse import quote, unquote

from coord.model.errors import Corrupt
from coord.model.keys import FOLDERS
from coord.model.records import Change, Process
from coord.stores import durable, folders, oslock
from coord.stores.base import Guard, Stored, Watch, parts_of
from coord.stores.bell import Bells

_TRIES = 5
_LONGEST_NAME = 150
_Sync = Callable[[int], None]
_Made = list[folders.Parts]
_Pairs = list[tuple[Change, Path | None]]
_Touched = dict[tuple[str, ...], int]


class FileStore:
    """Records as files below HOME; locks, bells and temporary files below PRIVATE."""

    def __init__(self, home: Path, private: Path, *, defers: bool | None = None) -> None:
        """DEFERS says whether a note suffices; by default where a reboot can be told, which is when it is replayed."""
        self._home = home
        self._defers = defers
        self._stage = private / "tmp"
        self._guards = private / "guards"
        self.bells = Bells(private / "bells")

    def get(self, key: str) -> Stored | None:
        """Return what KEY holds now, whole, or None; a link, pipe or folder in its place holds nothing.

        Raises:
            Refused: no record can live there.
            Corrupt: something on the way to KEY is no real folder.
            Unavailable: the file cannot be read.
        """
        *parents, name = parts_of(key)
        with durable.faults(f"read {self._home}/{key}"):
            try:
                folder = folders.enter(self._home, parents)
                try:
                    data = folders.read(folder, name)
                finally:
                    os.close(folder)
            except OSError as error:
                if error.errno in folders.NO_FILE:
                    return None
                raise
        return None if data is None else Stored(key, data)

    def list(self, prefix: str) -> Iterator[str]:
        """Yield, in order, the keys directly or indirectly under the folder PREFIX; "" is all of them.

        Links, pipes and dot files are passed over.
        """
        for root in (prefix,) if prefix else sorted(FOLDERS):
            with durable.faults(f"list {self._home}/{root}"):
                try:
                    found = folders.walk(root, folders.enter(self._home, parts_of(root)))
                except (FileNotFoundError, Corrupt):
                    continue
            yield from found

    def apply(self, changes: Sequence[Change], *, commit: Callable[[], None] | None = None) -> None:
        """Carry out every change, or none, visible in the order given; see Store.

        Once COMMIT has returned it stands: if this raises later (a fault of the disk, an
        interrupt), the same changes must be applied again.

        Raises:
            Refused: no record can live at one of the keys.
            Corrupt: something on the way to a key is no real folder, or a folder is in a file's place.
            Unavailable: no space, no right to write, or a fault of the disk.
        """
        pairs = [(change, None if change.data is None else self._stage / _temporary_name()) for change in changes]
        made: _Made = []
        sync = commit is None or not (oslock.knows_boots() if self._defers is None else self._defers)
        try:
            try:
                for change, temporary in pairs:
                    with durable.faults(f"write {self._home}/{change.key}"):
                        self._prepare(change, temporary, made, sync=sync)
                if commit is not None:
                    commit()
            except BaseException:
                folders.unmake(self._home, made)
                raise
            self._publish(pairs, sync=sync)
        finally:
            for _, temporary in pairs:
                if temporary is not None:
                    with suppress(OSError):
                        temporary.unlink()
        for name in dict.fromkeys(name for change in changes for name in _rung_by(change.key)):
            self.bells.ring(name)

    def sync(self, keys: Collection[str]) -> None:
        """Return once what KEYS hold now, or that they hold nothing, will outlive a power cut; see Store.

        Raises:
            Unavailable: the disk failed.
        """
        names: dict[str, list[str]] = {}
        for key in keys:
            parent, _, name = key.rpartition("/")
            names.setdefault(parent, []).append(name)
        for work, last in ((durable.begin_sync, durable.begin_sync), (durable.sync_file, durable.sync_names)):
            for parent, inside in names.items():
                self._each(parent, inside, work, last)

    def watch(self, prefix: str) -> AbstractContextManager[Watch]:
        """Subscribe to changes under PREFIX; see Store."""
        return self.bells.listen(f"keys/{prefix}" if prefix else "keys")

    def exclusive(self, name: str, *, timeout: float | None = None) -> AbstractContextManager[Guard]:
        """Enter the critical section NAME; see Store."""
        quoted = quote(name, safe="", errors="surrogateescape")
        if len(quoted) > _LONGEST_NAME:
            quoted = f"{quoted[:_LONGEST_NAME]}~{hashlib.blake2b(quoted.encode(), digest_size=20).hexdigest()}"
        return oslock.hold(self._guards / f"{quoted}.lock", timeout=timeout, name=name)

    def sweep(self) -> int:
        """Remove the temporary files of processes that are proven dead; return how many."""
        tops = (self._stage, *(self._home / folder for folder in FOLDERS))
        with durable.faults(f"sweep {self._stage}"):
            return sum(_sweep(top) for top in tops if top.is_dir())

    def _each(self, parent: str, names: Sequence[str], work: _Sync, last: _Sync) -> None:
        """Do WORK with some files of a folder and LAST with itself; what is no folder any more needs none."""
        with durable.faults(f"sync {self._home}/{parent}"), suppress(FileNotFoundError, Corrupt):
            folder = folders.enter(self._home, parts_of(parent))
            try:
                folders.each(folder, names, work)
                last(folder)
            finally:
                os.close(folder)

    def _prepare(self, change: Change, temporary: Path | None, made: _Made, *, sync: bool) -> None:
        *parents, name = parts_of(change.key)
        with suppress(FileNotFoundError):
            folder = folders.enter(self._home, parents, None if temporary is None else made)
            try:
                if S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                    raise Corrupt(f"{self._home}/{change.key} is a folder", hint="move it away, then run it again")
            finally:
                os.close(folder)
        if temporary is not None and change.data is not None:
            self._write(temporary, change.data, sync=sync)

    def _publish(self, pairs: _Pairs, *, sync: bool) -> None:
        touched: _Touched = {}
        try:
            for change, temporary in pairs:
                *parents, name = parts_of(change.key)
                with durable.faults(f"write {self._home}/{change.key}"):
                    if temporary is None or change.data is None:
                        self._remove(tuple(parents), name, touched)
                    else:
                        self._place(tuple(parents), name, change.data, temporary, touched)
            for parents_of_some, folder in touched.items() if sync else ():
                with durable.faults(f"sync {self._home}/{'/'.join(parents_of_some)}"):
                    durable.sync_names(folder)
        finally:
            for folder in touched.values():
                os.close(folder)

    def _remove(self, parents: tuple[str, ...], name: str, touched: _Touched) -> None:
        with suppress(FileNotFoundError):
            if parents not in touched:
                touched[parents] = folders.enter(self._home, parents)
            os.unlink(name, dir_fd=touched[parents])

    def _place(self, parents: tuple[str, ...], name: str, data: bytes, temporary: Path, touched: _Touched) -> None:
        for left in reversed(range(_TRIES)):
            try:
                if parents not in touched:
                    touched[parents] = folders.enter(self._home, parents, [])
                _move(temporary, touched[parents], name, data)
            except FileNotFoundError:
                if not left:
                    raise
            else:
                return
            # Another apply that failed took back the folder it had made for itself, or somebody
            # cleared the staging folder: both are made anew.
            if parents in touched:
                os.close(touched.pop(parents))
            with suppress(FileExistsError):
                self._write(temporary, data, sync=True)

    def _write(self, temporary: Path, data: bytes, *, sync: bool) -> None:
        try:
            folders.create(temporary, data, sync=sync)
        except FileNotFoundError:
            durable.make_folder(self._stage)
            folders.create(temporary, data, sync=sync)


def _move(temporary: Path, folder: int, name: str, data: bytes) -> None:
    try:
        os.rename(temporary, name, dst_dir_fd=folder)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _write_beside(folder, name, data)


def _write_beside(folder: int, name: str, data: bytes) -> None:
    """Write where the private folder is on another file system: staged hidden in the record's own folder."""
    hidden = f".{_temporary_name()}"
    try:
        folders.create(hidden, data, folder)
        os.rename(hidden, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(hidden, dir_fd=folder)
        raise


def _temporary_name() -> str:
    me = oslock.me()
    return f"{me.pid}~{me.started_at}~{quote(me.boot, safe='')}~{os.urandom(8).hex()}"


def _sweep(top: Path) -> int:
    removed = 0
    for _, _, names, folder in os.fwalk(top):
        for name in names:
            owner = _owner_of(name)
            if owner is not None and oslock.is_alive(owner) is False:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)
                    removed += 1
    return removed


def _owner_of(temporary: str) -> Process | None:
    match temporary.removeprefix(".").split("~"):
        case [pid, started_at, boot, _] if pid.isdecimal():
            return Process(pid=int(pid), started_at=started_at, boot=unquote(boot))
    return None


def _rung_by(key: str) -> Iterator[str]:
    """Yield the bells a change of KEY rings: one for each folder above it."""
    folder = f"keys/{key}"
    while "/" in folder:
        folder = folder.rpartition("/")[0]
        yield folder
