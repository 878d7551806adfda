"""Moments that have not come yet."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from coord.git import history
from coord.model import ids, keys, times
from coord.model.untrusted import several
from coord.service.coord import Coord
from coord.service.doctor import patient
from coord.service.doctor.finding import Finding, counted

_SLACK = timedelta(minutes=2)
_SET_IT = "set this machine's clock (Linux: sudo timedatectl set-ntp true), or wait until then"


def ledger(coord: Coord) -> Iterator[Finding]:
    """Find a ledger that was last written in the future."""
    tip = patient.readable_tip(coord)
    if tip is None:
        return
    last = next(history.entries(coord.git, until=tip, newest_first=True, limit=1, with_changes=False))
    moment = max(last.at, last.committed_at)
    if moment > coord.now() + _SLACK:
        yield Finding(
            code="clock-behind-ledger",
            what=f"the ledger's last event is of {times.format_time(moment)}, which has not come yet",
            where="coord/ledger",
            why="leases end too late or too early, and new mail sorts before old",
            next=_SET_IT,
        )


def commits(coord: Coord) -> Iterator[Finding]:
    """Find a wall clock that stands before the last commit of the code."""
    shown = coord.git.run("log", "-1", "--format=%ct", "HEAD", check=False).out.decode().strip()
    if not shown:
        return
    moment = datetime.fromtimestamp(int(shown), UTC)
    if moment > coord.now() + _SLACK:
        yield Finding(
            code="clock-behind-commit",
            what=f"the last commit is of {times.format_time(moment)}, which has not come yet",
            where="HEAD",
            why="either this clock is slow or that commit's was fast: git's and coord's times go back and forth",
            next=_SET_IT,
        )


def records(coord: Coord) -> Iterator[Finding]:
    """Find records whose ids are of the future."""
    limit = coord.now() + _SLACK
    found = [key for key in coord.records("") if (one := keys.id_in(key)) is not None and ids.time_of(one) > limit]
    if found:
        yield Finding(
            code="record-from-the-future",
            what=f"{counted(found, 'record')} of a time that has not come yet",
            where=several(found),
            why="they sort after all that is written until then, and nothing reminds of them or retires them",
            next=_SET_IT,
        )
