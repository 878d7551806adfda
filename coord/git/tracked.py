"""Which files below a folder the code branch keeps, as the checkout's index has them."""

from coord.git import output
from coord.git.discovery import Place
from coord.git.repo import Git
from coord.model.errors import Unavailable

_Stamp = tuple[int, int, int]


class Tracked:
    """Asks git again only when the index is another file or has changed since."""

    def __init__(self, place: Place, git: Git) -> None:
        self._index = place.common / "index"
        self._git = git
        self._known: dict[str, tuple[_Stamp, frozenset[str]]] = {}

    def below(self, folder: str) -> frozenset[str]:
        """Return the paths below FOLDER of home that the index names.

        Raises:
            Unavailable: the index cannot be read.
        """
        try:
            found = self._index.stat()
        except FileNotFoundError:
            return frozenset()
        except OSError as fault:
            raise Unavailable(f"{self._index} cannot be read: {fault.strerror}") from fault
        stamp = found.st_ino, found.st_mtime_ns, found.st_size
        known = self._known.get(folder)
        if known is None or known[0] != stamp:
            listed = output.paths(self._git.run("ls-files", "-z", "--", folder).out)
            known = self._known[folder] = (stamp, frozenset(listed))
        return known[1]
