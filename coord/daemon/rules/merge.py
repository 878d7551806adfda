"""Merge what waits in the queue."""

from coord.daemon.plan import Action, Hint, Merge, View


def merge(view: View, hint: Hint) -> list[Action]:
    """Take the queue of each branch that something waits for one step further."""
    del hint
    return [Merge(into) for into in dict.fromkeys(request.into for request in view.merges)]
