"""Keep what is settled from piling up."""

from coord.daemon.plan import Action, Aged, Discard, LetGo, Retire, Trim, View

_LONGEST_LOG = 8 << 20


def tidy(view: View) -> list[Action]:
    """Retire old dead letters and the oldest decisions that are closed, remove old logs of gates and what was kept of
    worktrees, trim the daemon's log.

    A decision that awaits its outcome stays, however many there are.
    """
    if not view.steady:
        return []
    actions: list[Action] = []
    if dead := _old(view, view.settled.dead):
        actions.append(Retire(dead, "dead letter"))
    if closed := _beyond(view):
        actions.append(Retire(closed, "settled"))
    if logs := _old(view, view.settled.logs):
        actions.append(Discard(logs))
    limit = view.config.worktrees.trash_retention
    if gone := tuple(one.name for one in view.settled.trash if view.now - one.since >= limit):
        actions.append(LetGo(gone))
    if view.settled.told > _LONGEST_LOG:
        actions.append(Trim())
    return actions


def _old(view: View, among: tuple[Aged, ...]) -> tuple[str, ...]:
    return tuple(one.name for one in among if view.now - one.since >= view.config.mail.dead_retention)


def _beyond(view: View) -> tuple[str, ...]:
    decisions = view.settled.decisions
    excess = max(0, len(decisions) - view.config.decisions.keep)
    return tuple(one.key for one in decisions if not one.open)[:excess]
