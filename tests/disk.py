"""Stand between coord and the operating system's file operations below one folder: record them, or make one fail.

For the process that runs coord. What git and SQLite do in C goes past it: of git only the
ledger's tip is recorded, where it moved between two operations; the index is left out.
"""

import builtins
import errno
import fcntl
import io
import os
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

from diskops import Data, Names, Op, Size, Slot, Sync, Tip

from coord.git.ledger import REF
from coord.stores import durable

PRIVATE = ".git/coord"
AREAS = ("inbox", "locks", "checkpoints", PRIVATE)
REFS = f".git/{REF}".rpartition("/")[0]
LEFT_OUT = (f"{PRIVATE}/index.db", f"{PRIVATE}/bells")
_SYNC_DATA = durable.sync_data


@dataclass(frozen=True, slots=True)
class Fault:
    """The AT-th operation (from 1) that the error NUMBER can befall fails with it; LASTING: all after it, too.

    SHORT: instead, the first write from there on takes half of its bytes.
    """

    number: int
    at: int
    lasting: bool = False
    short: bool = False


@dataclass(frozen=True, slots=True)
class _Open:
    path: str
    node: int | None
    append: bool
    identity: tuple[int, int] | None


@dataclass
class Disk:
    """The file operations below TOP, as they happen; NODES says which file or folder bears a path now."""

    top: Path
    fault: Fault | None = None
    ops: list[Op] = field(default_factory=list)
    nodes: dict[str, int] = field(default_factory=dict)
    contents: dict[int, bytes] = field(default_factory=dict)
    times: dict[int, int] = field(default_factory=dict)
    folders: set[int] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)
    struck: int = 0

    def __enter__(self) -> Self:
        self._root = os.path.realpath(self.top)
        self._files: dict[int, _Open] = {}
        self._real_open, self._real_read, self._real_close = os.open, os.read, os.close
        for folder in ("", ".git"):
            self.nodes[folder] = len(self.nodes)
            self.folders.add(self.nodes[folder])
        for area in AREAS:
            self._scan(area)
        self.before = dict(self.nodes)
        self._count = len(self.nodes)
        self._tip = self._seen_tip()
        with ExitStack() as stack:
            for name, kind in _KINDS.items():
                stack.enter_context(patch.object(os, name, self._wrapped(name, kind)))
            stack.enter_context(patch.object(os, "open", self._open))
            stack.enter_context(patch.object(fcntl, "fcntl", self._fcntl(fcntl.fcntl)))
            opened = self._opened(io.open)
            for module in (builtins, io):
                stack.enter_context(patch.object(module, "open", opened))
            if durable.DATA_SYNC is not None:  # bound when its module was loaded
                stack.enter_context(patch.dict(_defaults(_SYNC_DATA), data_sync=os.fdatasync))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._look_at_git()

    def _scan(self, path: str) -> None:
        whole = f"{self._root}/{path}"
        if not _is_kept(path) or not os.path.lexists(whole):
            return
        self.nodes[path] = node = len(self.nodes)
        if Path(whole).is_dir():
            self.folders.add(node)
            for name in sorted(os.listdir(whole)):
                self._scan(f"{path}/{name}")
        else:
            self.contents[node] = Path(whole).read_bytes()
            self.times[node] = os.stat(whole).st_mtime_ns

    # ---- where a call points ----

    def _path(self, target: Any, folder: int | None = None) -> str | None:
        """Return the path below the root, or None where it lies outside."""
        if isinstance(target, int):
            return held.path if (held := self._held(target)) else None
        text = os.fsdecode(target)
        if folder is not None and not text.startswith("/"):
            held = self._held(folder)
            return f"{held.path}/{text}".lstrip("/") if held else None
        whole = os.path.normpath(Path.cwd() / text)
        return whole[len(self._root) + 1 :] if f"{whole}/".startswith(f"{self._root}/") else None

    def _held(self, fd: int) -> _Open | None:
        held = self._files.get(fd)
        if held is not None and held.identity != _identity(fd):  # closed in C, and its number given again
            del self._files[fd]
            return None
        return held

    def _slot(self, path: str) -> Slot:
        folder, _, name = path.rpartition("/")
        return self.nodes[folder], name

    # ---- failing ----

    def reached(self, number: int) -> int:
        """Return how many operations the error NUMBER could have befallen."""
        return sum(self.asked[kind] for kind in _REACH[number])

    def _strike(self, kind: str, path: str | None) -> bool:
        """Raise the fault where its turn has come; True says that this write shall take only half."""
        if path is None and kind != "pipe":
            return False
        self.asked[kind] += 1
        fault = self.fault
        if fault is None or kind not in _REACH[fault.number]:
            return False
        if fault.short and not self.struck:
            self.struck = int(kind == "write" and self.reached(fault.number) >= fault.at)
            return bool(self.struck)
        if (self.struck and fault.lasting) or (self.reached(fault.number) == fault.at and not fault.short):
            self.struck += 1
            raise OSError(fault.number, os.strerror(fault.number), path)
        return False

    # ---- recording ----

    def _note(self, op: Op) -> None:
        self._look_at_git()
        self.ops.append(op)

    def _look_at_git(self) -> None:
        if (tip := self._seen_tip()) != self._tip:
            self._tip = tip
            self.ops.append(Tip(tip))

    def _seen_tip(self) -> str:
        try:
            fd = self._real_open(f"{self._root}/.git/{REF}", os.O_RDONLY)
        except FileNotFoundError:
            return ""
        try:
            return self._real_read(fd, 100).decode().strip()
        finally:
            self._real_close(fd)

    def _name(self, path: str) -> int:
        self.nodes[path] = node = self._count
        self._count += 1
        self._note(Names(((self._slot(path), node),)))
        return node

    def _open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        self._look_at_git()
        place = self._path(path, dir_fd)
        known = place is not None and place in self.nodes
        fresh = place is not None and not known and bool(flags & os.O_CREAT) and _is_kept(place)
        self._strike("create" if fresh else "open", place)
        fd = self._real_open(path, flags, mode, dir_fd=dir_fd)
        if place is not None:
            node = self._name(place) if fresh else self.nodes.get(place)
            self._files[fd] = _Open(place, node, bool(flags & os.O_APPEND), _identity(fd))
            if node is not None and known and flags & os.O_TRUNC:
                self._note(Size(node, 0))
        return fd

    def _opened(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def opened(file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **named: Any) -> Any:
            place = None if isinstance(file, int) else self._path(file)
            if place is None or set(mode) <= set("rbt"):
                self._strike("open", place)
                return real(file, mode, buffering, *rest, **named)
            assert "+" not in mode, f"{place}: no way to record what is opened with {mode!r}"
            raw = _Raw(file, mode.strip("tb"), opener=lambda name, flags: self._open(name, flags, 0o666))
            whole = io.BufferedWriter(raw)
            return whole if "b" in mode else io.TextIOWrapper(whole, *rest, **named)

        return opened

    def _fcntl(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def called(fd: Any, command: int, argument: Any = 0) -> Any:
            if command != durable.FULL_SYNC:
                return real(fd, command, argument)
            self._strike("sync", self._path(fd))
            done = real(fd, command, argument)
            self._did_sync(fd)
            return done

        return called

    def _wrapped(self, name: str, kind: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def called(*args: Any, **named: Any) -> Any:
            self._look_at_git()
            folder = named.get("dir_fd", named.get("dst_dir_fd"))
            path = self._path(args[kind == "rename"], folder) if args else None
            if self._strike(kind, path):
                args = (args[0], bytes(args[1])[: max(len(args[1]) // 2, 1)], *args[2:])
            place = self._place(args) if kind == "write" else 0
            result = real(*args, **named)
            if path is not None:
                self._did(kind, args, named, path, place)
            return result

        return called

    def _place(self, args: Any) -> int:
        held = self._held(args[0])
        if held is None or held.node is None:
            return 0
        if len(args) == 3:
            return int(args[2])
        return os.fstat(args[0]).st_size if held.append else os.lseek(args[0], 0, os.SEEK_CUR)

    def _did(self, kind: str, args: Any, named: Any, path: str, place: int) -> None:
        match kind:
            case "sync":
                self._did_sync(args[0])
            case "write" | "truncate":
                held = self._held(args[0])
                if held is not None and held.node is not None:
                    data = kind == "write"
                    self._note(Data(held.node, place, bytes(args[1])) if data else Size(held.node, args[1]))
            case "mkdir" if _is_kept(path):
                self.folders.add(self._count)
                self._name(path)
            case "unlink" if path in self.nodes:
                slot = self._slot(path)
                del self.nodes[path]
                self._note(Names(((slot, None),)))
            case "rename" if path != (source := self._path(args[0], named.get("src_dir_fd"))) and source in self.nodes:
                assert _is_kept(path), f"{source} went out of sight, to {path}"
                slots = ((self._slot(source), None), (self._slot(path), self.nodes[source]))
                self.nodes[path] = self.nodes.pop(source)
                self._note(Names(slots))

    def _did_sync(self, fd: int) -> None:
        held = self._held(fd)
        if held is not None and (held.path == REFS or held.node is not None):
            self._note(Sync(held.node))


_KINDS = {
    "read": "read",
    "write": "write",
    "pwrite": "write",
    "ftruncate": "truncate",
    "fsync": "sync",
    "fdatasync": "sync",
    "mkdir": "mkdir",
    "unlink": "unlink",
    "remove": "unlink",
    "rmdir": "unlink",
    "rename": "rename",
    "replace": "rename",
    "listdir": "list",
    "scandir": "list",
    "pipe": "pipe",
}
_GROWING = frozenset({"create", "write", "truncate", "sync", "mkdir", "rename"})
_REACH = {
    errno.ENOSPC: _GROWING,
    errno.EDQUOT: _GROWING,
    errno.EMFILE: frozenset({"open", "create", "list", "pipe"}),
    errno.EIO: frozenset({"open", "create", *_KINDS.values()}) - {"pipe"},
}
NUMBERS = tuple(_REACH)


class _Raw(io.FileIO):
    """A file whose writes go through `os`, where they are seen."""

    def write(self, data: Any) -> int:
        return os.write(self.fileno(), data)


def _is_kept(path: str) -> bool:
    inside = any(f"{path}/".startswith(f"{area}/") for area in AREAS)
    return inside and not path.startswith(LEFT_OUT)


def _identity(fd: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(fd)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _defaults(function: Any) -> dict[str, Any]:
    return function.__kwdefaults__  # type: ignore[no-any-return]
