"""What files and ledger hold, looked at often: where the two disagree at this moment, events in flight included."""

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from sys import intern
from time import time
from typing import Literal

from coord.git import history
from coord.model import keys
from coord.service.coord import Coord
from coord.service.livefolders import MARKER

What = Literal[
    "only in files",
    "only in ledger",
    "differs",
    "folder emptied",
    "unreadable",
    "too large",
    "credential",
    "wrong in index",
]

SIZE_LIMIT = 1 << 20
_TOO_LARGE = "too large"
_BY_HAND = ("only in files", "only in ledger", "differs")
# A file may change twice within one tick of the file system's clock, 2 s at worst (FAT).
_TICK = timedelta(seconds=2)


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


class Looks:
    """Remembers blob ids by what `stat` says and the ledger's tree by its commit.

    Looking again at what has not changed reads no file and runs no git: keep one where you look
    often. What changed less than a TICK ago is not remembered, since it may change again unseen.
    Of thousands of files, keys and blobs are kept once, and the stat's numbers as their hash: that is megabytes.
    """

    def __init__(self, coord: Coord, *, tick: timedelta = _TICK) -> None:
        self.coord = coord
        self._tick = tick.total_seconds()
        self._blobs: dict[str, tuple[int, str]] = {}
        self._tree: tuple[str | None, dict[str, str]] = (None, {})

    def tree(self) -> dict[str, str]:
        """Return the blob of every record in the ledger's tip."""
        tip = self.coord.ledger.tip()
        if tip != self._tree[0]:
            found = history.tree(self.coord.git, tip) if tip else {}
            self._tree = (tip, {intern(key): intern(blob) for key, blob in found.items() if keys.is_record(key)})
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
        emptied = _Emptied(self.coord.home)
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
                what = "folder emptied" if emptied.hid(key) else "only in ledger"
            found[key] = Drift(key, what, file, blob)
        return found

    def _blob(self, key: str) -> str | None:
        try:
            status = os.stat(f"{self.coord.home}/{key}", follow_symlinks=False)
        except FileNotFoundError:
            return None
        if status.st_size > SIZE_LIMIT:
            return _TOO_LARGE
        stamp = hash((status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
        known = self._blobs.get(key)
        if known is not None and known[0] == stamp:
            return known[1]
        looked_at = time()
        stored = self.coord.store.get(key)
        if stored is None:
            return None
        blob = intern(self.coord.blob_id(stored.data))
        if max(status.st_mtime, status.st_ctime) < looked_at - self._tick:
            self._blobs[key] = (stamp, blob)
        return blob


class _Emptied:
    """Tells of missing records whether they went with their whole folder, which is an accident and no removal."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._hidden: dict[str, bool] = {}

    def hid(self, key: str) -> bool:
        parts = key.split("/")[:-1]
        return any(self._is_hidden("/".join(parts[:depth])) for depth in range(1, len(parts) + 1))

    def _is_hidden(self, folder: str) -> bool:
        """Tell whether what lies in FOLDER cannot be seen: no real folder is there, or one that was never filled.

        Coord itself removes neither one of the three nor a mailbox; below them a folder may go with its last record.
        """
        if folder not in self._hidden:
            path = self._home / folder
            depth = folder.count("/")
            if depth == 0:
                hidden = path.is_symlink() or not (path / MARKER).exists()
            elif folder.startswith("inbox/") and depth == 1 and folder != keys.DEAD:
                hidden = path.is_symlink() or not path.is_dir()
            else:
                hidden = os.path.lexists(path) and (path.is_symlink() or not path.is_dir())
            self._hidden[folder] = hidden
        return self._hidden[folder]
