"""Results for people: finds the page for a result, by the module of the service that made it."""

from collections.abc import Mapping
from datetime import timedelta
from types import ModuleType

from coord.faces.page import Block, Line
from coord.faces.pages import (
    agents,
    bench,
    checkpoints,
    decisions,
    doctor,
    foresight,
    guarding,
    history,
    locks,
    mail,
    merges,
    sessions,
    setup,
    status,
    verify,
    watching,
    worktrees,
)
from coord.model import times
from coord.model.codec import to_plain

# By name, not by type: to name the types would load every command for each of them.
PAGES: Mapping[str, ModuleType] = {
    "coord.service.agents": agents,
    "coord.service.measuring.bench": bench,
    "coord.service.mail": mail,
    "coord.service.letters": mail,
    "coord.service.locks": locks,
    "coord.service.checkpoints": checkpoints,
    "coord.service.session.brief": checkpoints,
    "coord.service.decisions": decisions,
    "coord.service.doctor.command": doctor,
    "coord.service.foresight": foresight,
    "coord.service.guard.guarding": guarding,
    "coord.service.guard.placing": guarding,
    "coord.service.history": history,
    "coord.service.mergegraph": merges,
    "coord.service.merges": merges,
    "coord.service.testruns": merges,
    "coord.model.records": merges,
    "coord.service.keepup": worktrees,
    "coord.service.restoring": worktrees,
    "coord.service.session.sessions": sessions,
    "coord.service.setup": setup,
    "coord.service.status": status,
    "coord.service.verify": verify,
    "coord.service.watching": watching,
    "coord.service.worktrees": worktrees,
}


def blocks(result: object) -> list[Block]:
    """Return what a person reads of a result; a type without a page of its own is shown field by field."""
    page = PAGES.get(type(result).__module__)
    if page is not None:
        made: list[Block] = page.blocks(result)
        return made
    plain = to_plain(result)
    if isinstance(plain, dict):
        return [Line(f"{name}: {value}") for name, value in plain.items() if value not in (None, "", [], {})]
    return [Line(str(plain))]


def default(value: object) -> str:
    """Return a parameter's default as it is written on a command line."""
    return times.format_duration(value) if isinstance(value, timedelta) else str(value)
