"""Scratch worktrees for gates, which git does not list.

A slot is a folder with a worktree (`tree`) and its own part of git (`git`) beside it, made
by hand as `git worktree add` makes them, but outside `.git/worktrees`: the owner's
`git worktree list` stays as it was, git works inside, and using a slot again writes only
the files that differ. Submodules are not initialised: a test that needs them begins with
`git submodule update --init`, and then leaves nothing to use again.

Every process of a gate inherits an OS lock on the slot's `lock`, so a slot is free when,
and only when, all of them are dead.
"""

import fcntl
import os
import shutil
from pathlib import Path

from coord.model.errors import Unavailable

_SLOTS = 64


class Slot:
    """A scratch worktree with its part of git, held by an OS lock."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.tree = path / "tree"
        self.fd = fd

    @classmethod
    def free(cls, folder: Path) -> "Slot":
        """Take the first slot of FOLDER that nobody uses.

        Raises:
            Unavailable: there is none.
        """
        for number in range(_SLOTS):
            path = folder / str(number)
            path.mkdir(parents=True, exist_ok=True)
            if slot := cls.take(path):
                return slot
        raise Unavailable(f"all {_SLOTS} gates under {folder} are in use", hint="wait for one, or end what is stuck")

    @classmethod
    def take(cls, path: Path) -> "Slot | None":
        """Take the slot at PATH, or None where a process of a gate still lives in it."""
        fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return cls(path, fd)

    def leave(self) -> None:
        """Let others have it once all that was started in it is dead."""
        os.close(self.fd)

    def prepare(self, common: bytes, commit: str) -> None:
        """Make it a worktree that stands on COMMIT; of what an earlier gate left only the index is used."""
        own = self.path / "git"
        if (own / "modules").is_dir():  # it checked out submodules, which nothing but this leads to
            shutil.rmtree(self.tree, ignore_errors=True)
            (own / "index").unlink(missing_ok=True)
        (self.path / "kept").unlink(missing_ok=True)
        if (own / "index").exists():
            (own / "index").replace(self.path / "kept")
        shutil.rmtree(own, ignore_errors=True)
        for name in ("status", "note"):
            (self.path / name).unlink(missing_ok=True)
        own.mkdir()
        self.tree.mkdir(exist_ok=True)
        if (self.path / "kept").exists():
            (self.path / "kept").replace(own / "index")
        (own / "HEAD").write_text(f"{commit}\n")
        (own / "commondir").write_bytes(common + b"\n")
        (own / "gitdir").write_bytes(os.fsencode(self.tree / ".git") + b"\n")
        pointer = self.tree / ".git"
        if pointer.is_dir() and not pointer.is_symlink():
            shutil.rmtree(pointer)
        pointer.unlink(missing_ok=True)
        pointer.write_bytes(b"gitdir: " + os.fsencode(own) + b"\n")

    def forget(self) -> None:
        """Forget how the last command ended."""
        (self.path / "status").unlink(missing_ok=True)

    def status(self) -> int | None:
        """Return the last command's exit status, or None where it did not come to an end."""
        try:
            return int((self.path / "status").read_text())
        except (FileNotFoundError, ValueError):
            return None
