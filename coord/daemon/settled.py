"""What is settled: dead letters, decisions and logs that nobody waits for."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime

from coord.daemon.plan import Aged, Ruled, Settled
from coord.model import ids, keys
from coord.service import decisions, restoring, watching
from coord.service.coord import Coord


def look(coord: Coord) -> Settled:
    """Look at what there is; the index must have read the ledger."""
    since = coord.index.live_since(keys.DEAD)
    dead = tuple(Aged(key, at) for key, at in sorted(since.items(), key=lambda one: one[1]))
    log = watching.log(coord)
    told = log.stat().st_size if log.is_file() else 0
    trash = tuple(Aged(*one) for one in restoring.ending(coord))
    return Settled(dead, tuple(_decisions(coord)), tuple(_logs(coord)), trash, told)


def _decisions(coord: Coord) -> Iterator[Ruled]:
    # Only where there are too many is it worth while to read them.
    if len(coord.records(keys.DECISIONS)) > coord.config.decisions.keep:
        yield from (Ruled(key, ruling.open) for key, ruling in decisions.rulings(coord))


def _logs(coord: Coord) -> Iterator[Aged]:
    """Yield the logs of tests; one was written last, or begun, at the time given."""
    folder = coord.private / "logs"
    for name in sorted(os.listdir(folder)) if folder.is_dir() else ():
        identifier = name.removeprefix("gate-")[: ids.LENGTH]
        if name.startswith("gate-") and name.endswith(".log") and ids.is_ulid(identifier):
            written = datetime.fromtimestamp((folder / name).stat().st_mtime, UTC)
            yield Aged(name, max(written, ids.time_of(identifier)))
