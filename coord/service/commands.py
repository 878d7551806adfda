"""Every command there is, once. To add one, write the function and name it here."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from coord.service import (
    agents,
    checkpoints,
    decisions,
    foresight,
    history,
    keepup,
    locks,
    mail,
    mergegraph,
    merges,
    restoring,
    status,
    testruns,
    verify,
    watching,
    worktrees,
)
from coord.service.command import Command
from coord.service.doctor import command as doctoring
from coord.service.guard import guarding, placing
from coord.service.measuring import bench
from coord.service.session import sessions

# Module and name rather than the command itself, so that running one loads that one only;
# a test holds each command's own name against this list.
LISTED: Mapping[str, tuple[ModuleType, str]] = {
    "status": (status, "status"),
    "mail send": (mail, "send"),
    "mail list": (mail, "list_"),
    "mail read": (mail, "read"),
    "mail ack": (mail, "ack"),
    "mail reply": (mail, "reply"),
    "mail show": (mail, "show"),
    "mail thread": (mail, "thread"),
    "mail wait": (mail, "wait"),
    "lock acquire": (locks, "acquire"),
    "lock renew": (locks, "renew"),
    "lock release": (locks, "release"),
    "lock list": (locks, "list_"),
    "lock check": (locks, "check"),
    "lock break": (locks, "break_"),
    "checkpoint save": (checkpoints, "save"),
    "checkpoint list": (checkpoints, "list_"),
    "checkpoint show": (checkpoints, "show"),
    "checkpoint restore": (checkpoints, "restore"),
    "decision record": (decisions, "record"),
    "decision list": (decisions, "list_"),
    "decision outcome": (decisions, "outcome"),
    "worktree add": (worktrees, "add"),
    "worktree list": (worktrees, "list_"),
    "worktree update": (keepup, "update"),
    "worktree remove": (worktrees, "remove"),
    "worktree restore": (restoring, "restore"),
    "guard install": (placing, "install"),
    "guard uninstall": (placing, "uninstall"),
    "guard status": (placing, "status"),
    "guard check": (guarding, "check"),
    "guard sign": (guarding, "sign"),
    "agents install": (agents, "install"),
    "agents remove": (agents, "remove"),
    "agents status": (agents, "status"),
    "merge request": (merges, "request"),
    "merge list": (merges, "list_"),
    "merge show": (merges, "show"),
    "merge cancel": (merges, "cancel"),
    "merge retry": (merges, "retry"),
    "merge approve": (merges, "approve"),
    "merge log": (testruns, "log"),
    "merge retest": (testruns, "retest"),
    "merge graph": (mergegraph, "graph"),
    "conflicts": (foresight, "conflicts"),
    "session list": (sessions, "list_"),
    "log": (history, "log"),
    "history": (history, "at"),
    "ledger verify": (verify, "verify"),
    "doctor": (doctoring, "doctor"),
    "bench": (bench, "bench"),
    "watch status": (watching, "status"),
    "watch stop": (watching, "stop"),
}


def find(name: str) -> Command[Any, Any]:
    """Return the command NAME."""
    module, attribute = LISTED[name]
    found: Command[Any, Any] = getattr(module, attribute)
    return found


def every() -> tuple[Command[Any, Any], ...]:
    """Return all commands in the order of the list; loads every module."""
    return tuple(find(name) for name in LISTED)
