"""What killed processes leave in a repository."""

from collections.abc import Iterator
from pathlib import Path


def leftovers(repo: Path) -> list[Path]:
    """Return what no living process needs, as far as coord answers for it.

    Packs half written are git's: `git gc` removes them, and coord after a day.
    """
    return sorted(_found(repo))


def _found(repo: Path) -> Iterator[Path]:
    common = repo / ".git"
    private = common / "coord"
    yield from private.glob("tmp/*")
    yield from private.glob("waiting/*")
    yield from private.glob("bells/*/.*")
    yield from private.glob("**/*.tmp")
    yield from common.glob("index.coord*")
    yield from common.glob("worktrees/*")
    yield from (path for path in common.rglob("*.lock") if private not in path.parents and path.name != "coord.lock")
    yield from (path for path in repo.glob("inbox/*/*") if path.name.endswith(".taken") or path.name.startswith("."))
