"""Time, as a thing that can be handed in: tests run days of it in a second."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from coord.model.values import frozen

# The wall clock is slewed together with the monotonic one: only a sleep or a step parts them by this much.
JUMP = 5.0
_AT_ONCE = 0.5


class Clock(Protocol):
    """Wall time for what is written down, monotonic time for how long something took."""

    def now(self) -> datetime:
        """Return the wall clock's moment, aware UTC, to the millisecond that records keep."""
        ...

    def monotonic(self) -> float:
        """Return seconds that only rise, whatever happens to the wall clock."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """Return the wall clock's moment."""
        moment = datetime.now(UTC)
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds."""
        return time.monotonic()


def read(clock: Clock) -> tuple[datetime, float]:
    """Read both clocks at one moment: a pause between the two would look like a jump."""
    while True:
        before = clock.monotonic()
        wall = clock.now()
        after = clock.monotonic()
        if after - before < _AT_ONCE:
            return wall, after


@frozen
class Pace:
    """Where both clocks stood at the last look, and since when and until when they are not to be trusted.

    They part when the machine sleeps or the clock is set. Whoever held something could do nothing
    about it meanwhile, so nothing that stood at `before` is reaped until the monotonic second `until`.
    """

    wall: datetime
    monotonic: float
    before: datetime
    until: float

    @classmethod
    def at(cls, wall: datetime, monotonic: float) -> "Pace":
        """Begin with a first reading, which there is no reason to doubt."""
        return cls(wall, monotonic, wall, monotonic)

    def then(self, wall: datetime, monotonic: float, interval: timedelta) -> "Pace":
        """Take the next reading; a jump of more than five seconds makes it unsteady for one INTERVAL."""
        jump = (wall - self.wall).total_seconds() - (monotonic - self.monotonic)
        if abs(jump) <= JUMP:
            return Pace(wall, monotonic, self.before, self.until)
        before = self.wall if self.steady else min(self.before, self.wall)
        return Pace(wall, monotonic, before, monotonic + interval.total_seconds())

    @property
    def steady(self) -> bool:
        """Whether the clocks can be trusted."""
        return self.monotonic >= self.until

    @property
    def trusted_from(self) -> datetime:
        """The wall clock's moment from which they can be, if nothing happens until then."""
        return self.wall + timedelta(seconds=max(0.0, self.until - self.monotonic))
