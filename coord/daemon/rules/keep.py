"""Keep ledger, files and git's own storage in order."""

from coord.daemon.plan import Action, Reconcile, Repack, View


def keep(view: View) -> list[Action]:
    """Record what hands changed in the folders, and repack before the owner's git would have to."""
    actions: list[Action] = [Reconcile()] if view.drifted else []
    if view.fragmented:
        actions.append(Repack())
    return actions
