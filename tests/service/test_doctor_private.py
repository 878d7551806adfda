"""Something else where coord keeps its own state, or an empty configuration: said with the next step, and mended."""

import os
import subprocess
import sys
from pathlib import Path

import planted_ground
import pytest
from farming import Farm, work
from planted import Plant
from support import git

from coord.model.errors import CoordError
from coord.service import mail, verify
from coord.service.command import Prose
from coord.service.doctor import command, patient

PLANTS = [
    planted_ground.private_a_file,
    planted_ground.misplaced,
    planted_ground.misplaced_folders,
    planted_ground.misplaced_journal,
]


@pytest.fixture
def farm(repo: Path, monkeypatch: pytest.MonkeyPatch) -> Farm:
    work(repo)
    return Farm(repo, monkeypatch)


def coord(farm: Farm, *words: str) -> "subprocess.CompletedProcess[str]":
    run = [sys.executable, "-m", "coord", *words]
    return subprocess.run(run, cwd=farm.home, capture_output=True, text=True, check=False, env=os.environ)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_no_command_fails_without_a_next_step(farm: Farm, plant: Plant) -> None:
    plant(farm)
    for words in ("log", "status", "mail list", "mail read", "mail send frontend hi", "lock acquire src", "init"):
        done = coord(farm, "--as", "backend", *words.split())
        assert "Traceback" not in done.stderr
        assert "error of coord itself" not in done.stderr
        if done.returncode:
            assert "coord doctor --fix" in done.stderr, (words, done.stderr)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_what_was_in_the_way_is_kept_and_work_goes_on(farm: Farm, plant: Plant) -> None:
    plant(farm)
    report = command.doctor(patient.opened(farm.home), fix=True)
    assert report.healthy, report.findings
    kept = [farm.home / name for name in report.kept]
    held = [path for top in kept for path in (top, *top.rglob("*")) if path.is_file()]
    assert any(path.read_bytes() == b"what is this?\n" or b"instead of" in path.read_bytes() for path in held)
    with farm.open("backend") as backend:
        mail.send(backend, ("frontend",), Prose("goes on\n"))
    assert backend.left is None
    assert verify.verify(farm.open()).ok


def test_what_was_noted_is_sent_though_the_journal_cannot_be_read_afterwards(farm: Farm) -> None:
    planted_ground.swap(farm.private / "journal/state.json")
    done = coord(farm, "--as", "backend", "mail", "send", "frontend", "noted")
    assert done.returncode == 0, done.stderr
    assert "not yet in the ledger" in done.stderr
    assert "next: " in done.stderr
    assert "noted" in coord(farm, "--as", "frontend", "mail", "list").stdout
    assert command.doctor(patient.opened(farm.home), fix=True).healthy
    assert "noted" in git(farm.home, "log", "--format=%s", "coord/ledger")


def test_an_empty_configuration_that_was_never_committed_is_made_again_from_the_ledger(farm: Farm) -> None:
    git(farm.home, "rm", "-q", "--cached", ".coord.yaml")
    git(farm.home, "commit", "-q", "-m", "without it")
    planted_ground.config_empty(farm)
    report = command.doctor(patient.opened(farm.home), fix=True)
    assert report.healthy, report.findings
    assert patient.opened(farm.home).config.names == ("backend", "frontend", "security")


def test_an_empty_configuration_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "-q", "farm")
    farm = Farm(tmp_path / "farm", monkeypatch)
    assert "name the agents, then coord init again" in coord(farm, "init").stdout
    done = coord(farm, "doctor")
    assert done.returncode == 0
    assert ".coord.yaml names no agent" in done.stdout
    assert "then run: coord init" in done.stdout
    for words in ("--as backend mail list", "mail list", "--as owner mail send all hi"):
        said = coord(farm, *words.split())
        assert said.returncode == 2
        assert "name them there, then run `coord init`" in said.stderr
    (farm.home / ".coord.yaml").write_text("")
    assert "✗ .coord.yaml: .coord.yaml is empty" in coord(farm, "doctor").stdout


def test_a_bench_that_runs_is_left_alone(farm: Farm) -> None:
    """Its guard is what tells that it lives; a killed one leaves the guard to nobody."""
    script = (
        "import sys; from pathlib import Path; from coord.stores import oslock\n"
        "held = oslock.singleton(Path(sys.argv[1])); print('in', flush=True); sys.stdin.read()"
    )
    lock = farm.private / "guards/bench.lock"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"in\n"
        planted_ground.bench_left(farm)
        assert command.doctor(patient.opened(farm.home), fix=True).findings == ()
        holder.kill()
    assert {found.code for found in command.doctor(patient.opened(farm.home), fix=True).findings} == {"bench-left"}
    assert not (farm.private / "bench").exists()


def test_the_face_names_the_doctor_for_a_place_that_is_taken(farm: Farm) -> None:
    planted_ground.swap(farm.private / "index.db")
    with pytest.raises(CoordError) as caught:
        farm.open().index.sync()
    assert "coord doctor --fix" in caught.value.hint
