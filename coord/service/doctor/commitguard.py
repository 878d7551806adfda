"""The commit guard, where it was installed: in the hooks of every worktree still."""

from collections.abc import Iterator
from functools import partial

from coord.service.coord import Coord
from coord.service.doctor.finding import Finding, counted, place
from coord.service.doctor.kept import Kept
from coord.service.guard import placing


def lacking(coord: Coord) -> Iterator[Finding]:
    """Find hooks that the guard was taken out of, or that a worktree has of its own and without it."""
    hooks = placing.lacking(coord)
    if hooks:
        yield Finding(
            code="guard-missing",
            what=f"the commit guard is not in force in {counted(hooks, 'hook')}",
            where=place(coord, *(hook.path for hook in hooks)),
            why="nobody looks at commits and pushes there; what writes hooks anew (`npm install` with husky) does this",
            next="it is put there again, as `coord guard install` does (`coord guard uninstall` ends it everywhere)",
            mend=partial(_again, coord),
        )


def _again(coord: Coord, _kept: Kept) -> None:
    placing.again(coord)
