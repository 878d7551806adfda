"""Faults planted in what coord does about time, by name; each gives what to put where."""

# ruff: noqa: ARG005 - a stand-in is given what the real one is given
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from coord.daemon import loop, observe
from coord.daemon.observe import Observer
from coord.daemon.plan import View
from coord.daemon.rules import sweep
from coord.model import leases
from coord.service import steadiness, upkeep
from coord.service.clock import Pace
from coord.service.leasebook import Book

_LATEST = [datetime(1970, 1, 1, tzinfo=UTC)]
Patch = tuple[object, str, Callable[[Any], object]]
PLANTED: dict[str, tuple[Patch, ...]] = {
    "commands do not see jumps": ((steadiness, "look", lambda real: lambda coord, keep=False: _first(coord)),),
    "no jump is long enough": ((Pace, "then", lambda real: _never),),
    "only the clock set back is a jump": (
        (
            Pace,
            "then",
            lambda real: lambda pace, wall, *rest: (_never if wall > pace.wall else real)(pace, wall, *rest),
        ),
    ),
    "the interval is over at once": (
        (Pace, "then", lambda real: lambda pace, wall, monotonic, interval: real(pace, wall, monotonic, timedelta(0))),
    ),
    "what stood before the jump is forgotten": (
        (Pace, "then", lambda real: lambda pace, wall, *rest: replace(real(pace, wall, *rest), before=wall)),
    ),
    "the last look is not kept": ((steadiness, "_keep", lambda real: lambda coord, pace: None),),
    "an open book looks at the clock again": (
        (leases, "live", lambda real: lambda held, now: real(held, max(now, _LATEST[0]))),
        (Book, "at", lambda real: classmethod(lambda cls, coord, pace: _watched(real(coord, pace)))),
    ),
    "summer time moves leases": (
        (Book, "at", lambda real: classmethod(lambda cls, coord, pace: _local(real(coord, pace)))),
    ),
    "the end of 32 bits is the end of time": (
        (leases, "expired", lambda real: lambda held, now: real(held, now) if now.timestamp() < 2**31 else ()),
    ),
    "leases are expired before their time": (
        (leases, "expired", lambda real: lambda held, now: real(held, now + timedelta(hours=1))),
        (loop, "RULES", lambda real: tuple(_early(rule) for rule in real)),
    ),
    "an expired lease stays": ((Book, "free", lambda real: _told_only),),
    "leases are not expired": ((loop, "RULES", lambda real: real[:1] + real[2:]),),
    "a daemon forgets whom it told": ((Observer, "reminded", lambda real: lambda *given: None),),
    "a daemon that begins anew forgets whom it told": ((observe, "_reminders", lambda real: lambda coord: {}),),
    "the owner is never told": ((sweep, "level_of", lambda real: lambda view, waiting: min(2, real(view, waiting))),),
    "mail is retired as soon as it is read": (
        (sweep, "_retire", lambda real: lambda view: real(replace(view, now=view.now + timedelta(days=1)))),
    ),
    "reminders come too early": (
        (sweep, "_remind", lambda real: lambda view: real(replace(view, now=view.now + timedelta(days=1)))),
    ),
    "what is retired stays": ((upkeep, "retire", lambda real: _noted_only),),
}


def _first(coord: Any) -> Pace:
    return Pace.at(coord.now(), coord.clock.monotonic())


def _never(pace: Pace, wall: datetime, monotonic: float, _interval: timedelta) -> Pace:
    return replace(pace, wall=wall, monotonic=monotonic, until=0.0)


def _watched(book: Book) -> Book:
    _LATEST[0] = book.coord.now()
    return book


def _local(book: Book) -> Book:
    """Two hours to UTC in summer, one in winter."""
    first, last = datetime(2026, 10, 25, 1, tzinfo=UTC), datetime(2027, 3, 28, 1, tzinfo=UTC)
    return replace(book, now=book.now + timedelta(hours=1 if first <= book.now < last else 2))


def _early(rule: Callable[[View], object]) -> object:
    return lambda view: rule(replace(view, now=view.now + timedelta(hours=1)))


def _told_only(book: Book, lock: Any, kind: str, why: str, *, agent: str = "coord") -> Book:
    event = book.coord.event(kind, f"{lock.holder}: {lock.scope}", (), agent=agent, token=lock.token, why=why)
    book.coord.record(event)
    return book


def _noted_only(coord: Any, chosen: Any, why: str) -> int:
    for key in chosen:
        coord.record(coord.event("mail.retired", key, (), agent="coord", cause=(key.rpartition("/")[2][:26],)))
    return len(chosen)
