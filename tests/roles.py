"""What the workers of a torment do: each an ordinary use of coord, which says what it was told was done."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path

from coord.daemon import run
from coord.model import ids
from coord.model.errors import CoordError, Unavailable
from coord.service import locks, mail, merges
from coord.service.command import Prose
from coord.service.coord import Coord
from coord.service.merging.landing import Landing

ADDRESSES = ("backend", "frontend", "security", "@web", "all")
Say = Callable[..., None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a worker does, and at which of its points (of all, or of ONLY some names) it dies or stops; 0 is none.

    STEP names instead a point within a merge, as `mergesteps` does.
    """

    role: str
    who: str = "owner"
    times: int = 1
    seed: int = 0
    point: int = 0
    deed: str = "die"
    only: str = ""
    step: str = ""
    family: bool = False
    mutant: str = ""


def send(repo: Path, plan: Plan, say: Say) -> None:
    """Send mail, take a lease and give it back, each time as a command of its own, and say how long sending took.

    Without a number of times until there is a file `stop` beside the repository; then it goes on
    also while somebody keeps the ledger's branch locked.
    """
    chance = random.Random(plan.seed)
    stop = repo.with_name("stop")
    for number in range(plan.times) if plan.times else takewhile(lambda _: not stop.exists(), count()):
        with Coord.open(repo, who=plan.who) as coord:
            for _ in range(chance.randint(1, 2)):
                began = time.monotonic()
                sent = mail.send(coord, (chance.choice(ADDRESSES),), Prose(f"{plan.seed} {number}\n" * 20))
                say("sent", sent.message.id, *sent.delivered)
                say("took", time.monotonic() - began)
            if chance.random() < 0.5:
                try:
                    (lock,) = locks.acquire(coord, (f"area/{plan.who}",)).locks
                    say("granted", lock.token, plan.who)
                    locks.release(coord)
                    say("released", lock.token)
                except Unavailable as fault:
                    _give_up(fault, plan, say)
        if coord.left is not None:
            _give_up(coord.left, plan, say)


def _give_up(fault: CoordError, plan: Plan, say: Say) -> None:
    if plan.times or not fault.retryable:
        raise fault
    say("left", fault.code)


def read(repo: Path, plan: Plan, say: Say) -> None:
    """Read all mail, and acknowledge what asks for it."""
    with Coord.open(repo, who=plan.who) as coord:
        for item in mail.read(coord, limit=1000).items:
            if item.message.ack != "required":
                say("read", plan.who, item.message.id)
        for item in mail.list_(coord).items:
            mail.ack(coord, (item.message.id,))
            say("read", plan.who, item.message.id)
    assert coord.left is None, coord.left


def commit(repo: Path, plan: Plan, say: Say) -> None:
    """Commit what waits."""
    del plan, say
    Coord.open(repo).committer.settle()


def land(repo: Path, plan: Plan, say: Say) -> None:
    """Merge what is queued, until nothing moves."""
    del plan
    with Coord.open(repo, who="owner") as coord:
        landing, seen = Landing(coord), set[str]()
        while queued := [one for _, one in merges.waiting(coord)]:
            seen.update(one.id for one in queued)
            moved = [landing.advance(into) for into in dict.fromkeys(one.into for one in queued)]
            if not any(moved):
                break
        for one in seen.difference(one.id for one in queued):
            say("landed", one)
        coord.committer.settle()
    assert coord.left is None, coord.left


def queue(repo: Path, plan: Plan, say: Say) -> None:
    """Test and merge what is queued, until nothing waits."""
    del plan
    with Coord.open(repo, who="owner") as coord:
        landing, seen = Landing(coord), set[str]()
        while queued := [one for _, one in merges.waiting(coord)]:
            seen.update(one.id for one in queued)
            landing.tend()
            moved = [landing.advance(into) for into in dict.fromkeys(one.into for one in queued)]
            if not any(moved):
                time.sleep(0.005)
        landing.stop()
        for one in seen:
            say("landed", one)
        coord.committer.settle()
    assert coord.left is None, coord.left


def merge(repo: Path, plan: Plan, say: Say) -> None:
    """Be a daemon's merges for so many steps; tests that are held, by a file `hold` beside the repository, go on."""
    del say
    with Coord.open(repo, who="owner") as coord:
        landing, hold = Landing(coord), repo.with_name("hold")
        for _ in range(plan.times):
            landing.tend()
            for into in dict.fromkeys(one.into for _, one in merges.waiting(coord)):
                landing.advance(into)
            while landing.running and not hold.exists() and not landing.gates.collect():
                time.sleep(0.005)
        landing.stop()
        coord.committer.settle()


def watch(repo: Path, plan: Plan, say: Say) -> None:
    """Be the daemon."""
    del plan
    run.watch(Coord.open(repo), say=lambda line: say("watch", ids.slug(line)))


ROLES: dict[str, Callable[[Path, Plan, Say], None]] = {
    "send": send,
    "read": read,
    "commit": commit,
    "land": land,
    "queue": queue,
    "push": queue,
    "merge": merge,
    "watch": watch,
}
