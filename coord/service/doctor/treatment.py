"""Mend what can be mended: a topic after the other, until nothing more changes."""

from coord.service.coord import Coord
from coord.service.doctor import private
from coord.service.doctor.examination import CONTENT, GROUNDWORK, examine, reread
from coord.service.doctor.finding import Check, Finding
from coord.service.doctor.kept import Kept

GUARD = "doctor"
# What one mending lays bare, or makes possible, the next round mends.
_ROUNDS = 4
_Case = tuple[str, str]


class Treatment:
    """What was found on the way, and what became of it."""

    def __init__(self, coord: Coord) -> None:
        self.coord = coord
        self.kept = Kept(coord)
        self.found: dict[_Case, Finding] = {}
        self.failed: dict[_Case, str] = {}
        self.left: dict[_Case, Finding] = {}

    def mend(self) -> None:
        """Mend, then look again at all of it."""
        # To enter anywhere makes the private folder, and needs its guards: both are looked at before.
        self._round((private.missing, private.misplaced))
        with self.coord.store.exclusive(GUARD):
            for stage in (GROUNDWORK, CONTENT):
                for _ in range(_ROUNDS):
                    if not self._round(stage):
                        break
            self.left = {case(finding): finding for finding in examine(self.coord)}

    def _round(self, checks: tuple[Check, ...]) -> bool:
        mended = False
        for finding in examine(self.coord, checks):
            self.found.setdefault(case(finding), finding)
            if finding.mend is None:
                continue
            try:
                finding.mend(self.kept)
                mended = True
            except Exception as fault:  # the next one may be mended all the same
                self.failed[case(finding)] = str(fault) or repr(fault)
        reread(self.coord)
        return mended


def case(finding: Finding) -> _Case:
    """Return what tells one finding from another."""
    return finding.code, finding.where
