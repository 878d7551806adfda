"""What killed processes leave in a repository."""

import os
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
    yield from _below(private, ".tmp")
    yield from common.glob("index.coord*")
    yield from common.glob("worktrees/*")
    yield from (path for path in _below(common, ".lock") if private not in path.parents and path.name != "coord.lock")
    yield from (path for path in repo.glob("inbox/*/*") if path.name.endswith(".taken") or path.name.startswith("."))


def _below(top: Path, ending: str) -> Iterator[Path]:
    """Yield what is named so, also where folders go at this moment: packs are joined in the background."""
    for folder, folders, files in os.walk(top):
        yield from (Path(folder, name) for name in (*folders, *files) if name.endswith(ending))
