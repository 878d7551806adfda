"""What wakes the daemon: changes in the folders. Every wake-up is a hint; the scan is the truth."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import watchdog.events
import watchdog.observers

from coord.model import keys
from coord.stores import claim

# Opening, reading and (where a close is reported) every single write are noise.
_WANTED = [
    watchdog.events.FileClosedEvent,
    watchdog.events.FileCreatedEvent,
    watchdog.events.FileDeletedEvent,
    watchdog.events.FileModifiedEvent,
    watchdog.events.FileMovedEvent,
    watchdog.events.DirCreatedEvent,
    watchdog.events.DirMovedEvent,
]


# inotify tells when a writer closes a file; FSEvents tells only that it changed, and the rest
# is a matter of waiting until it changes no more.
_TELLS_CLOSING = sys.platform == "linux"


class Handler(watchdog.events.FileSystemEventHandler):
    """Turns file events into hints for the loop; TELLS_CLOSING says whether this system reports closed files."""

    def __init__(
        self,
        home: Path,
        moved: Callable[[str], None],
        ring: Callable[[], None],
        *,
        tells_closing: bool = _TELLS_CLOSING,
    ) -> None:
        self.tells_closing = tells_closing
        self.home = f"{home}/"
        self.moved = moved
        self.ring = ring

    def on_any_event(self, event: watchdog.events.FileSystemEvent) -> None:
        """Wake the loop, and tell it of files that were moved into place."""
        if isinstance(event, watchdog.events.FileMovedEvent):
            key = str(event.dest_path).removeprefix(self.home)
            if claim.is_claimed(key):
                return  # coord's own doing
            self.moved(key)
        elif isinstance(event, watchdog.events.FileModifiedEvent) and self.tells_closing:
            return  # the close follows
        self.ring()


class Watched:
    """The three folders of HOME as they were when watching began; held open, so that no new one takes their place."""

    def __init__(self, home: Path) -> None:
        places = [os.path.join(home, folder) for folder in keys.FOLDERS]
        self.folders = [place for place in places if Path(place).is_dir()]
        self._missing = [place for place in places if place not in self.folders]
        self._held = [os.open(folder, os.O_RDONLY | os.O_DIRECTORY) for folder in self.folders]

    def is_lost(self) -> bool:
        """Tell whether one of them was removed, replaced or made since: the system tells nothing of the new one."""
        if any(Path(place).is_dir() for place in self._missing):
            return True
        return not all(map(_is_at, self.folders, self._held))

    def close(self) -> None:
        """Let go of the folders."""
        for held in self._held:
            os.close(held)


def _is_at(folder: str, held: int) -> bool:
    try:
        return os.path.samestat(os.stat(folder), os.fstat(held))
    except OSError:
        return False


@contextmanager
def watching(home: Path, *, moved: Callable[[str], None], ring: Callable[[], None]) -> Iterator[Watched]:
    """Watch the three folders of HOME, as far as they are there.

    MOVED gets the key of each file that a hand moved into or within them (it is whole: that is how
    careful writers write; and how hands acknowledge), RING wakes the loop.
    """
    observer = watchdog.observers.Observer()
    handler = Handler(home, moved, ring)
    watched = Watched(home)
    try:
        for folder in watched.folders:
            observer.schedule(handler, folder, recursive=True, event_filter=_WANTED)
        observer.start()
        yield watched
    finally:
        observer.stop()
        if observer.is_alive():
            observer.join(timeout=5)
        watched.close()
