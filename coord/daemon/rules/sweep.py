"""Keep mailboxes from going stale."""

from collections import defaultdict

from coord.daemon.plan import Action, Remind, Retire, View, Waiting
from coord.model import mailboxes

COORD = "coord"


def sweep(view: View) -> list[Action]:
    """Retire read and expired mail; tell of mail that lies unread, each level once.

    Past its age by priority the reader is reminded, past twice that age the coordinator is
    told, past thrice the owner. coord's own notices are never chased: they would breed.
    """
    if not view.steady:
        return []
    return [*_retire(view), *_remind(view)]


def _retire(view: View) -> list[Action]:
    actions: list[Action] = []
    old = tuple(read.key for read in view.read if view.now - read.since >= view.config.mail.read_retention)
    if old:
        actions.append(Retire(old, "read"))
    expired = tuple(w.key for w in view.unread if w.expires_at is not None and w.expires_at <= view.now)
    if expired:
        actions.append(Retire(expired, "expired"))
    return actions


def _remind(view: View) -> list[Action]:
    due: dict[tuple[str, str, int], list[str]] = defaultdict(list)
    for waiting in view.unread:
        level = level_of(view, waiting)
        if level > waiting.reminded:
            due[waiting.mailbox, _teller(view, waiting.mailbox, level), level].append(waiting.id)
    return [Remind(mailbox, to, level, tuple(ids)) for (mailbox, to, level), ids in sorted(due.items())]


def level_of(view: View, waiting: Waiting) -> int:
    """Return how far a message's age has come: 0 fresh, 1 remind, 2 coordinator, 3 owner."""
    if waiting.mailbox == mailboxes.OWNER or waiting.sender == COORD:
        return 0
    if waiting.expires_at is not None and waiting.expires_at <= view.now:
        return 0
    limit = view.config.mail.unread_age.of(waiting.priority)
    return max(0, min(3, int((view.now - waiting.sent_at) / limit)))


def _teller(view: View, mailbox: str, level: int) -> str:
    if level == 1:
        return mailbox
    coordinator = view.config.coordinator
    return mailboxes.OWNER if level == 3 or mailbox == coordinator else coordinator
