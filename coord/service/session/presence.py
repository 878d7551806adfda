"""When each agent was last seen, and doing what: evidence for `status` and for routing, not a record."""

from datetime import UTC, datetime
from pathlib import Path

from coord.model.values import frozen


@frozen
class Seen:
    """The last sign of life of an agent."""

    agent: str
    at: datetime
    doing: str


class Presence:
    """One small file per agent in private state; losing it loses no record, so nothing here is fsynced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def note(self, agent: str, doing: str) -> None:
        """Note that AGENT was just seen doing something. Never fails a command over it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / agent).write_text(doing, encoding="utf-8")
        except OSError:
            return

    def last(self, agent: str) -> Seen | None:
        """Return when AGENT was last seen, or None if never."""
        path = self.folder / agent
        try:
            doing, moment = path.read_text(encoding="utf-8"), path.stat().st_mtime
        except OSError:
            return None
        return Seen(agent, datetime.fromtimestamp(moment, UTC), doing)
