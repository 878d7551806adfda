"""`coord watch`: one daemon per repository, in the foreground or detached."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from types import FrameType, MappingProxyType

from coord.daemon import door, sources
from coord.daemon.adopting import Adopting
from coord.daemon.committing import Committing
from coord.daemon.foreseeing import Foreseeing
from coord.daemon.loop import Loop
from coord.daemon.narrate import Narrator
from coord.daemon.observe import Observer
from coord.daemon.perform import Performer
from coord.model import times
from coord.model.errors import CoordError, Refused, Unavailable
from coord.service import watching
from coord.service.coord import DAEMON_BELL, Coord
from coord.stores import oslock
from coord.stores.bell import Bell

_START_LIMIT = 15.0
_LETS_GO = 1.0


def watch(
    coord: Coord,
    *,
    seconds: float | None = None,
    say: Callable[[str], None],
    answers: Mapping[str, door.Answer] = MappingProxyType({}),
) -> None:
    """Run the daemon in this process until it is told to stop; ANSWERS serve who comes to its door.

    Raises:
        Refused: another one runs already; says which.
    """
    until = coord.clock.monotonic() + seconds if seconds is not None else None
    with _stopping(coord) as stopped:
        while not _session(coord, stopped, until, say, answers):
            say("what is watched was removed or replaced; watching what is there now")
    say("stopped; everything is in the ledger")


def _session(
    coord: Coord,
    stopped: Callable[[], bool],
    until: float | None,
    say: Callable[[str], None],
    answers: Mapping[str, door.Answer],
) -> bool:
    """Watch until told to stop (True), or until the folders or coord's own are not those any more (False).

    Without that a daemon would go on unheard beside the next one, behind a lock that nobody sees.
    """
    with _alone(coord), coord.bells.listen(DAEMON_BELL) as bell:
        try:
            return _watched(coord, bell, stopped, until, say=say, answers=answers)
        except (CoordError, OSError):
            if not bell.is_lost():
                raise
            return False  # removed while it began, or ended


def _watched(
    coord: Coord,
    bell: Bell,
    stopped: Callable[[], bool],
    until: float | None,
    *,
    say: Callable[[str], None],
    answers: Mapping[str, door.Answer],
) -> bool:
    coord.commits = True
    narrator = Narrator(coord, say)  # first: what comes once others can see the daemon is told
    watching.announce(coord)
    foreseeing = Foreseeing(coord, say, lambda: _ring(coord))
    observer = Observer(coord, lambda: foreseeing.latest)
    performer = Performer(coord, observer, say)
    committing = Committing(coord, say, narrator.tell)
    loop = Loop(coord, observer, performer)
    say(f"watching {coord.home} for {len(coord.config.names)} agents (pid {os.getpid()})")
    adopting = Adopting(coord, lambda: _ring(coord))
    heard = sources.Heard(ring=lambda: _ring(coord), moved=loop.moved, wrote=adopting.wrote)
    with sources.watching(coord.home, heard) as watched:
        try:
            with (
                adopting.going_on(),
                committing.going_on(),
                foreseeing.going_on(),
                door.opened(coord.private, answers, say),
            ):
                try:
                    loop.run(bell, lambda: stopped() or bell.is_lost() or watched.is_lost(), until)
                finally:
                    performer.landing.stop()
        finally:
            watching.renounce(coord)
        return stopped() or not (bell.is_lost() or watched.is_lost())


def once(coord: Coord, *, say: Callable[[str], None]) -> None:
    """Do everything there is to do now, and end: for a crontab, or to see what the daemon would do."""
    with _alone(coord), coord.bells.listen(DAEMON_BELL):
        coord.commits = True
        foreseeing = Foreseeing(coord, say, lambda: None)
        observer = Observer(coord, lambda: foreseeing.latest)
        narrator = Narrator(coord, say)
        performer = Performer(coord, observer, say)
        loop = Loop(coord, observer, performer)
        try:
            coord.committer.settle()  # who was told of what is read from the ledger
            coord.store.sweep()
            seen = None
            foreseeing.look()
            while foreseeing.latest and foreseeing.latest.tip != seen:  # once more where a landing left others behind
                seen = foreseeing.latest.tip
                while loop.cycle(full=True):
                    time.sleep(0.05)
                foreseeing.look()
        finally:
            performer.landing.stop()
            coord.committer.settle()
            narrator.tell()


def _alone(coord: Coord) -> oslock.Singleton:
    """Take the lock of the one daemon.

    One that was killed while it began a git lives on in it, until that git is under way.
    """
    deadline = time.monotonic() + _LETS_GO
    while (lock := oslock.singleton(coord.private / "guards" / watching.LOCK)) is None:
        if watching.find(coord).state == "running" or time.monotonic() > deadline:
            raise _running(coord)
        time.sleep(0.01)
    return lock


def detach(coord: Coord, *words: str) -> watching.Daemon:
    """Start the daemon in a session of its own, with more WORDS on its command line; return once it watches.

    Raises:
        Refused: one runs already.
        Unavailable: it ended at once; names its log.
    """
    if watching.find(coord).state == "running":
        raise _running(coord)
    log = watching.log(coord)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        child = subprocess.Popen(
            # -P: the coordinated repository may have a folder called coord, and its code is not ours to run.
            [sys.executable, "-P", "-m", "coord", "--repo", str(coord.home), "watch", *words],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            cwd=coord.home,
        )
    deadline = time.monotonic() + _START_LIMIT
    while time.monotonic() < deadline:
        found = watching.find(coord)
        if found.state == "running" and found.pid == child.pid:
            return found
        if child.poll() is not None:
            break
        time.sleep(0.02)
    raise Unavailable(f"the daemon did not start (status {child.poll()})", hint=f"see the end of {log}")


def _running(coord: Coord) -> Refused:
    found = watching.find(coord)
    since = f", since {times.format_time(found.since)}" if isinstance(found.since, datetime) else ""
    return Refused(
        f"a daemon watches {coord.home} already (pid {found.pid or 'unknown'}{since})",
        hint="see `coord watch status`, or end it with `coord watch stop`",
        pid=found.pid,
    )


def _ring(coord: Coord) -> None:
    coord.bells.ring(DAEMON_BELL)


@contextmanager
def _stopping(coord: Coord) -> Iterator[Callable[[], bool]]:
    """Turn SIGINT, SIGTERM and SIGHUP into a question that the loop asks between two steps."""
    asked: list[int] = []

    def ask(number: int, _frame: FrameType | None) -> None:
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.append(number)
        coord.bells.ring(DAEMON_BELL)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
