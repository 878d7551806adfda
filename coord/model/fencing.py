"""Fencing: which changes were made under a lease that somebody else has had since.

A token only rises, so that whoever changed a path under one token, where another holder was
granted the path under a higher one, was overtaken, whether or not that lease still stands. What
a change was made under is told by tokens that were noted with it; where none are, the last lease
that its agent had been granted by then is meant, and where it had none, time decides.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from coord.model.records import Lock
from coord.model.scope import Form, covers
from coord.model.values import frozen

_SECOND = timedelta(seconds=1)  # git knows no less


@frozen(kw_only=True)
class Work:
    """A path that AGENT changed at a moment, and the tokens noted with the change: a claim, none of it proven."""

    path: str
    agent: str
    at: datetime
    tokens: tuple[int, ...] = ()


@frozen(kw_only=True)
class Passed:
    """A change that somebody else's lease has overtaken.

    `token` is that of the lease it was made under, 0 where time decided; `to` is the newest lease
    that others were granted since; `retaken` is the token under which its agent has the path
    again after that, or 0.
    """

    path: str
    agent: str
    token: int
    to: Lock
    retaken: int = 0


@frozen
class Judged:
    """What was overtaken, and the paths that others were granted of which nobody can tell what they were made under.

    `leases` are those that changes were made under: token and scope of each.
    """

    passed: tuple[Passed, ...] = ()
    unknown: tuple[str, ...] = ()
    leases: tuple[tuple[int, str], ...] = ()


def judge(works: Iterable[Work], grants: Sequence[Lock], form: Form) -> Judged:
    """Judge changes by all that was GRANTED from before them until now.

    A token counts only where a grant bears it and covers the path: whoever writes a number into
    a commit message gains nothing by it. Of several the oldest counts.
    """
    passed: list[Passed] = []
    unknown: list[str] = []
    leases: list[tuple[int, str]] = []
    asked = tuple(works)
    paths, scopes = {work.path for work in asked}, {lock.scope for lock in grants}
    covered = {scope: {path for path in paths if covers(scope, path, form)} for scope in scopes}
    for work in asked:
        over = [lock for lock in grants if work.path in covered[lock.scope]]
        under = _under(work, over)
        agent = under.holder if under else work.agent
        leases += [(under.token, under.scope)] if under else []
        others = [lock for lock in over if lock.holder != agent and not _goes_with(under, lock)]
        if under is None and others:
            unknown.append(work.path)
        if after := [lock for lock in others if _is_after(lock, under, work)]:
            to = max(after, key=lambda lock: lock.token)
            again = (lock.token for lock in over if lock.holder == agent and lock.token > to.token)
            token = under.token if under else 0
            passed.append(Passed(path=work.path, agent=agent, token=token, to=to, retaken=max(again, default=0)))
    return merged([Judged(tuple(passed), tuple(unknown), tuple(leases))])


def merged(parts: Iterable[Judged]) -> Judged:
    """Return several judgements as one, each finding once."""
    passed: dict[tuple[str, str, int, int], Passed] = {}
    unknown: dict[str, None] = {}
    leases: dict[tuple[int, str], None] = {}
    for part in parts:
        passed |= {(one.path, one.agent, one.token, one.to.token): one for one in part.passed}
        unknown |= dict.fromkeys(part.unknown)
        leases |= dict.fromkeys(part.leases)
    return Judged(tuple(passed.values()), tuple(unknown), tuple(leases))


def _under(work: Work, over: Sequence[Lock]) -> Lock | None:
    """Return the lease that a change was made under, as far as anything tells."""
    if noted := [lock for lock in over if lock.token in work.tokens]:
        return min(noted, key=lambda lock: lock.token)
    own = (lock for lock in over if lock.holder == work.agent and lock.granted_at < work.at + _SECOND)
    return max(own, key=lambda lock: lock.token, default=None)


def _goes_with(under: Lock | None, other: Lock) -> bool:
    return under is not None and under.mode == other.mode == "shared"


def _is_after(other: Lock, under: Lock | None, work: Work) -> bool:
    return other.token > under.token if under else other.granted_at > work.at
