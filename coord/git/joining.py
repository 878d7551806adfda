"""Joining small packs and loose objects into a larger pack, beside any git and unseen by it.

`git repack` will not do. What it takes away as packed, a gc that began before may just have
unpacked, to delete that pack next; and a gc or an fsck from under which packs go fails. So here
the new pack is marked to be kept while anything goes, which makes every gc leave it alone; only
what is in it goes; and only while no git lives that takes stock of packs. Killed at any point
this loses nothing, and the next one clears away what is left.

Run as a program it is given the repository and, by inheritance, the lock that makes it the only one.
"""

import fcntl
import os
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from coord.git import maintain, others, packs
from coord.git.repo import Git
from coord.git.synced import sync
from coord.model.errors import CoordError, Unavailable

_PATIENCE = 600.0
_LIMIT = 600.0
_FIRST_LOOK, _LATER_LOOKS = 0.05, 1.0
_LEFT = maintain.PACKS // 2
_AT_ONCE = 100  # loose objects that go in about a millisecond
_HIDDEN = ".joined-"
# Objects come without paths, by which git would find alike ones; a wider search makes up for it, within bounds.
_PACKING = ("--quiet", "--delta-base-offset", "--index-version=2", "--window=60", "--window-memory=100m")
_SETTINGS = {"core.fsync": "all", "pack.packSizeLimit": "0"}


def at_once(common: Path, patience: float = _PATIENCE) -> None:
    """Join what may be joined, here and now, after whoever does it already.

    Raises:
        Unavailable: git could not pack.
    """
    lock = maintain.lock_of(common)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        join(common, patience)


def join(common: Path, patience: float = _PATIENCE) -> None:
    """Join what may be joined; the caller holds the lock.

    Waits up to PATIENCE seconds, before as well as after, for gits that take stock; what cannot
    go then stays for the next time.

    Raises:
        Unavailable: git could not pack.
    """
    _clear_away(common)
    if not _quiet(common, time.monotonic() + patience):
        return
    old = choose(packs.joinable(common))
    loose = packs.loose(common) if maintain.many_loose(common) else {}
    if len(old) < 2 and not loose:
        return
    with _packed(common, old, loose) as new:
        sync(new.parent)
        deadline = time.monotonic() + patience
        while _quiet(common, deadline) and _is_kept(new):
            if _remove_packs(common, old) and _remove_loose(common, loose):
                break


def choose(sizes: dict[Path, int]) -> list[Path]:
    """Return those of some packs that are worth joining: afterwards each is twice as large as all smaller ones.

    This is how `git repack --geometric=2` chooses, but by bytes, which are what joining costs,
    and never leaving more than half of what is too many.
    """
    chosen: list[Path] = []
    total = 0
    for pack in sorted(sizes, key=lambda one: (sizes[one], one)):
        if chosen and len(sizes) - len(chosen) <= _LEFT and sizes[pack] >= 2 * total:
            break
        chosen.append(pack)
        total += sizes[pack]
    return chosen


@contextmanager
def _packed(common: Path, old: Sequence[Path], loose: Collection[str]) -> Iterator[Path]:
    """Pack all that is in packs and LOOSE, and keep that pack from every gc inside."""
    folder = packs.folder_of(common)
    wanted = {name for pack in old for name in packs.names(pack)}.union(loose)
    base = folder / f".tmp-{os.getpid()}-pack"  # as git's own, so that whoever sweeps those takes it
    command = ("pack-objects", *_PACKING, str(base))
    stdin = "".join(f"{name}\n" for name in wanted).encode()
    done = Git(common).run(*command, stdin=stdin, env={"GIT_DIR": str(common)}, timeout=_LIMIT, config=_SETTINGS)
    new = folder / f"pack-{done.out.decode().strip()}.pack"
    made = [base.with_name(f"{base.name}{new.stem.removeprefix('pack')}.{kind}") for kind in ("pack", "rev", "idx")]
    try:
        with _kept(new):
            for file in made:  # the index, by which others find it, comes last
                if file.suffix != ".rev" or file.exists():
                    file.rename(new.with_suffix(file.suffix))
            wanted.difference_update(packs.names(new))
            if wanted:
                raise Unavailable(f"git left {len(wanted)} objects out of {new}", hint="git fsck")
            yield new
    finally:
        for file in made:
            file.unlink(missing_ok=True)


@contextmanager
def _kept(new: Path) -> Iterator[None]:
    keep = new.with_suffix(".keep")
    if new.exists() or new.with_suffix(".idx").exists():
        raise Unavailable(f"{new} is there already", hint="try again when more has been written")
    with keep.open("xb") as mark:
        mark.write(maintain.JOINED)
    try:
        yield
    finally:
        keep.unlink(missing_ok=True)


def _is_kept(new: Path) -> bool:
    return all(new.with_suffix(suffix).exists() for suffix in (".keep", ".pack", ".idx"))


def _quiet(common: Path, deadline: float) -> bool:
    """Wait until no git takes stock; False when one still does at the deadline."""
    lock, pause = maintain.lock_of(common), _FIRST_LOOK
    waited = False
    try:
        while others.taking_stock(common):
            if time.monotonic() > deadline:
                return False
            if not waited:
                waited = True
                lock.write_bytes(maintain.WAITING)
            time.sleep(pause)
            pause = min(2 * pause, _LATER_LOOKS)
        return True
    finally:
        if waited:
            lock.write_bytes(b"")


def _remove_packs(common: Path, old: Sequence[Path]) -> bool:
    """Remove packs unless a git takes stock: who began just now finds them where they were. Tell whether they went.

    Out of sight first, for a git needs longer from its start to the packs than a look takes.
    """
    still = packs.joinable(common)  # without those that have become somebody's meanwhile
    hidden = [(pack, pack.with_name(_HIDDEN + pack.name)) for pack in old if pack in still]
    for pack, aside in hidden:
        with suppress(FileNotFoundError):
            pack.rename(aside)
    if others.taking_stock(common):
        for pack, aside in hidden:
            _bring_back(pack, aside)
        return False
    for pack, aside in hidden:
        pack.with_suffix(".rev").unlink(missing_ok=True)
        pack.with_suffix(".idx").unlink(missing_ok=True)
        aside.unlink(missing_ok=True)
    return True


def _bring_back(pack: Path, aside: Path) -> None:
    with suppress(FileNotFoundError):
        if pack.with_suffix(".idx").exists() and not pack.exists():
            aside.rename(pack)
        else:
            aside.unlink()


def _remove_loose(common: Path, loose: dict[str, Path]) -> bool:
    files = list(loose.values())
    for begin in range(0, len(files), _AT_ONCE):
        if others.taking_stock(common):
            return False
        for file in files[begin : begin + _AT_ONCE]:
            file.unlink(missing_ok=True)
    return True


def _clear_away(common: Path) -> None:
    """Put right what a killed one left: its mark, and packs out of sight, back where their index still is."""
    folder = packs.folder_of(common)
    for aside in folder.glob(f"{_HIDDEN}*"):
        _bring_back(aside.with_name(aside.name.removeprefix(_HIDDEN)), aside)
    for keep in folder.glob("pack-*.keep"):
        with suppress(FileNotFoundError):
            if keep.read_bytes() == maintain.JOINED:
                keep.unlink()


def main(common: Path) -> None:
    """Join, and leave word for those to come where that failed."""
    try:
        maintain.lock_of(common).write_bytes(b"")
        join(common)
    except (CoordError, OSError):
        maintain.lock_of(common).write_bytes(maintain.FAILED)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
