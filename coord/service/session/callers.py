"""Opening a repository for a hook: where anything is wrong with it, as much of it as can be had."""

from contextlib import suppress
from pathlib import Path
from typing import Self

from coord.config.schema import DEFAULT
from coord.git import discovery
from coord.git.discovery import Place
from coord.model import keys
from coord.model.errors import CoordError, Unavailable, UnknownAgent, Usage
from coord.service.coord import CONFIG_NAME, Coord
from coord.service.session import sessions


class Called(Coord):
    """An opened repository that goes on while `.coord.yaml` is wrong; a hook learns after the opening who speaks."""

    unread = False  # whether nothing tells who the agents are

    @classmethod
    def at(cls, start: Path) -> Self | None:
        """Open the repository around START, or None where there is none or coord was never set up.

        Raises:
            CoordError: it is there and cannot be used.
        """
        try:
            place = discovery.find(start)
        except Usage:
            return None
        return cls.despite(start) if _is_set_up(place) else None

    @classmethod
    def despite(cls, start: Path, *, who: str = "") -> Self:
        """Open the repository around START, also while its configuration is wrong: who holds what is in the folders.

        Raises:
            Usage: START is in no repository, or coord was never set up there.
        """
        place = discovery.find(start)
        try:
            return cls.open(start, who=who)
        except (Usage, Unavailable) as fault:
            if not _is_set_up(place):
                raise
            found = cls(place, DEFAULT, who=who, start=start)
            found.wrong, found.unread = fault, True
            return found

    def known(self, name: str) -> str:
        """Return NAME in its own spelling; while nothing tells who the agents are, whatever may be a name of one."""
        if self.unread and keys.is_agent_name(name):
            return name
        return super().known(name)

    def whoever(self) -> str:
        """Return who is speaking; a name that is nobody's is told in `wrong`, and counts as none."""
        try:
            return super().whoever()
        except UnknownAgent as fault:
            self.wrong = fault
            return self.standing_in() or ""

    def standing_in(self) -> str | None:
        """Return the agent in whose worktree one stands, by other signs where the configuration does not tell."""
        if not self.unread or self.place.top == self.home:
            return super().standing_in()
        if told := sessions.agent_in(self, self.place.top):
            return told
        pattern = Path(DEFAULT.worktrees.path).name
        before, _, after = pattern.partition("{name}")
        name = self.place.top.name.removeprefix(before).removesuffix(after)
        return name if keys.is_agent_name(name) and self.worktree_of(name) == self.place.top else None

    def renew(self) -> None:
        """Read the configuration again if it changed; a wrong one leaves in force what was read before."""
        try:
            if self.reload():
                self.wrong, self.unread = None, False
        except CoordError as fault:
            self.wrong = fault

    def become(self, *names: str) -> str:
        """Speak as the first of NAMES that is somebody's here, else as whose worktree one stands in; "" is nobody."""
        self._who = ""
        for name in names:
            with suppress(UnknownAgent):
                if name:
                    self._who = self.known(name)
                    return self._who
        self._who = self.standing_in() or ""
        return self._who


def _is_set_up(place: Place) -> bool:
    """Tell whether coord was ever at work here; `locks` may be anybody's folder."""
    configured = (place.home / CONFIG_NAME).is_file()
    return (place.common / "coord").is_dir() or (configured and (place.home / "locks").is_dir())
