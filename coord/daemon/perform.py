"""Carry out one Action through the service; a failing one is noted and tried again later, never fatal."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from coord.daemon.observe import Observer
from coord.daemon.plan import (
    Action,
    Adopt,
    CallOff,
    Discard,
    ExpireLease,
    Follow,
    Forward,
    FreeDead,
    LetGo,
    Merge,
    Reconcile,
    Reguard,
    Remind,
    Repack,
    Retire,
    Trim,
    Wake,
    Warn,
)
from coord.git import maintain
from coord.model import backoff
from coord.model.errors import CoordError
from coord.service import foresight, keepup, leasebook, restoring, upkeep, verify, watching
from coord.service.byhand import adopt
from coord.service.coord import Coord
from coord.service.guard import placing
from coord.service.merging.landing import Landing
from coord.service.wake import calling

_FIRST, _LONGEST = timedelta(seconds=1), timedelta(minutes=5)


@dataclass
class Backoff:
    """When a failing action may be tried again: after 1, 2, 4 … seconds, at most five minutes."""

    failures: dict[Action, tuple[int, float]] = field(default_factory=dict)

    def ready(self, action: Action, now: float) -> bool:
        """Tell whether ACTION may be tried at NOW (monotonic seconds)."""
        return now >= self.failures.get(action, (0, 0.0))[1]

    def failed(self, action: Action, now: float) -> int:
        """Note a failure and return how many there were in a row."""
        count = self.failures.get(action, (0, 0.0))[0] + 1
        wait, longest = backoff.pause(count, _FIRST, _LONGEST), _LONGEST.total_seconds()
        # What nobody has asked for since, as what was about a file that is gone, is not remembered for ever.
        self.failures = {one: known for one, known in self.failures.items() if now < known[1] + longest}
        self.failures[action] = (count, now + wait.total_seconds())
        return count

    def worked(self, action: Action) -> None:
        """Forget the failures of an action that worked."""
        self.failures.pop(action, None)


class Performer:
    """Carries out actions one at a time."""

    def __init__(self, coord: Coord, observer: Observer, say: Callable[[str], None]) -> None:
        self.coord = coord
        self.observer = observer
        self.landing = Landing(coord)
        self.say = say
        self._backoff = Backoff()
        self._calls: list[calling.Under] = []

    def tend(self) -> None:
        """Look after what was begun and goes on beside the cycles."""
        self.landing.tend()
        now = self.coord.clock.monotonic()
        for call in tuple(self._calls):
            if (word := calling.ended(call, now)) is not None:
                self._calls.remove(call)
                if word:
                    self.say(f"failed: {word}; trying again later")

    def perform(self, action: Action) -> bool:
        """Carry out ACTION; True when something changed, so that another cycle is worth while."""
        now = self.coord.clock.monotonic()
        if not self._backoff.ready(action, now):
            return False
        try:
            changed = self._do(action)
        except (CoordError, OSError) as fault:
            self._note(action, fault, now)
            return False
        self._backoff.worked(action)
        return changed

    def _do(self, action: Action) -> bool:
        coord = self.coord
        match action:
            case Adopt(key):
                return adopt.adopt(coord, key)
            case Forward(key):
                return adopt.forward(coord, key)
            case ExpireLease(scope, token):
                with leasebook.opened(coord) as book:
                    return book.expire(scope, token)
            case FreeDead():
                with leasebook.opened(coord):
                    return True
            case Retire(chosen, why):
                return upkeep.retire(coord, chosen, why) > 0
            case Remind(mailbox, to, level, ids):
                upkeep.remind(coord, mailbox, to, level, ids)
                self.observer.reminded(mailbox, ids, level)
                return True
            case Merge(into):
                return self.landing.advance(into)
            case Follow(agent):
                changed = keepup.follow(coord, agent)
                self.observer.followed()
                return changed
            case Warn() | CallOff():
                return self._speak_of(action)
            case Reconcile() | Reguard():
                return self._put_right(action)
            case LetGo(names):
                return restoring.let_go(coord, names) > 0
            case Discard() | Trim() | Repack() | Wake():
                self._beside(action)
                return False

    def _put_right(self, what: Reconcile | Reguard) -> bool:
        if isinstance(what, Reguard):
            return placing.restore(self.coord)
        return verify.reconcile(self.coord, verify.drift(self.coord)) > 0

    def _beside(self, action: Discard | Trim | Repack | Wake) -> None:
        """Carry out what changes nothing that a rule looks at."""
        match action:
            case Discard(names):
                upkeep.discard(self.coord, names)
            case Trim():
                watching.trim(self.coord)
            case Repack():
                maintain.tend(self.coord.place.common)
            case Wake(due):
                if under := calling.begin(self.coord, due.client, due.session, due.way):
                    self._calls.append(under)

    def _speak_of(self, conflict: Warn | CallOff) -> bool:
        pair = conflict.first, conflict.second
        place = self.observer.foreseen(*pair)
        if (place is None) is isinstance(conflict, Warn):  # it came or went since the rule saw it
            return False
        if place is not None:
            foresight.tell(self.coord, place)
        else:
            foresight.over(self.coord, pair)
        self.observer.warned()
        return True

    def _note(self, action: Action, fault: CoordError | OSError, now: float) -> None:
        count = self._backoff.failed(action, now)
        self.say(f"failed ({count}): {action}: {fault}")
        if count == 1:
            event = self.coord.event(
                "watch.failed", f"{type(action).__name__}: {fault}", agent="coord", why=str(action)
            )
            self.coord.record(event)
