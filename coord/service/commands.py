"""COMMANDS: every command there is, once. To add one, write the function and name it here."""

from typing import Any

from coord.service import (
    checkpoints,
    decisions,
    history,
    locks,
    mail,
    merges,
    status,
    verify,
    watching,
    worktrees,
)
from coord.service.command import Command

COMMANDS: tuple[Command[Any, Any], ...] = (
    status.status,
    mail.send,
    mail.list_,
    mail.read,
    mail.ack,
    mail.reply,
    mail.show,
    mail.thread,
    mail.wait,
    locks.acquire,
    locks.renew,
    locks.release,
    locks.list_,
    locks.check,
    locks.break_,
    checkpoints.save,
    checkpoints.list_,
    checkpoints.show,
    checkpoints.restore,
    decisions.record,
    decisions.list_,
    decisions.outcome,
    worktrees.add,
    worktrees.list_,
    worktrees.remove,
    merges.request,
    merges.list_,
    merges.show,
    merges.cancel,
    history.log,
    history.at,
    verify.verify,
    watching.status,
    watching.stop,
)
