"""The queue of one branch, as one step sees it."""

from collections.abc import Mapping

from coord.git import merge
from coord.git.worktree import Worktree
from coord.model.queue import Lineup
from coord.model.values import frozen
from coord.service.coord import Coord
from coord.service.merging.stacking import Keyed


@frozen
class Line:
    """What waits for a branch; where that is `here`, and was at the remote when last looked at (`far`, or "")."""

    into: str
    here: str
    far: str
    tip: str
    all: Mapping[str, Keyed]
    lineup: Lineup

    def of(self, *states: str) -> list[Keyed]:
        """Return those in one of STATES, in order."""
        ready = (one for one in self.lineup.ready if one.into == self.into and one.state in states)
        return [self.all[one.id] for one in ready]

    @property
    def waited_for(self) -> set[str]:
        """The ids of requests that others come after."""
        return {other for _, one in self.all.values() for other in one.after}


def tip_of(coord: Coord, here: str, far: str) -> str:
    """Return what is to be merged upon: the branch, or where the remote has it if that is ahead; "" if they parted."""
    git = coord.git
    if far in ("", here) or merge.already_in(git, here, far):
        return here
    return far if merge.already_in(git, far, here) else ""


def there(place: Worktree, reason: str) -> str:
    """Say why a checkout cannot follow, and which."""
    return f"in {place.path}: {reason}"
