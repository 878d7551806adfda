"""Deliver what was written by hand."""

from coord.daemon.plan import Action, Adopt, Forward, View


def deliver(view: View) -> list[Action]:
    """Adopt every hand-written file that is whole, and forward what lies in shared mailboxes.

    A file still being written waits for a later cycle: taking half a message would lose the other half.
    """
    adopted: list[Action] = [Adopt(dropped.key) for dropped in view.dropped if dropped.whole]
    return adopted + [Forward(key) for key in view.shared]
