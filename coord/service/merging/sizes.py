"""How many requests the next batch of a branch may have: private, and rebuilt by use where it is lost."""

import json
from pathlib import Path
from typing import Any

from coord.model import bisect


class Sizes:
    """The sizes by branch, and which batch was the last to fail, so that each halves its size once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def of(self, into: str, most: int) -> int:
        """Return the size for a branch."""
        return int(min(self._facts(into).get("size", most), most))

    def learn(self, into: str, batch: str, *, good: bool, most: int) -> None:
        """Take in that a batch passed as a whole, or that somebody in it failed."""
        facts = self._facts(into)
        if facts.get("failed") == batch:
            return
        size = bisect.size_after(self.of(into, most), good, most)
        if (size, good) == (facts.get("size", most), True):
            return
        made = {"size": size, "failed": facts.get("failed", "") if good else batch}
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps({**self._all(), into: made}))
        fresh.replace(self._path)

    def _facts(self, into: str) -> dict[str, Any]:
        found = self._all().get(into)
        return found if isinstance(found, dict) and isinstance(found.get("size"), int) else {}

    def _all(self) -> dict[str, Any]:
        try:
            found = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}
