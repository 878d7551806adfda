"""What a check finds: one fault, why it matters, and how it is mended."""

from collections.abc import Callable, Iterator, Sized
from pathlib import Path

from coord.model.untrusted import several
from coord.model.values import frozen
from coord.service.coord import Coord
from coord.service.doctor.kept import Kept

Mend = Callable[[Kept], None]


@frozen(kw_only=True)
class Finding:
    """One fault. `next` says what mending will do, or, where `mend` is None, what the owner must do.

    A `warning` is worth knowing, and no fault: coord is sound with it.
    """

    code: str
    what: str
    where: str
    why: str
    next: str
    mend: Mend | None = None
    warning: bool = False


Check = Callable[[Coord], Iterator[Finding]]


def place(coord: Coord, *paths: Path) -> str:
    """Name places, from the repository's top where they lie below it; the first few of many."""
    return several(
        str(path.relative_to(coord.home)) if path.is_relative_to(coord.home) else str(path) for path in paths
    )


def counted(found: Sized, noun: str) -> str:
    """Say how many there are: `1 record`, `2 records`."""
    return f"{len(found):,} {noun}{'' if len(found) == 1 else 's'}"
