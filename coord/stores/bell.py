"""Wake other processes through named FIFOs: one byte says "look", a scan says the truth.

No sockets (their paths are limited to about 100 characters), no inotify instances
(128 for a whole user). A ring with no listener costs one failed listing, 10 µs.
"""

import errno
import os
import select
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from coord.stores.durable import faults

_SUFFIX = ".fifo"
_LONGEST_WAIT = 86_400.0


class Bell:
    """One listener's ear. What rang before `wait` is kept, so scan after listening, then wait."""

    def __init__(self, fd: int, path: Path) -> None:
        self._fd = fd
        self._path = path

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when the bell rings, for select and poll."""
        return self._fd

    def is_lost(self) -> bool:
        """Tell whether somebody removed the bell, so that it rings no more."""
        return not self._path.exists()

    def wait(self, timeout: float) -> bool:
        """Block until the bell rings (True) or TIMEOUT seconds passed (False), and forget the rings so far."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        ready = poll.poll(max(0.0, min(timeout, _LONGEST_WAIT)) * 1000)
        self.drain()
        return bool(ready)

    def drain(self) -> None:
        """Forget the rings so far."""
        with suppress(BlockingIOError):
            while os.read(self._fd, 65_536):
                pass


class Bells:
    """All bells of one repository, below a private folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def listen(self, name: str) -> Iterator[Bell]:
        """Hear every ring of NAME, by any process, until the block ends.

        Raises:
            Unavailable: the FIFO cannot be made.
        """
        with faults(f"listen at {self.folder(name)}"):
            path, ends = _open(Path(self.folder(name)))
        try:
            yield Bell(ends[0], path)
        finally:
            with suppress(OSError):
                path.unlink()
            for end in ends:
                os.close(end)

    def ring(self, name: str) -> int:
        """Wake all who listen to NAME and return how many; never raises, since a ring is only a hint."""
        folder = self.folder(name)
        try:
            found = [entry for entry in os.listdir(folder) if entry.endswith(_SUFFIX)]
        except OSError:
            return 0
        return sum(_ring(f"{folder}/{entry}") for entry in found)

    def folder(self, name: str) -> str:
        """Return the folder in which listeners to NAME have their FIFOs."""
        return f"{self._folder}/{_quoted(name)}.bell"


@lru_cache(maxsize=256)  # rung again and again: each send rings four
def _quoted(name: str) -> str:
    return quote(name, safe="", errors="surrogateescape")


def _open(folder: Path) -> tuple[Path, list[int]]:
    """Make a FIFO and open both its ends; ringers see it only once somebody reads: one without a reader is a dead's.

    What listeners left that died halfway is taken away. One that lives halfway begins again.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        for entry in folder.glob(".*"):
            if entry.is_fifo():
                _ring(os.fspath(entry))
        token = os.urandom(8).hex()
        hidden, path = folder / f".{token}", folder / f"{token}{_SUFFIX}"
        ends: list[int] = []
        try:
            os.mkfifo(hidden, 0o600)
            ends.append(os.open(hidden, os.O_RDONLY | os.O_NONBLOCK))
            # With a writing end of its own the FIFO never reports end of file, on which poll would spin.
            ends.append(os.open(hidden, os.O_WRONLY | os.O_NONBLOCK))
            hidden.rename(path)
        except BaseException as error:
            for end in ends:
                os.close(end)
            with suppress(OSError):
                hidden.unlink()
            if not isinstance(error, FileNotFoundError):
                raise
        else:
            return path, ends


def _ring(path: str) -> bool:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nobody reads: the listener died without cleaning up
            with suppress(OSError):
                Path(path).unlink()
        return False
    try:
        os.write(fd, b"!")
    except OSError as error:
        return error.errno == errno.EAGAIN  # full of rings that nobody has waited for yet
    finally:
        os.close(fd)
    return True
