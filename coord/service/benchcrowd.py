"""Many processes at one work: forked, started together, ended together."""

import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, NoReturn

from coord.model.errors import Unavailable
from coord.service.benchrows import Work, timed

_PAUSE = 0.002
_READY = b"."
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Start = Callable[[int], Work]


def crowd(
    size: int,
    start: Start,
    *,
    seconds: float = 0.0,
    rounds: int = 0,
    meanwhile: Callable[[], object] = lambda: None,
) -> list[list[float]]:
    """Let SIZE processes work in closed loops for so long or so many ROUNDS; return each one's times in ms.

    START is called in each of them with its number and returns its work. For SECONDS the work is
    done once before, to warm up. MEANWHILE is called here every 2 ms as long as they run.

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
                    _work(partial(_begun, start, number, seconds), partial(_loop, seconds, rounds), held, ours)
                pids.append(pid)
            ours.close()
        for pipe in pipes:
            pipe.read(1)
        go.close()
        told = _collected(pipes, meanwhile)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for one in (*pipes, held, go):
            one.close()
    return [_times(text) for text in told]


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


def _work(start: Callable[[], Work], loop: Callable[[Work], list[float]], held: IO[bytes], ours: IO[bytes]) -> NoReturn:
    """Work in a forked process, which never leaves this function."""
    try:
        for number in _ENDING:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        ready = False
        try:
            work = start()
            ready = bool(ours.write(_READY))
            held.read(1)  # ends when the one who forked us lets go of the other end
            text = json.dumps(loop(work)).encode()
        except Exception as fault:
            text = json.dumps(f"{type(fault).__name__}: {fault}").encode()
        with os.fdopen(ours.fileno(), "wb") as out:
            out.write(text if ready else _READY + text)
    finally:
        os._exit(0)


def _begun(start: Start, number: int, seconds: float) -> Work:
    work = start(number)
    if seconds:
        work()
    return work


def _loop(seconds: float, rounds: int, work: Work) -> list[float]:
    if rounds:
        return [timed(work) for _ in range(rounds)]
    took, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        took.append(timed(work))
    return took


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


def _times(text: bytes) -> list[float]:
    said = json.loads(text or '"it was ended"')
    if isinstance(said, str):
        raise Unavailable(f"a process of the crowd failed: {said}", hint="run it again; nothing is left of this run")
    return [float(one) for one in said]
