"""Wake idle sessions beside which nobody waits."""

from coord.daemon.plan import Action, View, Wake


def wake(view: View) -> list[Action]:
    """Call each session that has new mail; one that was called already is in the view only when that came to nothing.

    Not while the clock is unsteady: a machine that slept has sessions that look idle and are about to go on.
    """
    return [Wake(due) for due in view.due] if view.steady else []
