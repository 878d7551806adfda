"""Merge what waits in the queue."""

from coord.daemon.plan import Action, Hint, Merge, View


def merge(view: View, hint: Hint) -> list[Action]:
    """Take the head of the queue one step further.

    Requests that wait for the owner's checkout do not hold up others: every queued request is
    tried in order, but only one is under way (testing or landing) at a time.
    """
    del hint
    under_way = [request for request in view.merges if request.state in ("testing", "landing")]
    if under_way:
        return [Merge(under_way[0].id)]
    return [Merge(request.id) for request in view.merges if request.state == "queued"]
