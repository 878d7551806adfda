"""The order of the merge queue: by priority and age, and never before what a request comes after. Pure."""

import heapq
from collections.abc import Iterable, Mapping

from coord.model.records import MergeRequest, Priority
from coord.model.values import frozen

RANK: Mapping[Priority, int] = {"urgent": 0, "high": 1, "normal": 2, "low": 3}
_UNDER_WAY = ("testing", "landing")


@frozen
class Stuck:
    """A request that cannot have its turn, and why."""

    request: MergeRequest
    why: str


@frozen
class Lineup:
    """All that waits: who can have a turn, the next first, and who cannot."""

    ready: tuple[MergeRequest, ...]
    stuck: tuple[Stuck, ...]


def lineup(waiting: Iterable[MergeRequest]) -> Lineup:
    """Put the requests in order.

    What is urgent makes urgent what it comes after. A request whose predecessor left the queue without
    landing is stuck (one that lands is taken out of `after`), and so is who waits for itself, or for one stuck.
    """
    found = {one.id: one for one in waiting}
    followers: dict[str, list[str]] = {identifier: [] for identifier in found}
    open_: dict[str, int] = {}
    lost: dict[str, str] = {}
    for one in found.values():
        before = set(one.after)
        open_[one.id] = len(before)
        for other in sorted(before):
            if other in found:
                followers[other].append(one.id)
            else:
                lost.setdefault(one.id, other)
    rank = _ranks(found)
    heap = [(rank[name], name) for name, count in open_.items() if not count]
    heapq.heapify(heap)
    ready = []
    while heap:
        _, name = heapq.heappop(heap)
        ready.append(found[name])
        for follower in followers[name]:
            open_[follower] -= 1
            if not open_[follower]:
                heapq.heappush(heap, (rank[follower], follower))
    placed = {one.id for one in ready}
    stuck = (Stuck(one, _why(one, lost, found)) for one in sorted(found.values(), key=_age) if one.id not in placed)
    # What is under way comes first: it is no longer a question whose turn it is.
    ready.sort(key=lambda one: (one.state not in _UNDER_WAY, one.position if one.state in _UNDER_WAY else 0))
    return Lineup(tuple(ready), tuple(stuck))


def circle(waiting: Iterable[MergeRequest], new: MergeRequest) -> tuple[str, ...]:
    """Return the ids on a way from NEW, by what each comes after, back to NEW; or nothing."""
    after = {one.id: one.after for one in waiting} | {new.id: new.after}
    came_from: dict[str, str] = {}
    todo = [new.id]
    while todo:
        name = todo.pop()
        for other in after.get(name, ()):
            if other == new.id:
                way = [other, name]
                while way[-1] != new.id:
                    way.append(came_from[way[-1]])
                return tuple(reversed(way))
            if other not in came_from:
                came_from[other] = name
                todo.append(other)
    return ()


def _ranks(found: Mapping[str, MergeRequest]) -> dict[str, int]:
    """Return how urgent each is: as urgent as whatever waits for it."""
    rank = {name: RANK[one.priority] for name, one in found.items()}
    for start in sorted(rank, key=lambda name: rank[name]):
        todo = [start]
        while todo:
            name = todo.pop()
            for other in found[name].after:
                if other in found and rank[other] > rank[start]:
                    rank[other] = rank[start]
                    todo.append(other)
    return rank


def _why(one: MergeRequest, lost: Mapping[str, str], found: Mapping[str, MergeRequest]) -> str:
    if one.id in lost:
        return f"comes after {lost[one.id]}, which did not land"
    first = next(other for other in one.after if other in found)
    return f"comes after {first}, which cannot have its turn"


def _age(one: MergeRequest) -> str:
    return one.id
