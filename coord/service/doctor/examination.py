"""All checks in their order: what others rest on comes first, so that mending it mends them."""

from collections.abc import Iterator
from contextlib import suppress

from coord.model.errors import CoordError
from coord.service.coord import Coord
from coord.service.doctor import (
    clocks,
    commitguard,
    configured,
    derived,
    drifted,
    gitleft,
    ground,
    leftovers,
    livecheck,
    lost,
    noted,
    private,
    processes,
    rights,
    trees,
    watches,
)
from coord.service.doctor.finding import Check, Finding

# What files and ledger say is taken at its word only where both can be seen whole.
GROUNDWORK: tuple[Check, ...] = (
    private.missing,
    private.misplaced,
    ground.old_git,
    ground.network,
    ground.synced,
    ground.read_only,
    ground.full,
    ground.letter_case,
    clocks.ledger,
    clocks.commits,
    clocks.records,
    watches.inotify,
    rights.unusable,
    rights.open_to_all,
    configured.configuration,
    configured.hidden,
    configured.tracked,
    leftovers.temporary,  # before anything is committed, which sweeps them away
    gitleft.locks,
    gitleft.halves,
    gitleft.crashes,
    processes.daemon,
    processes.gates,
    lost.blocked,
    lost.missing,
    livecheck.missing,
    livecheck.unfilled,
    lost.rewritten,
    noted.state,
    noted.garbage,
    processes.sections,
    noted.unfinished,
    leftovers.tickets,
    leftovers.bells,
    leftovers.bench,
)
CONTENT: tuple[Check, ...] = (
    drifted.disagreeing,
    drifted.claimed,
    drifted.strayed,
    derived.index,
    trees.gone,
    trees.cut_off,
    trees.links,
    commitguard.lacking,
)
CHECKS = (*GROUNDWORK, *CONTENT)


def examine(coord: Coord, checks: tuple[Check, ...] = CHECKS) -> Iterator[Finding]:
    """Yield what CHECKS find, and which of them could not look; the repository is not touched."""
    said = set[str]()
    for check in checks:
        try:
            yield from check(coord)
        except Exception as fault:  # one check that fails must not hide what the others find
            if str(fault) not in said:
                said.add(str(fault))
                yield _unseen(check, fault)


def reread(coord: Coord) -> None:
    """Read the configuration again, where it has been mended."""
    with suppress(CoordError):
        coord.reload()


def _unseen(check: Check, fault: Exception) -> Finding:
    return Finding(
        code="unknown",
        what=str(fault) if isinstance(fault, (CoordError, OSError)) else repr(fault),
        where=f"{check.__module__.rpartition('.')[2]}.{check.__name__}",
        why="whether anything is wrong there cannot be told",
        next=getattr(fault, "hint", "") or "see to the cause, and run `coord doctor` again",
    )
