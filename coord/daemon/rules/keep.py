"""Keep ledger, files, git's own storage and the guard in its hooks in order."""

from coord.daemon.plan import Action, Reconcile, Reguard, Repack, View


def keep(view: View) -> list[Action]:
    """Record what hands changed in the folders, repack before the owner's git would have to, and put the guard back."""
    actions: list[Action] = [Reconcile()] if view.drifted else []
    if view.fragmented:
        actions.append(Repack())
    if view.unguarded:
        actions.append(Reguard(view.unguarded))
    return actions
