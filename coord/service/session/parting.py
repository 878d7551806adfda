"""A checkpoint by itself, when a session ends or its memory is about to be compacted.

It holds what coord knows, and what the agent said last. What the agent saved in its own words
stays in force: its next steps are carried on, and its checkpoint is named; the next session
is shown both.
"""

from coord.model import times
from coord.model.errors import HoldsSecret
from coord.model.records import Checkpoint
from coord.service import checkpoints
from coord.service.command import Prose
from coord.service.coord import Coord
from coord.service.session.sessions import Kept


def save(coord: Coord, agent: str, kept: Kept, when: str) -> None:
    """Save a checkpoint of a session at the moment WHEN ("the end of a session"), if it did anything since the last."""
    session, memory = kept.session, kept.memory
    if not memory.worked:
        return
    before = checkpoints.newest_of(coord, agent, [])
    lines = [f"Saved by coord itself at {when} ({session.client}{f', {session.doing}' if session.doing else ''})."]
    lines += _earlier(coord, before)
    said = ["", "What was said last:", "", memory.said] if memory.said else []
    try:
        _saved(coord, kept, when, [*lines, *said], before)
    except HoldsSecret:
        _saved(coord, kept, when, lines, before)
    memory.worked = False
    memory.saved_at = coord.now().timestamp()


def _saved(coord: Coord, kept: Kept, when: str, lines: list[str], before: Checkpoint | None) -> None:
    checkpoints.save(
        coord,
        Prose("\n".join(lines)),
        title=f"{checkpoints.BY_ITSELF}{when}",
        next=before.next if before else (),
        task=before.task if before else "",
        session=kept.session.id[:80],
    )


def _earlier(coord: Coord, before: Checkpoint | None) -> list[str]:
    if before is None:
        return []
    if before.title.startswith(checkpoints.BY_ITSELF):  # it names the agent's own one, if there was any
        return [line for line in before.body.split("\n") if line.startswith("The agent's own one")][:1]
    age = times.ago(before.saved_at, coord.now())
    return [f"The agent's own one, {age} before: coord checkpoint show {before.id[-8:]}"]
