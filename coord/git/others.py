"""Other gits that are at work in a repository right now.

Programs with a git of their own (an editor's) go unnoticed, and so does a git behind an alias.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

# Gits that may live for long and take no lock at all.
READERS = frozenset(["cat-file", "check-attr", "check-ignore", "credential-cache--daemon", "fsck", "fsmonitor--daemon"])
PACKERS = frozenset(
    ["commit-graph", "gc", "maintenance", "multi-pack-index", "pack-objects", "prune", "prune-packed", "repack"]
)
# What lists the packs and then goes through them; any other git that misses a pack looks again.
_STOCK_TAKERS = PACKERS | {"clone", "fsck"}
_EVERY_OBJECT = "--batch-all-objects"
_VALUED = ("-c", "-C", "--attr-source", "--config-env", "--git-dir", "--namespace", "--work-tree")


def living(common: Path, before: float, *, harmless: Collection[str] = READERS) -> tuple[int, str] | None:
    """Return a git in the repository COMMON that was there BEFORE (seconds since 1970) and lives, and what it does.

    HARMLESS are commands that are passed over.
    """
    for process, words in _gits():
        if _verb(words) not in harmless and _began(process) <= before and not _elsewhere(process, words, common):
            return process.pid, " ".join(words[1:])[:60]
    return None


def taking_stock(common: Path) -> bool:
    """Tell whether a git lives in the repository COMMON that finds fault with packs or objects that go meanwhile."""
    return any(
        (_verb(words) in _STOCK_TAKERS or _EVERY_OBJECT in words) and not _elsewhere(process, words, common)
        for process, words in _gits()
    )


def _gits() -> Iterator[tuple["psutil.Process", Sequence[str]]]:
    """Yield each git and its command line; the youngest come last."""
    for pid, name in _names():
        if name == "git" or name.startswith("git-"):
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                yield process, _words(process) or [name]


def _names() -> Iterator[tuple[int, str]]:
    """Yield all processes, those that begin while we look last: what became a git just now is seen."""
    seen = set[int]()
    while new := sorted(set(psutil.pids()) - seen):
        seen.update(new)
        for pid in new:
            with suppress(psutil.Error):
                yield pid, _name(pid)


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").rstrip("\n")
    except FileNotFoundError:  # it has ended, or the system has no such files
        return psutil.Process(pid).name()
    except OSError:
        return ""


def _words(process: "psutil.Process") -> Sequence[str]:
    try:
        return process.cmdline()
    except psutil.AccessDenied:  # another user's
        return ()


def _began(process: "psutil.Process") -> float:
    try:
        return process.create_time()
    except psutil.Error:
        return 0.0


def _verb(words: Sequence[str]) -> str:
    """Return what a git was told to do, behind the options of git itself."""
    program = os.path.basename(words[0])
    if program.startswith("git-"):
        return program.removeprefix("git-")
    valued = False
    for word in words[1:]:
        if not valued and not word.startswith("-"):
            return word
        valued = not valued and word in _VALUED
    return ""


def _elsewhere(process: "psutil.Process", words: Sequence[str], common: Path) -> bool:
    """Tell whether a git surely works on another repository, or not at all any more."""
    try:
        if any(word.startswith("--git-dir") for word in words):
            return False
        here = Path(process.cwd())
        if named := process.environ().get("GIT_DIR"):  # as git tells its hooks and helpers
            return not Path(os.path.realpath(here / named)).is_relative_to(os.path.realpath(common))
        if _verb(words) == "clone" and any(common_around(here / word) == common for word in words[1:]):
            return False
        return common_around(here) != common
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, OSError):
        return False  # another user's: nothing is known of it


def common_around(start: Path) -> Path | None:
    """Return git's common directory of the repository around START, if there is one; says nothing about its state."""
    begin = Path(os.path.realpath(start))
    for top in (begin, *begin.parents):
        private = top if (top / "HEAD").is_file() and (top / "objects").is_dir() else top / ".git"
        if private.is_file():
            words = private.read_text(encoding="utf-8", errors="surrogateescape").removeprefix("gitdir:").strip()
            private = Path(os.path.realpath(top / words))
        if (private / "HEAD").exists():
            pointer = private / "commondir"
            if pointer.exists():
                return Path(os.path.realpath(private / pointer.read_text(encoding="utf-8").strip()))
            return private
    return None
