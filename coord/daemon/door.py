"""The daemon's door: a Unix socket in coord's private folder, for clients too thin to open a repository themselves.

Whoever may read and write that folder may come in; the socket lets nobody else. What a
visitor says first (`thin/reach.py` has the framing) names who is to answer.
"""

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from coord.stores import durable
from coord.thin import reach

Answer = Callable[[socket.socket, Sequence[bytes]], None]
"""Serves one visitor, in a thread of its own, who said these fields after the name; the socket is closed afterwards."""

_PATIENCE = 10.0
_PAUSE = 0.1


@contextmanager
def opened(private: Path, answers: Mapping[str, Answer], say: Callable[[str], None]) -> Iterator[None]:
    """Let visitors in until the block ends.

    Raises:
        Unavailable: the socket cannot be made.
    """
    with durable.faults(f"open a door in {private}"):
        listener = _listening(private)
    over = threading.Event()
    thread = threading.Thread(target=_welcome, args=(listener, answers, say, over), daemon=True, name="coord-door")
    thread.start()
    try:
        yield
    finally:
        over.set()
        with suppress(OSError):
            (private / reach.DOOR).unlink()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes the thread
        listener.close()
        thread.join(_PATIENCE)


def _listening(private: Path) -> socket.socket:
    private.mkdir(parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    hidden = f".{reach.DOOR}.{os.getpid()}"
    with suppress(FileNotFoundError):
        (private / hidden).unlink()
    try:
        _bind(listener, private, hidden)
        (private / hidden).chmod(0o600)
        listener.listen(128)
        (private / hidden).rename(private / reach.DOOR)  # what a dead daemon left is replaced
    except BaseException:
        listener.close()
        raise
    return listener


def _bind(listener: socket.socket, private: Path, name: str) -> None:
    """Bind to a name in a folder, whose path may be longer than an address can be."""
    folder = os.open(private, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if sys.platform == "linux":
            listener.bind(f"/proc/self/fd/{folder}/{name}")
        else:
            here = os.open(".", os.O_RDONLY)
            try:
                os.fchdir(folder)
                listener.bind(name)
            finally:
                os.fchdir(here)
                os.close(here)
    finally:
        os.close(folder)


def _welcome(
    listener: socket.socket, answers: Mapping[str, Answer], say: Callable[[str], None], over: threading.Event
) -> None:
    told = False
    while not over.is_set():
        try:
            visitor, _ = listener.accept()
            threading.Thread(target=_serve, args=(visitor, answers, say), daemon=True, name="coord-visitor").start()
            told = False
        except (OSError, RuntimeError) as fault:  # closed; or out of files, or of threads, which passes
            if not (told or over.is_set()):
                say(f"visitors wait at the door: {fault}")
                told = True
            over.wait(_PAUSE)


def _serve(visitor: socket.socket, answers: Mapping[str, Answer], say: Callable[[str], None]) -> None:
    with visitor:
        try:
            visitor.settimeout(_PATIENCE)
            name, *rest = reach.receive(visitor) or [b""]
            visitor.settimeout(None)
            if answer := answers.get(name.decode(errors="replace")):
                answer(visitor, rest)
        except OSError:
            return  # gone
        except Exception as fault:  # one visitor's fault must not end the daemon, nor go unsaid
            say(f"a visitor could not be served: {fault!r}")
