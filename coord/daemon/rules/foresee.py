"""Tell agents of conflicts before they meet them."""

from coord.daemon.plan import Action, CallOff, View, Warn


def foresee(view: View) -> list[Action]:
    """Warn of every conflict that its sides were not told of, and call off what is gone.

    One that shrinks is no news; one that reaches another path is.
    """
    actions: list[Action] = []
    for one in view.conflicts:
        if one.marks - one.told:
            actions.append(Warn(one.first, one.second, one.marks))
        elif not one.marks and one.told:
            actions.append(CallOff(one.first, one.second))
    return actions
