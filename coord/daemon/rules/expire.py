"""Expire leases."""

from coord.daemon.plan import Action, ExpireLease, FreeDead, View


def expire(view: View) -> list[Action]:
    """Expire every lease past its time, and free those whose process is proven dead.

    Reaps nothing while the clock is not steady: after a sleep the holder gets one interval to renew.
    """
    freed: list[Action] = [FreeDead(view.dead_holders)] if view.dead_holders else []
    if not view.steady:
        return freed
    return freed + [ExpireLease(lock.scope, lock.token) for lock in view.locks if lock.expires_at <= view.now]
