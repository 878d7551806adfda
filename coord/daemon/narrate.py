"""Say what happens as it happens: the ledger's new commits, one line each."""

from collections.abc import Callable

from coord.git import history
from coord.model.untrusted import clean_line
from coord.service.coord import Coord


class Narrator:
    """Tells each ledger entry once, from where the ledger stood at the start."""

    def __init__(self, coord: Coord, say: Callable[[str], None]) -> None:
        self.coord = coord
        self.say = say
        self._told = coord.ledger.tip()

    def tell(self) -> None:
        """Say what has been committed since the last time."""
        tip = self.coord.ledger.tip()
        if tip is None or tip == self._told:
            return
        told, self._told = self._told, tip  # what cannot be told now, as where history was replaced, never can
        for entry in history.entries(self.coord.git, since=told, until=tip, with_changes=False):
            # Of a lease granted, released and expired the subjects are alike: the kind tells them apart.
            kind = clean_line(entry.kind, 24) or "commit"
            self.say(f"{entry.at.astimezone():%H:%M:%S} {kind} {clean_line(entry.subject, 100)}")
