"""Opening a repository for a hook: where anything is wrong with it, as much of it as can be had."""

from contextlib import suppress
from pathlib import Path
from typing import Self

from coord.config.schema import DEFAULT
from coord.git import discovery
from coord.model import keys
from coord.model.errors import ConfigError, CoordError, UnknownAgent, Usage
from coord.service.coord import CONFIG_NAME, Coord


class Called(Coord):
    """An opened repository that learns after its opening who speaks; `wrong` is what is the matter with it."""

    wrong: CoordError | None = None

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
        known = any(path.is_dir() for path in (place.common / "coord", place.home / "locks"))
        if not known or not (place.home / CONFIG_NAME).is_file():
            return None
        try:
            return cls.open(start)
        except ConfigError as fault:  # who holds what is in the folders all the same
            found = cls(place, DEFAULT, start=start)
            found.wrong = fault
            return found

    def known(self, name: str) -> str:
        """Return NAME in its own spelling; while the configuration is wrong, whatever may be an agent's name."""
        if isinstance(self.wrong, ConfigError) and keys.is_agent_name(name):
            return name
        return super().known(name)

    def renew(self) -> None:
        """Read the configuration again if it changed; a wrong one leaves in force what was read before."""
        try:
            if self.reload():
                self.wrong = None
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
