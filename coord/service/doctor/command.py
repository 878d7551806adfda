"""Find what is wrong in a repository, and mend it."""

from typing import Annotated, Literal

from coord.model.errors import Corrupt
from coord.model.values import frozen
from coord.service.command import command
from coord.service.coord import Coord
from coord.service.doctor import patient, rebuilding
from coord.service.doctor.examination import examine
from coord.service.doctor.finding import Finding
from coord.service.doctor.treatment import Treatment, case


@frozen
class Found:
    """A fault, and what became of it; `next` says what --fix will do, or what the owner must."""

    code: str
    state: Literal["found", "by hand", "mended", "failed", "warning"]
    what: str
    where: str
    why: str
    next: str


@frozen
class Report:
    """What was found, what was put aside for it, and, of a rebuilding, how many records were made anew."""

    home: str
    healthy: bool
    findings: tuple[Found, ...]
    kept: tuple[str, ...] = ()
    rebuilt: int | None = None

    @property
    def exit_status(self) -> int:
        """The status that a program sees."""
        return 0 if self.healthy else Corrupt.exit_status


@command("doctor", opens=patient.opened, example="coord doctor --fix")
def doctor(
    coord: Coord,
    *,
    fix: Annotated[bool, "mend what can be mended; what must be replaced is put aside first"] = False,
    rebuild: Annotated[bool, "make the live files and the index anew from the ledger"] = False,
) -> Report:
    """Find what is wrong here, say why it matters, and mend it.

    Without --fix and --rebuild nothing is changed, not even committed. It works where the rest
    does not: with a wrong .coord.yaml, a damaged index, without .git/coord. The exit status is 0
    when nothing is wrong, or all of it was mended, else 7. What --fix replaces is put aside below
    .git/coord/kept/, and named.
    """
    rebuilt: int | None = None
    aside: tuple[str, ...] = ()
    if rebuild:
        rebuilt, aside = rebuilding.rebuild(coord)
    if not fix:
        return _report(coord, tuple(map(_looked_at, examine(coord))), aside, rebuilt)
    treatment = Treatment(coord)
    treatment.mend()
    every = {**treatment.found, **treatment.left}
    findings = tuple(_treated(finding, treatment) for finding in every.values())
    return _report(coord, findings, (*aside, *treatment.kept.names), rebuilt)


def _report(coord: Coord, findings: tuple[Found, ...], kept: tuple[str, ...], rebuilt: int | None) -> Report:
    healthy = all(found.state in ("mended", "warning") for found in findings)
    return Report(str(coord.home), healthy, findings, kept, rebuilt)


def _looked_at(finding: Finding) -> Found:
    state: Literal["found", "by hand", "warning"]
    state = "warning" if finding.warning else "by hand" if finding.mend is None else "found"
    return Found(finding.code, state, finding.what, finding.where, finding.why, finding.next)


def _treated(finding: Finding, treatment: Treatment) -> Found:
    if case(finding) not in treatment.left:
        return Found(finding.code, "mended", finding.what, finding.where, finding.why, finding.next)
    if finding.mend is None or finding.warning:
        return _looked_at(finding)
    said = treatment.failed.get(case(finding), "it was mended, and is back")
    return Found(finding.code, "failed", finding.what, finding.where, finding.why, f"mending it failed: {said}")
