"""What a disk may hold after the power went: every state that a recorded run can leave.

A file's data is safe after its sync, a name after the sync of its folder. What was not synced
may have come to the disk or not, each on its own; only changes of one name keep their order.
Data that was not synced may be torn, or be zeros. Source: Pillai and others, "All File Systems
Are Not Created Equal" (OSDI 2014).
"""

import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Literal

from disk import Disk
from diskops import Data, Names, Op, Size, Slot, Sync, Tip

from coord.git.ledger import REF

Fate = Literal["kept", "lost", "torn", "clipped", "zero"]
Fates = Mapping[int, Fate]
_DAMAGES: tuple[Fate, ...] = ("lost", "torn", "clipped", "zero")


@dataclass(frozen=True)
class Cut:
    """The power went after AT operations; what was not synced had these fates, else it was kept."""

    at: int
    how: str
    fates: Fates = field(repr=False)


@dataclass(frozen=True)
class State:
    """What is on the disk then: files by path (None is a folder), and the ledger's tip."""

    cut: Cut
    files: Mapping[str, bytes | None] = field(repr=False)
    times: Mapping[str, int] = field(repr=False)
    tip: str = field(repr=False)

    @property
    def digest(self) -> str:
        """Name exactly this content."""
        return sha256(repr((sorted(self.files.items()), self.tip)).encode()).hexdigest()

    def lay(self, home: Path) -> None:
        """Write it into a repository that has nothing of it."""
        for path, data in sorted(self.files.items()):
            if data is None:
                (home / path).mkdir(exist_ok=True)
            else:
                (home / path).write_bytes(data)
                if path in self.times:
                    os.utime(home / path, ns=(self.times[path], self.times[path]))
        if self.tip:
            (home / ".git" / REF).write_text(f"{self.tip}\n")


class Run:
    """A recorded run, from which the states are made; TIP is where the ledger was before it."""

    def __init__(self, disk: Disk, tip: str) -> None:
        self.ops = disk.ops
        self._disk = disk
        self._tip = tip
        self._slots: dict[Slot, int] = {}
        for path, node in disk.before.items():
            folder, _, name = path.rpartition("/")
            if path:
                self._slots[disk.before[folder], name] = node

    def end(self) -> State:
        """Return the state at the end, with nothing lost."""
        return self.state(Cut(len(self.ops), "all kept", {}))

    def cuts(self, at: int, rng: random.Random, *, mixed: int) -> Iterator[Cut]:
        """Yield the cuts after AT operations: the plain ones, and MIXED more in which each fate is drawn."""
        loose = self._unsynced(at)
        names = [index for index in loose if isinstance(self.ops[index], Names | Tip)]
        data = [index for index in loose if index not in names]
        yield Cut(at, "all kept", {})
        if not loose:
            return
        yield Cut(at, "all unsynced lost", dict.fromkeys(loose, "lost"))
        yield Cut(at, "names lost", dict.fromkeys(names, "lost"))
        for fate in _DAMAGES:
            yield Cut(at, f"data {fate}", dict.fromkeys(data, fate))
        for one in loose:
            later = [two for two in names if two >= one]
            yield Cut(at, f"names from {one} on lost", dict.fromkeys(later, "lost"))
            yield Cut(at, f"only {one} lost", {one: "lost"})
            yield Cut(at, f"only {one} kept", dict.fromkeys((two for two in loose if two != one), "lost"))
        for _ in range(mixed):
            fates: dict[int, Fate] = {one: rng.choice(("kept", "lost")) for one in names}
            fates |= {one: rng.choice(("kept", *_DAMAGES)) for one in data}
            yield Cut(at, f"mixed: {fates}", fates)

    def _unsynced(self, at: int) -> list[int]:
        left: list[int] = []
        for index, op in enumerate(self.ops[:at]):
            if isinstance(op, Sync):
                left = [one for one in left if not _settles(op, self.ops[one])]
            else:
                left.append(index)
        return left

    def state(self, cut: Cut) -> State:
        """Return what the disk holds after a cut."""
        at, fates = cut.at, cut.fates
        kept = self._kept(at, fates)
        slots, contents, tip = dict(self._slots), dict(self._disk.contents), self._tip
        for index, op in enumerate(self.ops[:at]):
            if index not in kept:
                continue
            match op:
                case Names():
                    for slot, node in op.slots:
                        slots.pop(slot, None)
                        if node is not None:
                            slots[slot] = node
                case Tip():
                    tip = op.commit
                case Data():
                    contents[op.node] = _written(contents.get(op.node, b""), op, fates.get(index, "kept"))
                case Size():
                    contents[op.node] = contents.get(op.node, b"")[: op.size].ljust(op.size, b"\0")
                case Sync():
                    pass
        placed = dict(self._placed(slots))
        files = {path: None if node in self._disk.folders else contents.get(node, b"") for path, node in placed.items()}
        times = {path: self._disk.times[node] for path, node in placed.items() if node in self._disk.times}
        return State(cut, files, times, tip)

    def _kept(self, at: int, fates: Fates) -> set[int]:
        """Return what came to the disk: changes of one name in their order, with all that something safe rests on."""
        safe = set(range(at)) - set(self._unsynced(at))
        before: dict[int, set[int]] = {}
        last: dict[Slot, int] = {}
        for index, op in enumerate(self.ops[:at]):
            if isinstance(op, Names):
                before[index] = {last[slot] for slot, _ in op.slots if slot in last}
                last.update((slot, index) for slot, _ in op.slots)
        for index in reversed(range(at)):
            if index in safe:
                safe |= before.get(index, set())
        kept: set[int] = set()
        for index in range(at):
            if index in safe or (before.get(index, set()) <= kept and fates.get(index, "kept") != "lost"):
                kept.add(index)
        return kept

    def _placed(self, slots: Mapping[Slot, int]) -> Iterator[tuple[str, int]]:
        below: dict[int, list[tuple[str, int]]] = {}
        for (folder, name), node in slots.items():
            below.setdefault(folder, []).append((name, node))
        waiting = [("", self._disk.before[""])]
        while waiting:
            path, folder = waiting.pop()
            inside = [(f"{path}/{name}".lstrip("/"), node) for name, node in below.get(folder, [])]
            waiting += inside
            yield from inside


def _settles(sync: Sync, op: Op) -> bool:
    match op:
        case Data() | Size():
            return op.node == sync.node
        case Names():
            # A rename is there with its new name; without one it is a removal.
            made = [folder for (folder, _), node in op.slots if node is not None]
            return sync.node in (made or [folder for (folder, _), _ in op.slots])
        case Tip():
            return sync.node is None
    return False


def _written(old: bytes, op: Data, fate: Fate) -> bytes:
    data = op.data
    match fate:
        case "torn":
            data = data[: len(data) // 2]
        case "clipped":
            data = data[:-1]
        case "zero":
            data = bytes(len(data))
    return old[: op.offset].ljust(op.offset, b"\0") + data + old[op.offset + len(data) :]
