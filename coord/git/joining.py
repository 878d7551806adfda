"""Joining small packs into a larger one, beside any git and unseen by it.

`git repack` will not do. What it takes away as packed, a gc that began before may just have
unpacked, to delete that pack next; and a gc or an fsck from under which packs go fails. So here
loose objects, most of them the owner's, stay as they are: packed, what nobody refers to yet would
be lost to the next `git repack -a -d`. Packs go when all that is in them is in a new one, which a
gc that does not know it leaves alone; a gc that knows it knows the others, too, and sees to all
that is in any. And they go only while no git lives that takes stock of packs. Killed at any point
this loses nothing, and the next one clears away what is left.

Run as a program it is given the repository and, by inheritance, the lock that makes it the only one.
"""

import fcntl
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from coord.git import maintain, others, packs
from coord.git.repo import Git
from coord.git.synced import sync
from coord.model.errors import CoordError, Unavailable

_PATIENCE = 600.0
_LIMIT = 600.0
_FIRST_LOOK, _LATER_LOOKS = 0.05, 0.25
_FRESH = 0.0005  # seconds; a git needs several times as long from its start to the list of packs
_LEFT = maintain.PACKS // 2
_HIDDEN = ".joined-"
# Out of `objects`: fsck takes any index there for a pack's, and a clone beside us links every file.
_ASIDE = "coord/joining"
_PACKING = ("--quiet", "--delta-base-offset", "--index-version=2", "--window-memory=100m")
_SETTINGS = {"core.fsync": "all", "pack.packSizeLimit": "0", "pack.threads": "1"}
# Objects come without paths, by which git would find alike ones; a wider search makes up for it, once, while they are
# few: a hundred thousand messages in, it took a minute of two cores, for what had been searched before.
_WIDE, _USUAL, _FEW = "--window=60", "--window=10", 4 << 20


def at_once(common: Path, patience: float = _PATIENCE) -> None:
    """Join what may be joined, here and now, after whoever does it already.

    Raises:
        Unavailable: git could not pack.
        FileNotFoundError: a gc took away what was to be packed.
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
        FileNotFoundError: a gc took away what was to be packed.
    """
    _clear_away(common)
    if not _quiet(common, time.monotonic() + patience):
        return
    old = choose(packs.joinable(common))
    if len(old) < 2:
        return
    try:
        new = _pack(common, old)
    finally:
        shutil.rmtree(common / _ASIDE, ignore_errors=True)
    deadline = time.monotonic() + patience
    while _quiet(common, deadline) and packs.is_whole(new):
        if _remove(common, [pack for pack in old if pack != new]):
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


def _pack(common: Path, old: Sequence[Path]) -> Path:
    """Pack all that is in some packs; return the new one, which is durable."""
    wanted = dict.fromkeys(name for pack in old for name in packs.names(pack))
    aside = common / _ASIDE
    (aside / "pack").mkdir(parents=True)
    window = _WIDE if sum(pack.stat().st_size for pack in old) < _FEW else _USUAL
    command = ("pack-objects", *_PACKING, window, str(aside / "pack" / "pack"))
    # Where git writes, what is half written too; it reads from the second.
    env = {
        "GIT_DIR": str(common),
        "GIT_OBJECT_DIRECTORY": str(aside),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(common / "objects"),
    }
    stdin = "".join(f"{name}\n" for name in wanted).encode()
    done = Git(common).run(*command, stdin=stdin, env=env, timeout=_LIMIT, config=_SETTINGS)
    made = aside / "pack" / f"pack-{done.out.decode().strip()}.pack"
    if missing := wanted.keys() - packs.names(made):
        raise Unavailable(f"git left {len(missing)} objects out of {made}", hint="git fsck")
    new = packs.folder_of(common) / made.name
    if not packs.is_whole(new):  # else it is left by one that was interrupted
        with suppress(FileNotFoundError):  # older gits write none
            made.with_suffix(".rev").rename(new.with_suffix(".rev"))
        made.with_suffix(".idx").rename(new.with_suffix(".idx"))
        made.rename(new)  # last: an index alone is nothing to any git, and swept by gc
        sync(new.parent)
    return new


def _quoted(path: Path) -> str:
    """Write a path so that git takes it for one, whatever characters it holds."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


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


def _remove(common: Path, old: Sequence[Path]) -> bool:
    """Remove packs unless a git takes stock: who began just now finds them where they were. Tell whether they went.

    Out of sight first, and that right after a look.
    """
    still = packs.joinable(common)  # without those that have become somebody's meanwhile
    hidden: list[tuple[Path, Path]] = []
    looked = 0.0
    for pack in old:
        if pack not in still:
            continue
        if time.monotonic() - looked > _FRESH:
            if others.taking_stock(common):
                break
            looked = time.monotonic()
        with suppress(FileNotFoundError):
            aside = pack.rename(pack.with_name(_HIDDEN + pack.name))
            hidden.append((pack, aside))
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
    if pack.with_suffix(".idx").exists() and not pack.exists():
        aside.rename(pack)
    else:
        aside.unlink()


def _clear_away(common: Path) -> None:
    """Put right what a killed one left: a new pack half written, old ones out of sight, indexes without their packs."""
    with suppress(FileNotFoundError):
        shutil.rmtree(common / _ASIDE)
    folder = packs.folder_of(common)
    for aside in folder.glob(f"{_HIDDEN}*"):
        _bring_back(aside.with_name(aside.name.removeprefix(_HIDDEN)), aside)
    for index in folder.glob("pack-*.idx"):
        if not index.with_suffix(".pack").exists():
            index.with_suffix(".rev").unlink(missing_ok=True)
            index.unlink(missing_ok=True)


def main(common: Path) -> None:
    """Join, and leave word for those to come where that failed."""
    lock = maintain.lock_of(common)
    try:
        lock.write_bytes(b"")
        join(common)
    except (CoordError, OSError):
        lock.write_bytes(maintain.FAILED)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
