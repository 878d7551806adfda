"""Merge what waits in the queue."""

from coord.daemon.plan import Action, Merge, View


def merge(view: View) -> list[Action]:
    """Take the queue of each branch that something waits for one step further."""
    return [Merge(into) for into in dict.fromkeys(request.into for request in view.merges)]
