"""What owners do in their own repositories, with git alone, and what they leave when their gits are killed."""

import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from support import eventually, git

LEDGER = "refs/heads/coord/ledger"
Operation = Callable[["Owner"], AbstractContextManager[None]]


def is_in(repo: Path, commit: str, ref: str) -> bool:
    """Tell whether a branch holds a commit."""
    words = ["git", "merge-base", "--is-ancestor", commit, ref]
    return subprocess.run(words, cwd=repo, check=False).returncode == 0


def commit_by_hand(repo: Path, ref: str) -> str:
    """Commit on a branch that nobody has checked out, and return the commit; who does so tries until it is theirs."""
    made = ""

    def moved() -> bool:
        nonlocal made
        tip = git(repo, "rev-parse", ref)
        made = git(repo, "commit-tree", "-p", tip, "-m", "by hand", f"{tip}^{{tree}}")
        words = ["git", "update-ref", ref, made, tip]
        return subprocess.run(words, cwd=repo, check=False, capture_output=True).returncode == 0

    eventually(moved, what="a commit by hand")
    return made


class Owner:
    """Somebody who works on `main` at home; every operation is a context in which others must be able to go on."""

    def __init__(self, repo: Path, chance: random.Random) -> None:
        self.repo = repo
        self.chance = chance
        self.count = 0
        self.by_hand: list[str] = []
        hook = repo.parent / "hooks/pre-commit"
        hook.parent.mkdir()
        hook.write_text("#!/bin/sh\nsleep 600\n")
        hook.chmod(0o755)

    @property
    def index(self) -> bytes:
        """The index, byte for byte."""
        return (self.repo / ".git/index").read_bytes()

    def git(self, *words: str) -> str:
        """Run git, which may not fail: nobody stands in an owner's way."""
        done = subprocess.run(["git", *words], cwd=self.repo, check=False, capture_output=True, text=True)
        assert done.returncode == 0, f"git {' '.join(words)}: {done.stderr}"
        return done.stdout.strip()

    def write(self) -> None:
        self.count += 1
        (self.repo / "web_app/index.html").write_text(f"<p>{self.count}\n")

    @contextmanager
    def commit(self) -> Iterator[None]:
        self.write()
        self.git("commit", "-qam", "more")
        yield

    @contextmanager
    def rebase(self) -> Iterator[None]:
        self.git("switch", "-qc", "topic")
        (self.repo / "README.md").write_text(f"# Farm {self.chance.random()}\n")
        self.git("commit", "-qam", "topic")
        self.git("switch", "-q", "main")
        self.write()
        self.git("commit", "-qam", "main")
        self.git("rebase", "-q", "main", "topic")
        self.git("switch", "-q", "main")
        self.git("merge", "-q", "--ff-only", "topic")
        self.git("branch", "-qd", "topic")
        yield

    @contextmanager
    def collect(self) -> Iterator[None]:
        self.git("gc", "-q")
        yield

    @contextmanager
    def prune(self) -> Iterator[None]:
        self.git("reflog", "expire", "--expire=now", "--all")
        self.git("gc", "-q", "--prune=now")
        yield

    @contextmanager
    def repack(self) -> Iterator[None]:
        self.git("repack", "-adq")
        yield

    @contextmanager
    def pack_refs(self) -> Iterator[None]:
        self.git("pack-refs", "--all")
        yield

    @contextmanager
    def mirror(self) -> Iterator[None]:
        """Clone all there is: the clone is whole, and a beginning of what is here."""
        there = self.repo.parent / "mirror"
        self.git("clone", "-q", "--mirror", ".", str(there))
        found = git(there, "fsck", "--strict", "--no-dangling", "--no-progress")
        assert not found, found
        assert is_in(self.repo, git(there, "rev-parse", LEDGER), LEDGER), "the clone has what was lost here"
        shutil.rmtree(there)
        yield

    @contextmanager
    def commit_on_the_ledger(self) -> Iterator[None]:
        """Commit by hand where coord commits."""
        self.by_hand.append(commit_by_hand(self.repo, LEDGER))
        yield

    @contextmanager
    def killed_commit(self) -> Iterator[None]:
        """Leave `index.lock`; its owner removes it and commits again."""
        self.write()
        lock = self.repo / ".git/index.lock"
        self._kill(("-c", f"core.hooksPath={self.repo.parent}/hooks", "commit", "-qam", "killed"), lock)
        yield
        lock.unlink()
        self.git("commit", "-qam", "again")

    @contextmanager
    def killed_update(self) -> Iterator[None]:
        """Leave `ledger.lock`, which stands in the way of every commit on the ledger: coord itself takes it away."""
        with self.holding(LEDGER):
            pass
        yield

    @contextmanager
    def killed_deletion(self) -> Iterator[None]:
        """Leave `packed-refs.lock`, and what goes with it."""
        self.git("branch", "old")
        self.git("pack-refs", "--all")
        lock = self.repo / ".git/packed-refs.lock"
        self._kill(("update-ref", "--stdin"), lock, b"start\ndelete refs/heads/old\nprepare\n")
        yield
        for left in (lock, lock.with_suffix(".new"), self.repo / ".git/refs/heads/old.lock"):
            left.unlink()
        self.git("branch", "-qD", "old")

    @contextmanager
    def killed_import(self) -> Iterator[None]:
        """Leave a pack half written."""
        packs = self.repo / ".git/objects/pack"
        before = set(packs.iterdir())
        blob = b"blob\ndata 65536\n" + os.urandom(1 << 16)
        self._kill(("fast-import", "--quiet"), lambda: {*packs.glob("tmp_pack_*")} - before, blob * 4)
        yield

    @contextmanager
    def holding(self, ref: str) -> Iterator[Path]:
        """Have a living git keep REF locked, and kill it then."""
        lock = self.repo / ".git" / f"{ref}.lock"
        new = self.git("rev-parse", ref)
        with self._started(("update-ref", "--stdin"), f"start\nupdate {ref} {new}\nprepare\n".encode()):
            eventually(lock.exists, what="locking")
            yield lock

    def _kill(self, words: tuple[str, ...], ready: Path | Callable[[], object], stdin: bytes = b"") -> None:
        with self._started(words, stdin):
            eventually(ready.exists if isinstance(ready, Path) else ready, what=f"git {words[-1]}")

    @contextmanager
    def _started(self, words: tuple[str, ...], stdin: bytes) -> Iterator[None]:
        """Run git with an input that does not end, and kill it with its hooks."""
        with subprocess.Popen(
            ["git", *words], cwd=self.repo, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        ) as process:
            assert process.stdin is not None
            process.stdin.write(stdin)
            process.stdin.flush()
            yield
            os.killpg(process.pid, signal.SIGKILL)


OPERATIONS: tuple[Operation, ...] = (
    Owner.commit,
    Owner.rebase,
    Owner.collect,
    Owner.prune,
    Owner.repack,
    Owner.pack_refs,
    Owner.mirror,
    Owner.commit_on_the_ledger,
    Owner.killed_commit,
    Owner.killed_update,
    Owner.killed_deletion,
    Owner.killed_import,
)
