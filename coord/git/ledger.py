"""The ledger as a writer sees it: events become commits on a branch of its own, never through an index."""

import os
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from coord.git import discovery, maintain, names, stale
from coord.git.repo import Done, Git
from coord.git.synced import sync
from coord.model import trailers
from coord.model.errors import CoordError, LedgerMoved, Refused
from coord.model.records import Event

REF = "refs/heads/coord/ledger"
_ATTEMPTS = 3  # `git gc --prune=now` deletes the pack that is being written
_COMMITTER = ("coord", "coord@coord.local")
_TAIL = 512  # bytes at the end of a reflog: its last line, with words
_SETTINGS = {
    "fastimport.unpackLimit": "0",  # one pack for each batch, never loose objects
    "core.fsync": "all",  # pack, index of the pack and the loose ref: git 2.36 and newer
    "core.filesRefLockTimeout": "200",  # milliseconds; other gits hold the ref for microseconds, dead ones for ever
}


class Ledger:
    """The branch that holds one commit for each event."""

    def __init__(self, git: Git, ref: str = REF) -> None:
        self.ref = ref
        self._git = git
        self._common = discovery.find(git.cwd).common

    def tip(self) -> str | None:
        """Return the newest commit, or None before the first."""
        return self._git.peek(self._common, self.ref)

    def append(self, events: Sequence[Event], *, parent: str | None, now: datetime) -> str:
        """Add a commit for each of EVENTS on top of PARENT and return the new tip, when all is durable.

        All are added or none. The caller holds the ledger's guard: only then is a lock file that
        a killed git left on the branch taken away, and only then nothing is lost beside
        `git gc --prune=now` or a storm of `git pack-refs`. Git's own comparison guards against
        commits from outside. About a thousand events is a good batch.

        Raises:
            LedgerMoved: the branch is no longer at PARENT.
            Refused: a key cannot be a path in git; or PARENT is no ledger.
            Unavailable: git could not write, or another process keeps the branch locked.
        """
        if not events:
            raise ValueError("append needs at least one event")
        maintain.make_room(self._common)
        new = self._write(events, parent, int(now.timestamp()))
        self._settle()
        maintain.tend(self._common)
        return new

    def is_ledger(self, commit: str) -> bool:
        """Tell whether any commit up to COMMIT is an event; something else than a commit has none."""
        words = ("rev-list", "--max-count=1", "--grep=^Coord-Event:", "--end-of-options", commit)
        return bool(self._git.run(*words, check=False).out)

    def _wrote(self, tip: str) -> bool:
        """Tell whether it was coord that brought the branch to TIP, as far as its reflog says: that costs no git."""
        try:
            with (self._common / "logs" / self.ref).open("rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - _TAIL))
                *_, last = log.read().splitlines()
        except (OSError, ValueError):
            return False
        return b" %s %s <%s> " % (tip.encode(), *(word.encode() for word in _COMMITTER)) in last

    def _write(self, events: Sequence[Event], parent: str | None, now: int, *, attempts: int = _ATTEMPTS) -> str:
        # Asked before as well as by git: git would accept a branch that was set back to an ancestor.
        if self.tip() != parent:
            raise _moved(parent)
        if parent is not None and not self._wrote(parent) and not self.is_ledger(parent):
            raise Refused(
                f"{self.ref} is at {parent[:10]}, which is no ledger: nothing is written on top of it",
                hint="coord doctor --fix",
            )
        done = self._import(b"".join(_stream(events, self.ref, parent, now)))
        new = done.out.decode().strip()
        if done.status == 0 or (new and self.tip() == new):
            return new
        if self.tip() != parent:
            raise _moved(parent)
        if attempts == 1:
            raise self._failure(done)
        stale.remove(self._common / f"{self.ref}.lock", self._common)
        # A second later the pack has another name: a git that died halfway left its mark on the first one.
        return self._write(events, parent, now + 1, attempts=attempts - 1)

    def _import(self, stream: bytes) -> Done:
        name, address = _COMMITTER
        identity = {"GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": address}  # for the reflog
        options = ("--done", "--quiet", "--date-format=raw")
        return self._git.run("fast-import", *options, stdin=stream, check=False, env=identity, config=_SETTINGS)

    def _settle(self) -> None:
        """Make the new names durable."""
        ref = self._common / self.ref
        missing = [one for one in (self._common / "objects" / "pack", ref.parent, ref.parent.parent) if not sync(one)]
        if missing:
            sync(self._common / "packed-refs")  # where `git pack-refs` has just moved it

    def blocked(self) -> Refused | None:
        """Return what stands in the way of the branch's name, where it does."""
        for blocker in Path(self.ref).parents:
            name = blocker.as_posix()
            if name.startswith("refs/heads/") and self._git.tip(name):
                branch = name.removeprefix("refs/heads/")
                return Refused(
                    f"a branch named {branch} stands in the way of the ledger's branch {self.ref}",
                    hint=f"rename it: git branch -m {branch} <new name>",
                )
        return None

    def _failure(self, done: Done) -> CoordError:
        return self.blocked() or self._git.failure(["fast-import"], done)


def _stream(events: Sequence[Event], ref: str, parent: str | None, now: int) -> Iterator[bytes]:
    """Yield what `git fast-import` reads: equal contents once, then the commits, then the question for the tip."""
    marks: dict[bytes, int] = {}
    for event in events:
        for change in event.changes:
            if change.data is not None and change.data not in marks:
                marks[change.data] = mark = len(marks) + 1
                yield b"blob\nmark :%d\n" % mark + _data(change.data)
    last = len(marks) + len(events)
    for number, event in enumerate(events, len(marks) + 1):
        yield b"commit %s\nmark :%d\n" % (ref.encode(), number)
        yield _identity(b"author", trailers.author(event.agent), int(event.at.timestamp()))
        yield _identity(b"committer", _COMMITTER, now)
        yield _data(trailers.message(event).encode(errors="replace"))
        if parent is not None and number == len(marks) + 1:
            yield b"from %s\n" % parent.encode()
        for change in event.changes:
            if change.data is None and not names.fits(change.key):
                continue  # git never held it
            path = _path(change.key)
            yield b"D %s\n" % path if change.data is None else b"M 100644 :%d %s\n" % (marks[change.data], path)
        yield b"\n"
    yield b"get-mark :%d\ndone\n" % last


def _moved(parent: str | None) -> LedgerMoved:
    return LedgerMoved(f"the ledger is no longer at {parent or 'its beginning'}", hint="read it again and retry")


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)


def _identity(role: bytes, who: tuple[str, str], seconds: int) -> bytes:
    name, address = (re.sub(r"[<>\x00-\x1f\x7f]", "", text).encode(errors="replace") for text in who)
    return b"%s %s <%s> %d +0000\n" % (role, name, address, max(seconds, 0))


def _path(key: str) -> bytes:
    """Write a key as fast-import's quoted path, whatever characters it holds."""
    if not names.fits(key):
        raise Refused(f"{key!r} cannot be a path in the ledger", hint="give the file an ordinary name")
    quoted = (
        b"%c" % byte if 32 <= byte < 127 and byte not in b'"\\' else b"\\%03o" % byte for byte in os.fsencode(key)
    )
    return b'"%s"' % b"".join(quoted)
