"""Notes of which agent edited which path under which lease, until the change is in a commit.

One small file for each agent and path in coord's private folder; it outlives the session that
made it. Losing one loses no work: the guard then goes by the agent's last lease on the path.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from coord.model.values import frozen
from coord.service.coord import Coord
from coord.stores import durable, folders

FOLDER = "edits"
KEPT = timedelta(days=14)
_MOST = 32
_LARGEST = 1 << 16


@frozen
class Note:
    """An edit: the token and scope of the lease it was made under (0 and "": none), and when the last such one was."""

    token: int
    scope: str
    at: datetime


def write(coord: Coord, agent: str, path: str, token: int, scope: str) -> None:
    """Note that AGENT edits PATH now, under the lease with TOKEN.

    Raises:
        Unavailable: it cannot be kept.
    """
    file = _file(coord, agent, path)
    notes = [note for note in _read(file, path) if note.token != token]
    plain = [[note.token, note.scope, note.at.timestamp()] for note in notes[-_MOST:]]
    plain.append([token, scope, coord.now().timestamp()])
    begun = file.with_suffix(f".{os.getpid()}.{coord.new_id()[-8:]}")
    with durable.faults(f"note the edit in {file.parent}"):
        file.parent.mkdir(parents=True, exist_ok=True)
        folders.create(begun, json.dumps({"path": path, "edits": plain}).encode(), sync=False)
        begun.replace(file)


def read(coord: Coord, agent: str, paths: Iterable[str]) -> dict[str, tuple[Note, ...]]:
    """Return what is noted of AGENT's edits of PATHS; what is damaged is not there."""
    found = {path: _read(_file(coord, agent, path), path) for path in paths} if agent else {}
    return {path: notes for path, notes in found.items() if notes}


def sweep(coord: Coord) -> None:
    """Forget what was noted two weeks ago."""
    for file in _files(coord.private / FOLDER):
        with suppress(OSError):
            if coord.now().timestamp() - file.stat().st_mtime > KEPT.total_seconds():
                file.unlink()


def _files(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        for agent in folder.iterdir():
            yield from agent.iterdir()


def _file(coord: Coord, agent: str, path: str) -> Path:
    digest = hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()[:40]
    return coord.private / FOLDER / agent / f"{digest}.json"


def _read(file: Path, path: str) -> tuple[Note, ...]:
    try:
        plain = json.loads(folders.regular(file, _LARGEST))
        return tuple(_notes(plain["edits"])) if plain["path"] == path else ()
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return ()


def _notes(plain: Sequence[tuple[object, object, object]]) -> Iterator[Note]:
    for token, scope, at in plain:
        if not (isinstance(token, int) and isinstance(scope, str) and isinstance(at, (int, float))):
            raise TypeError("not a note")
        yield Note(token, scope, datetime.fromtimestamp(at, UTC))
