"""Many processes at one work: forked, started together, ended together."""

import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from types import FrameType
from typing import IO, NoReturn

from coord.model.errors import Unavailable
from coord.model.values import frozen
from coord.service.measuring.benchrows import Work, timed

_PAUSE = 0.002
_READY = b"."
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Start = Callable[[int], Work]


@frozen
class Loop:
    """How many ms each round of one process took; the last one was not finished where it was STOPPED."""

    took: tuple[float, ...]
    stopped: bool = False

    @property
    def done(self) -> int:
        """How many rounds were finished."""
        return len(self.took) - self.stopped


def times_of(loops: Iterable[Loop]) -> list[float]:
    """Return the times of all rounds; of one that was stopped, what it had taken until then."""
    return [one for loop in loops for one in loop.took]


def crowd(
    size: int,
    start: Start,
    *,
    seconds: float = 0.0,
    rounds: int = 0,
    meanwhile: Callable[[], object] = lambda: None,
    grace: float = 600.0,
) -> list["Loop"]:
    """Let SIZE processes work in closed loops for so long or so many ROUNDS; return what each one's took.

    START is called in each of them with its number and returns its work. MEANWHILE is called here
    every 2 ms as long as they run. Whoever is not done GRACE seconds after the time is up is stopped.

    Raises:
        Unavailable: one of them failed; says how.
    """
    held, go = map(_file, os.pipe(), ("rb", "wb"))
    pids: list[int] = []
    pipes: list[IO[bytes]] = []
    try:
        for number in range(size):
            theirs, ours = map(_file, os.pipe(), ("rb", "wb"))
            pipes.append(theirs)
            with _uninterrupted():  # while it forks, Python swallows an interrupt
                pid = os.fork()
                if not pid:
                    go.close()
                    _work(partial(start, number), partial(_loop, seconds, rounds), held, ours)
                pids.append(pid)
            ours.close()
        for pipe in pipes:
            pipe.read(1)
        go.close()
        stop_at = time.monotonic() + seconds + grace

        def look() -> None:
            meanwhile()
            if time.monotonic() > stop_at:
                for pid in pids:
                    os.kill(pid, signal.SIGUSR1)

        told = _collected(pipes, look)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for one in (*pipes, held, go):
            one.close()
    return [_loop_of(text) for text in told]


@contextmanager
def _uninterrupted() -> Iterator[None]:
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


def _file(descriptor: int, mode: str) -> IO[bytes]:
    """Return a pipe's end as a file, which may be closed twice."""
    return os.fdopen(descriptor, mode, buffering=0)


def _work(start: Callable[[], Work], loop: Callable[[Work], Loop], held: IO[bytes], ours: IO[bytes]) -> NoReturn:
    """Work in a forked process, which never leaves this function."""
    try:
        for number in _ENDING:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # words about waiting: here waiting is the purpose
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        ready = False
        try:
            work = start()
            ready = bool(ours.write(_READY))
            held.read(1)  # ends when the one who forked us lets go of the other end
            text = json.dumps(asdict(loop(work))).encode()
        except Exception as fault:
            text = json.dumps(f"{type(fault).__name__}: {fault}").encode()
        with os.fdopen(ours.fileno(), "wb") as out:
            out.write(text if ready else _READY + text)
    finally:
        os._exit(0)


def _loop(seconds: float, rounds: int, work: Work) -> Loop:
    took: list[float] = []
    end, began = time.monotonic() + seconds, time.perf_counter()
    try:
        signal.signal(signal.SIGUSR1, _enough)
        while len(took) < rounds if rounds else time.monotonic() < end:
            began = time.perf_counter()
            took.append(timed(work))
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    except _Enough:
        return Loop((*took, (time.perf_counter() - began) * 1000), stopped=True)
    return Loop(tuple(took))


class _Enough(BaseException):
    """Raised where a process of the crowd is stopped in the middle of its work."""


def _enough(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    raise _Enough


def _collected(pipes: list[IO[bytes]], meanwhile: Callable[[], object]) -> list[bytes]:
    texts = {pipe: bytearray() for pipe in pipes}
    left = set(pipes)
    while left:
        for pipe in select.select(list(left), [], [], _PAUSE)[0]:
            chunk = pipe.read(1 << 16)
            texts[pipe] += chunk
            if not chunk:
                left.discard(pipe)
        meanwhile()
    return [bytes(texts[pipe]) for pipe in pipes]


def _loop_of(text: bytes) -> Loop:
    said = json.loads(text or '"it was ended"')
    if isinstance(said, str):
        raise Unavailable(f"a process of the crowd failed: {said}", hint="run it again; nothing is left of this run")
    return Loop(tuple(said["took"]), said["stopped"])
