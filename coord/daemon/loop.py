"""Observe, decide, perform: one thread, level-triggered.

Each cycle decides from the state, not from what woke it: any hint may be lost, and the
next cycle finishes the work. A command's event is committed before anything else is
looked at, since somebody may be waiting to see it in the ledger.
"""

from collections.abc import Callable
from dataclasses import dataclass

from coord.daemon.observe import Observer
from coord.daemon.perform import Performer
from coord.daemon.plan import Action, Hint
from coord.daemon.rules.listed import RULES
from coord.model.errors import CoordError
from coord.service.coord import Coord
from coord.stores.bell import Bell

# Between two looks at the folders when commands or files come in a burst, so that commits go on:
# this long, and at least as long as the last look took.
_SPACING = 0.01
_ROUNDS = 8
_REST = 0.11


@dataclass
class Loop:
    """The daemon's one thread."""

    coord: Coord
    observer: Observer
    performer: Performer
    committed: Callable[[], None]
    _closely: bool = False

    def look_closely(self) -> None:
        """Ask for a full look soon: a hand changed something. May be called from another thread."""
        self._closely = True

    def run(self, bell: Bell, stopped: Callable[[], bool], until: float | None = None) -> None:
        """Go on until STOPPED says so, or until the monotonic second UNTIL."""
        monotonic = self.coord.clock.monotonic
        interval = self.coord.config.watch.scan_every.total_seconds()
        full_at = look_at = monotonic()
        spacing = _SPACING
        while not stopped() and (until is None or monotonic() < until):
            self._settle()
            now = monotonic()
            if now >= look_at:
                full = now >= full_at or self._closely
                self._closely = False
                if full:
                    self._reload()
                unfinished = self.cycle(Hint("timer" if full else "change"), full=full)
                self._settle()
                began, now = now, monotonic()
                spacing = max(_SPACING, now - began)
                full_at = now + interval if full else full_at
                look_at = now + _REST if unfinished else full_at
            if bell.wait(max(0.0, min(look_at, full_at, until or full_at) - monotonic())):
                bell.drain()
                look_at = min(look_at, now + spacing)

    def cycle(self, hint: Hint, *, full: bool) -> bool:
        """Look, decide and act until nothing is left to do; True where something is not ripe yet."""
        for _ in range(_ROUNDS):
            self.performer.landing.tend()
            view = self.observer.view(full=full)
            actions: list[Action] = [action for rule in RULES for action in rule(view, hint)]
            # A list, not a generator: every action is performed, not only those up to the first that worked.
            changed = [self.performer.perform(action) for action in actions]
            if not any(changed):
                ripening = any(not dropped.whole for dropped in view.dropped)
                return ripening or self.performer.landing.running is not None
        return True

    def _reload(self) -> None:
        """Follow a changed configuration; a wrong one is named and the last good one stays in force."""
        try:
            if self.coord.reload():
                self.performer.say(f"read .coord.yaml again: {len(self.coord.config.names)} agents")
        except CoordError as fault:
            self.performer.say(f"{fault.message}; going on with the last good configuration")

    def _settle(self) -> None:
        if self.coord.committer.settle():
            self.committed()
