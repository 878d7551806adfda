"""What wakes the daemon: changes in the folders. Every wake-up is a hint; the scan is the truth."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import watchdog.events
import watchdog.observers

from coord.model import keys
from coord.model.values import frozen
from coord.service.byhand import handwritten
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
_WRITTEN = (
    watchdog.events.FileClosedEvent,
    watchdog.events.FileCreatedEvent,  # or moved here from elsewhere
    watchdog.events.FileModifiedEvent,
    watchdog.events.FileMovedEvent,
)


# inotify tells when a writer closes a file; FSEvents tells only that it changed, and the rest
# is a matter of waiting until it changes no more.
_TELLS_CLOSING = sys.platform == "linux"


@frozen
class Heard:
    """Whom to tell of what: `moved`, that a hand moved a record, which is how hands acknowledge; else `ring`.

    Of what a hand may have written into a mailbox only `wrote` hears: its key, and whether it was moved there. Then it
    is whole: that is how careful writers write.
    """

    ring: Callable[[], None]
    moved: Callable[[], None]
    wrote: Callable[[str, bool], None]


class Handler(watchdog.events.FileSystemEventHandler):
    """Turns file events into hints; TELLS_CLOSING says whether this system reports closed files."""

    def __init__(self, home: Path, heard: Heard, *, tells_closing: bool = _TELLS_CLOSING) -> None:
        self.tells_closing = tells_closing
        self.home = f"{home}/"
        self.heard = heard

    def on_any_event(self, event: watchdog.events.FileSystemEvent) -> None:
        """Tell whom it concerns."""
        if isinstance(event, watchdog.events.FileModifiedEvent) and self.tells_closing:
            return  # the close follows
        source, target = (str(path).removeprefix(self.home) for path in (event.src_path, event.dest_path))
        moved = isinstance(event, watchdog.events.FileMovedEvent)
        if moved and claim.is_claimed(target):
            return  # coord's own doing
        key = target if moved else source
        by_hand = isinstance(event, _WRITTEN) and handwritten.is_place(key)
        if by_hand:
            self.heard.wrote(key, moved)
        if moved and (keys.is_record(source) or keys.is_record(target)):
            self.heard.moved()
        elif not by_hand:
            self.heard.ring()


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
def watching(home: Path, heard: Heard) -> Iterator[Watched]:
    """Watch the three folders of HOME, as far as they are there, and tell of what happens in them."""
    observer = watchdog.observers.Observer()
    handler = Handler(home, heard)
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
