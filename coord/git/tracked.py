"""Which files below a folder the code branch keeps, as the checkout's index has them."""

from pathlib import Path

from coord.git.discovery import Place
from coord.git.repo import Git

_Stamp = tuple[int, int, int]


class Tracked:
    """Asks git again only when the index is another file or has changed since."""

    def __init__(self, place: Place, git: Git) -> None:
        self._index = place.common / "index"
        self._git = git
        self._known: dict[str, tuple[_Stamp | None, frozenset[str]]] = {}

    def below(self, folder: str) -> frozenset[str]:
        """Return the paths below FOLDER of home that the index names.

        Raises:
            Unavailable: git cannot read the index.
        """
        stamp = _stamp(self._index)
        known = self._known.get(folder)
        if known is None or known[0] is None or known[0] != stamp:
            listed = self._git.text("ls-files", "-z", "--", folder).split("\0")
            known = self._known[folder] = (stamp, frozenset(filter(None, listed)))
        return known[1]


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
