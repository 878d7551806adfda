"""What dead processes of coord left: half-written files, places in a queue, bells that nobody hears."""

import errno
import json
import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from coord.model import keys
from coord.model.records import Process
from coord.service.coord import CONFIG_NAME, Coord
from coord.service.doctor import guards
from coord.service.doctor.finding import Finding, counted, place
from coord.service.doctor.kept import Kept
from coord.service.measuring import bench as measuring
from coord.stores import oslock

_REST = 60.0


def temporary(coord: Coord) -> Iterator[Finding]:
    """Find files that dead processes were writing."""
    tops = (coord.private / "tmp", *(coord.home / folder for folder in keys.FOLDERS))
    walked = (Path(top) / name for start in tops for top, _, names in os.walk(start) for name in names)
    beside = (coord.home / CONFIG_NAME, coord.private / "daemon.json", coord.private / "journal" / "state.json")
    marks = (coord.home / folder / ".coord" for folder in keys.FOLDERS)
    fixed = (path.with_name(f"{path.name}.tmp") for path in (*beside, *marks))
    found = [*(path for path in walked if _is_orphan(path.name)), *_resting(fixed)]
    if found:
        yield Finding(
            code="temporary-files",
            what=f"{counted(found, 'file')} that a dead process was writing",
            where=place(coord, *found),
            why="what was acknowledged is elsewhere; these take space",
            next="they are put aside",
            mend=partial(_put_aside, found),
        )


def tickets(coord: Coord) -> Iterator[Finding]:
    """Find places in the queue for a lease that dead processes hold."""
    folder = coord.private / "waiting"
    waiting = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [path for path in waiting if _is_dead(path)]
    if found:
        yield Finding(
            code="tickets-of-the-dead",
            what=f"{counted(found, 'place')} in the queue for a lease, held by the dead",
            where=place(coord, *found),
            why="those behind them wait for nobody",
            next="their tickets are put aside",
            mend=partial(_put_aside, found),
        )


def bells(coord: Coord) -> Iterator[Finding]:
    """Find bells whose listener is dead."""
    found = [path for path in sorted((coord.private / "bells").glob("*.bell/*")) if _is_unheard(path)]
    if found:
        yield Finding(
            code="bells-unheard",
            what=f"{counted(found, 'bell')} of a listener that died without cleaning up",
            where=place(coord, *found),
            why="whoever rings opens each of them in vain",
            next="the bells, which hold nothing, are removed",
            mend=partial(_remove, found),
        )


def bench(coord: Coord) -> Iterator[Finding]:
    """Find the repository that a killed `coord bench` was measuring in."""
    folder = coord.private / measuring.FOLDER
    if folder.is_dir() and not guards.is_held(coord, measuring.FOLDER):
        yield Finding(
            code="bench-left",
            what="a `coord bench` was killed, and left what it measured with",
            where=place(coord, folder),
            why="it takes space, and is nobody's work",
            next="it is removed",
            mend=partial(_remove_bench, coord, folder),
        )


def _is_orphan(name: str) -> bool:
    """Tell whether NAME is that of a file which a dead process was writing: `pid~start~boot~random`, or so hidden."""
    match name.removeprefix(".").split("~"):
        case [pid, started_at, boot, _] if pid.isdecimal():
            return oslock.is_alive(Process(pid=int(pid), started_at=started_at, boot=unquote(boot))) is False
    return False


def _is_dead(ticket: Path) -> bool:
    try:
        plain = json.loads(ticket.read_bytes())["process"]
        return oslock.is_alive(Process(**plain)) is False
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError):
        return bool(_resting([ticket]))


def _is_unheard(bell: Path) -> bool:
    try:
        if not stat.S_ISFIFO(bell.lstat().st_mode) or (bell.name.startswith(".") and not _resting([bell])):
            return False
        os.close(os.open(bell, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW))
    except OSError as error:
        return error.errno == errno.ENXIO
    return False


def _resting(paths: Iterable[Path]) -> list[Path]:
    """Return those that are there and that nobody has touched for a while."""
    before = time.time() - _REST
    return [path for path in paths if os.path.lexists(path) and path.lstat().st_mtime < before]


def _put_aside(found: Sequence[Path], kept: Kept) -> None:
    for path in found:
        kept.move(path)


def _remove_bench(coord: Coord, folder: Path, _kept: Kept) -> None:
    lock = oslock.singleton(coord.private / "guards" / f"{measuring.FOLDER}.lock")
    if lock is not None:
        with lock:
            shutil.rmtree(folder)


def _remove(found: Sequence[Path], _kept: Kept) -> None:
    for path in found:
        path.unlink(missing_ok=True)
