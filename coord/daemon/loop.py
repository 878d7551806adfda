"""Observe, decide, perform: one thread, level-triggered.

Each cycle decides from the state, not from what woke it: any hint may be lost, and the
next cycle finishes the work. What is noted meanwhile is committed beside it (committing.py).
"""

from collections.abc import Callable
from dataclasses import dataclass

from coord.daemon.observe import Observer
from coord.daemon.perform import Performer
from coord.daemon.plan import Action
from coord.daemon.rules.listed import RULES
from coord.model import backoff
from coord.model.errors import CoordError
from coord.service.coord import DAEMON_BELL, Coord
from coord.stores.bell import Bell

# Between two looks at the folders when commands or files come in a burst, so that commits go on:
# this long, and at least a few times as long as the last look took.
_SPACING = 0.01
_LOOKS_SHARE = 3
_ROUNDS = 8
_REST = 0.01
_WHILE_TESTING = 0.05
_LONGEST_PAUSE = 60.0


@dataclass
class Loop:
    """The daemon's looks and acts."""

    coord: Coord
    observer: Observer
    performer: Performer
    _closely: bool = False
    _full_at: float = 0.0
    _look_at: float = 0.0
    _looked_at: float = 0.0
    _spacing: float = _SPACING

    def moved(self) -> None:
        """Take note that a hand moved a record, and look fully soon. May be called from another thread."""
        self._closely = True
        self.coord.bells.ring(DAEMON_BELL)

    def run(self, bell: Bell, stopped: Callable[[], bool], until: float | None = None) -> None:
        """Go on until STOPPED says so, or until the monotonic second UNTIL.

        What fails as a whole (a full disk, a repository that cannot be read) is named, and tried again later.
        """
        monotonic = self.coord.clock.monotonic
        self._full_at = self._look_at = monotonic()
        failures = 0
        while not stopped() and (until is None or monotonic() < until):
            try:
                self._step()
                failures = 0
            except (CoordError, OSError) as fault:
                failures += 1
                self.performer.say(f"failed ({failures}): {fault}; trying again")
                self._look_at = self._full_at = monotonic() + backoff.pause(failures, 1.0, _LONGEST_PAUSE)
            wake_at = min(self._look_at, self._full_at, until or self._full_at)
            while not stopped() and bell.wait(max(0.0, wake_at - monotonic())):
                bell.drain()
                if not failures:
                    self._look_at = min(self._look_at, self._looked_at + self._spacing)
                    break

    def _step(self) -> None:
        """Look, if it is time to."""
        monotonic = self.coord.clock.monotonic
        now = monotonic()
        if now < self._look_at:
            return
        closely, self._closely = self._closely, False
        full = now >= self._full_at or closely
        if full:
            self._reload()
            self.coord.store.sweep()
        rest = self.cycle(full=full)
        self._looked_at = monotonic()
        if closely or not full:  # what comes by the clock alone, and rarely, does not make what comes after it wait
            self._spacing = max(_SPACING, _LOOKS_SHARE * (self._looked_at - now))
        if full:
            self._full_at = self._looked_at + self.coord.config.watch.scan_every.total_seconds()
        self._look_at = self._looked_at + rest if rest else self._full_at

    def cycle(self, *, full: bool) -> float:
        """Look, decide and act until nothing is left to do; return in how many seconds there will be, 0 if in none."""
        for _ in range(_ROUNDS):
            self.performer.tend()
            view = self.observer.view(full=full)
            actions: list[Action] = [action for rule in RULES for action in rule(view)]
            # A list, not a generator: every action is performed, not only those up to the first that worked.
            changed = [self.performer.perform(action) for action in actions]
            if not any(changed):
                rests = [dropped.ripe_in for dropped in view.dropped if not dropped.whole]
                if self.performer.landing.running:
                    rests.append(_WHILE_TESTING)
                return min(rests, default=0.0)
        return _REST

    def _reload(self) -> None:
        """Follow a changed configuration; a wrong one is named and the last good one stays in force."""
        try:
            if self.coord.reload():
                self.performer.say(f"read .coord.yaml again: {len(self.coord.config.names)} agents")
        except CoordError as fault:
            self.performer.say(f"{fault.message}; going on with the last good configuration")
