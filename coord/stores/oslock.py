"""OS file locks, and whether a process still lives.

Two ways to take the same flock, which therefore exclude each other on one file:
`hold` waits in the kernel, for critical sections that last microseconds (1 µs a
pair, woken at once); `singleton` goes through filelock, for locks held as long as
a process runs (62 µs a pair, and it polls every 50 ms when contended, which such
a lock never notices). Both keep the file for ever: unlinking a lock file on
release lets two holders in. Both are close-on-exec and freed by the kernel.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

import filelock
import psutil

from coord.model.errors import Conflict, NotFound, Refused, TimedOut, Usage
from coord.model.records import Process
from coord.model.regex import regex
from coord.stores import patience
from coord.stores.base import Guard
from coord.stores.durable import faults

_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.020
_LAST_BREATH = 0.5
_UNKNOWN = "-"
_IDLE, _BUSY = b"idle ", b"busy "
_STATE, _PID = 5, 16  # the mark: its state, who was inside last in ten digits and a blank, the boot
# Raised before anything is noted: a refusal leaves nothing to finish.
_ORDERLY = (Usage, NotFound, Refused, Conflict)
_SECONDS = regex(r"\d{1,12}(\.\d{1,6})?")
_TICK, _CLOCK_SLACK = 0.005, 1.0


@contextmanager
def hold(path: Path, *, timeout: float | None, name: str) -> Iterator[Guard]:
    """Hold the exclusive lock on PATH, alone among all processes and threads of this machine.

    Who waits for ever says after some seconds, on stderr, which process it waits for.

    Raises:
        TimedOut: TIMEOUT seconds passed first; None waits for ever, 0 tries once.
        Unavailable: the lock file cannot be opened.
    """
    with faults(f"lock {path}"):
        fd = _take(path, None if timeout is None else time.monotonic() + timeout, name)
    if fd is None:
        message = f"{name} stayed busy for {timeout:g} s: {_inside(path)[0]} holds {path}"
        raise TimedOut(message, hint="run it again, or give it more time", name=name)
    owner = os.getpid()
    try:
        with faults(f"lock {path}"):
            inherited = _enter(fd)
        try:
            yield Guard(name, inherited=inherited)
        except _ORDERLY:
            _leave(fd, owner)
            raise
        _leave(fd, owner)
    finally:
        # A child forked meanwhile shares the lock, and closing would leave it to the child: so it
        # is undone by name, and only by the process that took it.
        if os.getpid() == owner:
            fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)


def _leave(fd: int, owner: int) -> None:
    if os.getpid() == owner:
        with suppress(OSError):  # then the next one finds the section busy, and looks after it
            os.pwrite(fd, _IDLE, 0)


def _enter(fd: int) -> bool:
    """Mark the section busy; True unless its last holder, since this boot, marked it idle.

    Two small writes into a file that is always there cost microseconds and no sync: a mark lost
    to a power cut bears another boot's name, or none.
    """
    boot, busy = me().boot.encode(), b"%s%010d " % (_BUSY, os.getpid())
    found = os.pread(fd, 256, 0)
    inherited = not found.startswith(_IDLE) or found[_PID:] != boot
    if inherited:
        _outlive(found, boot)
        os.ftruncate(fd, 0)
        os.pwrite(fd, busy + boot, 0)
    else:
        os.pwrite(fd, busy, 0)
    return inherited


def _outlive(mark: bytes, boot: bytes) -> None:
    """Wait until who was inside last is gone, for a moment at most.

    A dying process lets go of its locks before anybody can tell that it is dead, and what it noted and
    did not finish would pass for a living one's, to be left alone.
    """
    digits = mark[_STATE:_PID].strip()
    if not mark.startswith(_BUSY) or mark[_PID:] != boot or not digits.isdigit() or int(digits) == os.getpid():
        return
    deadline = time.monotonic() + _LAST_BREATH
    while _HERE.of(int(digits)) is not None and time.monotonic() < deadline:
        time.sleep(_FIRST_PAUSE)


def _inside(path: Path) -> tuple[str, str]:
    """Say who is inside, as its mark has it, and what can be done about that."""
    mark = _read(str(path))
    digits = mark[_STATE:_PID].strip()
    if not mark.startswith(_BUSY.decode()) or not digits.isdecimal() or mark[_PID:] != me().boot:
        return "another process", "see who has it open, with lsof or fuser"
    pid = int(digits)
    try:
        stopped = psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except psutil.Error:
        stopped = False
    if stopped:
        return f"process {pid}, which is stopped,", f"resume it with kill -CONT {pid}, or end it with kill -KILL {pid}"
    return f"process {pid}", f"if it hangs, end it with kill -KILL {pid}: the next one finishes what it began"


def _waited_for(path: Path, name: str) -> str:
    who, way_out = _inside(path)
    return f"waiting for the guard {name!r}: {who} holds it; {way_out}"


def _take(path: Path, deadline: float | None, name: str) -> int | None:
    while True:
        fd = _open(path)
        try:
            locked = _wait(fd, path, name) if deadline is None else _poll(fd, deadline)
            if locked and os.fstat(fd).st_nlink:
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        if not locked:
            return None


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o644)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, 0o644)


def _wait(fd: int, path: Path, name: str) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with patience.speaking(lambda: _waited_for(path, name)):
            fcntl.flock(fd, fcntl.LOCK_EX)
    return True


def _poll(fd: int, deadline: float) -> bool:
    pause = _FIRST_PAUSE
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)
        else:
            return True


class Singleton:
    """A lock held for as long as its owner runs; a context manager, or `release` it."""

    def __init__(self, lock: "filelock.BaseFileLock") -> None:
        self._lock = lock

    def release(self) -> None:
        """Let the next one in; harmless when done already."""
        self._lock.release()

    def __enter__(self) -> "Singleton":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def singleton(path: Path) -> Singleton | None:
    """Take the lock on PATH for a single instance, or return None while another process holds it."""
    with faults(f"open the lock {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(
            path, blocking=False, thread_local=False, preserve_lock_file=True, fallback_to_soft=False
        )
        try:
            lock.acquire()
        except filelock.Timeout:
            return None
    return Singleton(lock)


class Processes:
    """Names this process, and tells whether another one lives: by pid, start time and boot together.

    The boot text is `<boot id>/<pid namespace>/<machine>`, with `-` for what the system does
    not tell, and empty where /proc belongs to another pid namespace: then nothing can be told.
    Start times are seconds since boot where PROC shows them (no clock change moves those),
    else seconds since 1970 from psutil, which name a process without a boot id.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._me: Process | None = None

    def me(self) -> Process:
        """Return the identity of this process; cached, and made anew in a forked child."""
        if self._me is None or self._me.pid != os.getpid():
            boot = self._boot()
            seen = self._seen(os.getpid(), boot)
            started_at = "" if seen is None else f"{seen[0]:.2f}"
            self._me = Process(pid=os.getpid(), started_at=started_at, boot=boot)
        return self._me

    def of(self, pid: int) -> Process | None:
        """Return the identity of the process PID, or None where none such runs."""
        boot = self._boot()
        seen = self._seen(pid, boot) if pid > 0 else None
        return None if seen is None or seen[1] else Process(pid=pid, started_at=f"{seen[0]:.2f}", boot=boot)

    def is_alive(self, process: Process) -> bool | None:
        """Tell whether PROCESS still runs: False only on proof, None where this system cannot tell.

        A zombie is dead. A process of another pid namespace or machine is None, never dead.
        """
        mine = self.me()
        if process.boot != mine.boot:
            return False if _rebooted(process.boot, mine.boot) else None
        if not mine.boot or process.pid <= 0:
            return None
        try:
            os.kill(process.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        except OverflowError:
            return None
        return self._is_same(process, mine)

    def of_earlier_boot(self, process: Process) -> bool:
        """Tell whether PROCESS ran on this machine before it was started last."""
        return _rebooted(process.boot, self.me().boot)

    def knows_boots(self) -> bool:
        """Tell whether this system names its boots, so that `of_earlier_boot` can tell."""
        return bool(boot := self.me().boot) and not boot.startswith(_UNKNOWN)

    def _is_same(self, process: Process, mine: Process) -> bool | None:
        seen = self._seen(process.pid, mine.boot)
        if seen is None or not _SECONDS.fullmatch(process.started_at):
            return None
        started, zombie = seen
        if zombie:
            return False
        off = started - float(process.started_at)
        if not mine.boot.startswith(_UNKNOWN):
            return abs(off) < _TICK
        # psutil moves all start times along when the clock is set; my own tells by how much.
        me_now = self._seen(mine.pid, mine.boot)
        moved = me_now[0] - float(mine.started_at) if me_now and mine.started_at else 0.0
        return abs(off - moved) < _CLOCK_SLACK

    def _boot(self) -> str:
        machine = hashlib.sha256(f"{_read('/etc/machine-id')}\n{os.uname().nodename}".encode()).hexdigest()[:12]
        boot = _read(f"{self._proc}/sys/kernel/random/boot_id").strip()
        if not boot:
            return f"{_UNKNOWN}/{_UNKNOWN}/{machine}"
        if _link(f"{self._proc}/self") != str(os.getpid()):
            return ""
        namespace = _link(f"{self._proc}/self/ns/pid").strip("pid:[]") or _UNKNOWN
        return f"{boot}/{namespace}/{machine}"

    def _seen(self, pid: int, boot: str) -> tuple[float, bool] | None:
        return _by_psutil(pid) if boot.startswith(_UNKNOWN) else self._by_proc(pid)

    def _by_proc(self, pid: int) -> tuple[float, bool] | None:
        # proc(5): after the name, which may hold blanks and brackets, come state (3) ... start time (22).
        fields = _read(f"{self._proc}/{pid}/stat").rpartition(") ")[2].split()
        if len(fields) < 20:
            return None
        return int(fields[19]) / os.sysconf("SC_CLK_TCK"), fields[0] in "ZXx"


def _by_psutil(pid: int) -> tuple[float, bool] | None:
    try:
        process = psutil.Process(pid)
        return process.create_time(), process.status() == psutil.STATUS_ZOMBIE
    except psutil.ZombieProcess:
        return 0.0, True
    except psutil.Error:
        return None


def _rebooted(theirs: str, mine: str) -> bool:
    """Tell whether THEIRS is an earlier boot of this machine, which none of its processes survived."""
    match theirs.split("/"), mine.split("/"):
        case [[then, _, there], [now, _, here]]:
            return there == here and then != now and _UNKNOWN not in (then, now)
    return False


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return str(Path(path).readlink())
    except OSError:
        return ""


_HERE = Processes()
me = _HERE.me
is_alive = _HERE.is_alive
process_of = _HERE.of
of_earlier_boot = _HERE.of_earlier_boot
knows_boots = _HERE.knows_boots
