"""The doctor finds each planted fault, says what it is, and mends it without losing a byte."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import balance
import farming
import pytest
from farming import Farm
from planted import BY_HAND, EVERY, MENDED, Plant

from coord.git import repo as repository
from coord.service import worktrees
from coord.service.doctor import command, examination, patient
from coord.service.doctor.command import Report
from coord.service.doctor.finding import Check


@pytest.fixture
def farm(repo: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Farm]:
    farming.work(repo)
    gc.collect()  # connections to the index that are closed later would write to it
    yield Farm(repo, monkeypatch)
    repository.version.cache_clear()


def examined(farm: Farm, *, fix: bool = False, rebuild: bool = False) -> Report:
    return command.doctor(patient.opened(farm.home), fix=fix, rebuild=rebuild)


def codes(report: Report, *states: str) -> set[str]:
    return {found.code for found in report.findings if not states or found.state in states}


def test_a_healthy_repository_is_green_and_stays_as_it_is(farm: Farm) -> None:
    before = balance.everything(farm.home)
    report = examined(farm)
    assert report.findings == ()
    assert (report.healthy, report.exit_status) == (True, 0)
    assert balance.everything(farm.home) == before


def test_a_fresh_one_is_green(repo: Path) -> None:
    assert command.doctor(patient.opened(repo)).findings == ()


def test_one_that_works_is_green(farm: Farm) -> None:
    """With worktrees, a checkout in use and a second look."""
    worktrees.add(farm.open(), ("backend", "frontend"))
    farming.work(farm.home)
    assert examined(farm).findings == ()


@pytest.mark.parametrize(("plant", "code"), EVERY.items(), ids=[plant.__name__ for plant in EVERY])
def test_a_planted_fault_is_found_by_its_check_alone_and_looking_changes_nothing(
    farm: Farm, plant: Plant, code: str
) -> None:
    plant(farm)
    gc.collect()
    before = balance.everything(farm.home)
    report = examined(farm)
    assert code in codes(report)
    assert "unknown" not in codes(report)
    assert (report.healthy, report.exit_status) == (False, 7)
    assert balance.everything(farm.home) == before
    finders = [check for check in examination.CHECKS if code in found_by(farm, check)]
    assert len(finders) == 1, "a doctor without it misses the fault"
    for found in report.findings:
        assert found.what
        assert found.where
        assert found.why
        assert found.next


@pytest.mark.parametrize(("plant", "code"), MENDED.items(), ids=[plant.__name__ for plant in MENDED])
def test_it_is_mended_without_losing_a_byte_and_once_is_enough(farm: Farm, plant: Plant, code: str) -> None:
    plant(farm)
    files, objects = balance.live(farm.home), balance.in_ledger(farm.home)
    report = examined(farm, fix=True)
    assert code in codes(report, "mended")
    assert codes(report, "found", "failed", "by hand") == set(), report.findings
    assert (report.healthy, report.exit_status) == (True, 0)
    assert balance.lost(farm.home, files) == set()
    assert objects <= balance.in_ledger(farm.home)
    for name in report.kept:
        assert os.path.lexists(farm.home / name), name
    before = balance.everything(farm.home)
    assert examined(farm).findings == ()
    again = examined(farm, fix=True)
    assert (again.findings, again.kept) == ((), ())
    assert {name for name, was in balance.everything(farm.home).items() if before.get(name) != was} <= {
        str(farm.private / "guards/doctor.lock")
    }


@pytest.mark.parametrize(("plant", "code"), BY_HAND.items(), ids=[plant.__name__ for plant in BY_HAND])
def test_what_the_owner_must_do_is_said_and_left(farm: Farm, plant: Plant, code: str) -> None:
    plant(farm)
    report = examined(farm, fix=True)
    assert code in codes(report, "by hand")
    assert not report.healthy


def found_by(farm: Farm, check: Check) -> set[str]:
    return {finding.code for finding in examination.examine(patient.opened(farm.home), (check,))}


def test_enough_faults_are_planted() -> None:
    assert len(EVERY) >= 25
