"""What gates said, kept in coord's private folder: to lose it costs tests that run again, and nothing else."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from coord.model.verdicts import Run, Verdicts
from coord.stores import oslock

_MOST = 4 << 20
_FIELDS = frozenset(field.name for field in dataclasses.fields(Run))


class Kept:
    """The runs in one file, a line each; what other processes add is read when asked."""

    def __init__(self, path: Path, *, most: int = _MOST) -> None:
        self._path = path
        self._most = most
        self._file = (0, 0)
        self._read_to = 0
        self._verdicts = Verdicts()

    def read(self) -> Verdicts:
        """Return all that is known now."""
        try:
            with self._path.open("rb") as file:
                found = os.fstat(file.fileno())
                if (found.st_dev, found.st_ino) != self._file or found.st_size < self._read_to:
                    self._file, self._read_to, self._verdicts = (found.st_dev, found.st_ino), 0, Verdicts()
                file.seek(self._read_to)
                new = file.read()
        except FileNotFoundError:
            self._read_to, self._verdicts = 0, Verdicts()
            return self._verdicts
        whole = new[: new.rfind(b"\n") + 1]
        self._read_to += len(whole)
        for line in whole.splitlines():
            match _read(line):
                case Run() as run:
                    self._verdicts.add(run)
                case str(tree):
                    self._verdicts.forget(tree)
        return self._verdicts

    def add(self, run: Run) -> None:
        """Note a run; a file that has grown large begins anew with its later half."""
        self._note({name: value for name, value in dataclasses.asdict(run).items() if value})

    def forget(self, tree: str) -> int:
        """Note that what was said of a tree counts no longer; return how many runs that were."""
        count = self.read().forget(tree)
        if count:
            self._note({"forget": tree})
        return count

    def _note(self, facts: dict[str, Any]) -> None:
        line = json.dumps(facts).encode()
        # Alone: what another process adds between the look and the renaming would go with the older half.
        with oslock.hold(self._path.with_suffix(".lock"), timeout=None, name="verdicts"):
            with self._path.open("ab") as file:
                if file.tell() and not self._ends_well():
                    file.write(b"\n")
                file.write(line + b"\n")
                size = file.tell()
            if size > self._most:
                data = self._path.read_bytes()
                fresh = self._path.with_suffix(".new")
                fresh.write_bytes(data[data.index(b"\n", len(data) // 2) + 1 :])
                fresh.replace(self._path)

    def _ends_well(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read() == b"\n"


def _read(line: bytes) -> Run | str | None:
    """Read a line: a run, or the tree of which all before is forgotten; one that is torn or strange says nothing."""
    try:
        found: Any = json.loads(line)
        if isinstance(found.get("forget"), str):
            return str(found["forget"])
        values = {name: value for name, value in found.items() if name in _FIELDS}
        values["passed"] = values.get("passed") is True
        values["members"] = tuple(map(str, values.get("members", ())))
        values["seconds"] = float(values.get("seconds", 0))
        return Run(**values) if values["tree"] and values["gate"] else None
    except (ValueError, TypeError, AttributeError, KeyError):
        return None
