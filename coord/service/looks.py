"""What files and ledger hold, looked at often: where the two disagree at this moment, events in flight included."""

import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from sys import intern
from time import time
from typing import Literal

from coord.git import history
from coord.model import keys
from coord.model.values import frozen
from coord.service.coord import Coord
from coord.service.livefolders import MARKER
from coord.stores.statcache import short

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


@frozen
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
    """Remembers which files had which blob, by what `stat` said, and the ledger's tree by its commit.

    Looking again at what has not changed reads no file and runs no git: keep one where you look
    often. What changed less than a TICK ago is not remembered, since it may change again unseen.
    Of thousands of files each costs the memory a number: a hash of what `stat` said and the blob.
    """

    def __init__(self, coord: Coord, *, tick: timedelta = _TICK) -> None:
        self.coord = coord
        self._tick = tick.total_seconds()
        self._known: dict[str, int] = {}
        self._tree: tuple[str | None, dict[str, str]] = (None, {})

    def tree(self) -> dict[str, str]:
        """Return the blob of every record in the ledger's tip."""
        tip = self.coord.ledger.tip()
        if tip != self._tree[0]:
            found = history.files(self.coord.git, tip) if tip else ()
            self._tree = (tip, {intern(key): blob for key, blob in found if keys.is_record(key)})
        return self._tree[1]

    @property
    def tip(self) -> str | None:
        """The commit whose tree was looked at last."""
        return self._tree[0]

    def files(self) -> dict[str, str]:
        """Return the blob id of every record's file; `too large` where it may not enter the ledger."""
        return {key: blob for key, blob in self._files(self.coord.records("")) if blob}

    def compare(self) -> dict[str, Drift]:
        """Return where files and ledger disagree at this moment, events in flight included."""
        tree, listed = self.tree(), self.coord.records("")
        alike, unlike = 0, dict[str, str]()
        for key, file in self._files(listed):
            blob = tree.get(key, "")
            if file != blob:
                unlike[key] = file
            elif blob:
                alike += 1
        if alike < len(tree):
            unlike |= dict.fromkeys(tree.keys() - set(listed), "")
        emptied = _Emptied(self.coord.home)
        found = ((key, self._drift(key, unlike[key], tree.get(key, ""), emptied)) for key in sorted(unlike))
        return {key: drift for key, drift in found if drift is not None}

    def _drift(self, key: str, file: str, blob: str, emptied: "_Emptied") -> Drift | None:
        what: What = "differs"
        if file == _TOO_LARGE:
            if key.startswith(f"{keys.DEAD}/") and not blob:
                return None  # set aside by coord itself, which keeps it out of the ledger
            what, file = "too large", ""
        elif not blob:
            what = "only in files"
        elif not file:
            what = "folder emptied" if emptied.hid(key) else "only in ledger"
        return Drift(key, what, file, blob)

    def _files(self, listed: Sequence[str]) -> Iterator[tuple[str, str]]:
        if len(self._known) > len(listed):
            there = set(listed)
            self._known = {key: known for key, known in self._known.items() if key in there}
        for key in listed:
            yield key, self._blob(key)

    def _blob(self, key: str) -> str:
        """Return the blob of KEY's file; "" where it is gone."""
        try:
            status = os.stat(f"{self.coord.home}/{key}", follow_symlinks=False)
        except FileNotFoundError:
            return ""
        if status.st_size > SIZE_LIMIT:
            return _TOO_LARGE
        stamp = status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        expected = self._tree[1].get(key)
        if expected is not None and self._known.get(key) == short(*stamp, expected):
            return expected
        looked_at = time()
        stored = self.coord.store.get(key)
        if stored is None:
            return ""
        blob = self.coord.blob_id(stored.data)
        if max(status.st_mtime, status.st_ctime) < looked_at - self._tick:
            self._known[key] = short(*stamp, blob)
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
