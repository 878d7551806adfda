"""The proofs of the doctor are trusted because they catch doctors that lose, touch or only pretend."""

import shutil
from collections.abc import Callable
from pathlib import Path

import balance
import farming
import planted
import pytest
from farming import Farm
from planted import Plant

from coord.service import livefolders, verify
from coord.service.coord import Coord
from coord.service.doctor import command, livecheck, noted, patient, pending
from coord.service.doctor.kept import Kept
from coord.service.doctor.treatment import Treatment
from coord.service.looks import Drift, Looks

Patch = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture
def farm(repo: Path, monkeypatch: pytest.MonkeyPatch) -> Farm:
    farming.work(repo)
    return Farm(repo, monkeypatch)


def throws_away(_kept: Kept, path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def committed_first(coord: Coord, looks: Looks, in_flight: Callable[[], set[str]]) -> tuple[Drift, ...]:
    coord.committer.settle()
    return ()


LOSING: dict[str, tuple[Plant, Patch]] = {
    "throws away what it should put aside": (
        planted.torn,
        lambda patch: patch.setattr(Kept, "move", throws_away),
    ),
    "throws away what is too large": (
        planted.too_large,
        lambda patch: patch.setattr(Kept, "move", throws_away),
    ),
    "does not copy what is behind a link": (
        planted.mailbox_is_a_link,
        lambda patch: patch.setattr(livecheck, "_copy", lambda *_: None),
    ),
    "takes in mail without a copy": (
        planted.half_adopted,
        lambda patch: patch.setattr(Kept, "copy", lambda *_: None),
    ),
    "commits before it has put temporary files aside": (
        planted.temporary_files,
        lambda patch: patch.setattr(Kept, "move", throws_away),
    ),
}


@pytest.mark.parametrize(("plant", "mutate"), LOSING.values(), ids=list(LOSING))
def test_a_lost_byte_is_seen(farm: Farm, monkeypatch: pytest.MonkeyPatch, plant: Plant, mutate: Patch) -> None:
    plant(farm)
    before = balance.live(farm.home)
    mutate(monkeypatch)
    command.doctor(patient.opened(farm.home), fix=True)
    assert balance.lost(farm.home, before)


TOUCHING: dict[str, tuple[Plant, Patch]] = {
    "reads the journal itself": (
        planted.uncommitted,
        lambda patch: patch.setattr(
            pending, "read", lambda coord, **_: (coord.committer.settle(), coord.journal.read())[1]
        ),
    ),
    "commits before it compares": (
        planted.uncommitted,
        lambda patch: patch.setattr(verify, "disagreements", committed_first),
    ),
}


@pytest.mark.parametrize(("plant", "mutate"), TOUCHING.values(), ids=list(TOUCHING))
def test_a_look_that_touches_is_seen(farm: Farm, monkeypatch: pytest.MonkeyPatch, plant: Plant, mutate: Patch) -> None:
    plant(farm)
    before = balance.everything(farm.home)
    mutate(monkeypatch)
    command.doctor(patient.opened(farm.home))
    assert balance.everything(farm.home) != before


PRETENDING: dict[str, tuple[Plant, Patch]] = {
    "mends nothing": (planted.edited, lambda patch: patch.setattr(Treatment, "_round", lambda *_: False)),
    "finishes nothing": (planted.half_done, lambda patch: patch.setattr(noted, "_settle", lambda *_: None)),
    "brings back nothing": (planted.emptied, lambda patch: patch.setattr(livefolders, "_bring_back", lambda *_: 0)),
}


@pytest.mark.parametrize(("plant", "mutate"), PRETENDING.values(), ids=list(PRETENDING))
def test_a_doctor_that_pretends_is_seen(
    farm: Farm, monkeypatch: pytest.MonkeyPatch, plant: Plant, mutate: Patch
) -> None:
    """By its own last look, or by what is in the folders then."""
    plant(farm)
    tree = Looks(farm.open()).tree()  # what should be there
    mutate(monkeypatch)
    report = command.doctor(patient.opened(farm.home), fix=True)
    files = Looks(farm.open()).files()
    assert not report.healthy or not tree.keys() <= files.keys()
