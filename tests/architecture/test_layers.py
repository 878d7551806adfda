"""The rules of the house are checked, and the checker is trusted because it catches planted faults."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
LIMIT = 400

PLANTED = [
    ("imports go down only", "coord/model/ids.py", "import coord.config.schema"),
    ("imports go down only", "coord/faces/page.py", "import coord.daemon.plan"),
    ("imports go down only", "coord/daemon/plan.py", "import coord.faces.page"),
    ("imports go down only", "coord/stores/durable.py", "import coord.service.clock"),
    ("only through the Coord", "coord/faces/wire.py", "import coord.git.merge"),
    ("only through the Coord", "coord/faces/render.py", "import coord.stores.files"),
    ("rules are pure", "coord/daemon/rules/sweep.py", "import time"),
    ("rules are pure", "coord/daemon/rules/merge.py", "import coord.git.merge"),
    ("touches nothing of the world", "coord/model/leases.py", "import os"),
    ("touches nothing of the world", "coord/model/codec.py", "import pathlib"),
    ("has one door", "coord/service/mail.py", "import click"),
    ("has one door", "coord/service/setup.py", "import git"),
    ("SDK, which takes a second", "coord/faces/mcp/tools.py", "import mcp_types"),
    ("SDK, which takes a second", "coord/main.py", "import mcp"),
]


def contracts(folder: Path) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(PROJECT / "coord", folder / "coord", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "pyproject.toml", folder)
    return folder


def test_the_house_keeps_its_rules(copy: Path) -> None:
    assert "0 broken" in contracts(copy)


@pytest.mark.parametrize(("rule", "place", "fault"), PLANTED)
def test_a_planted_fault_breaks_its_rule(copy: Path, rule: str, place: str, fault: str) -> None:
    path = copy / place
    text = path.read_text()
    path.write_text(f"{text}\n{fault}\n")
    try:
        broken = [line for line in contracts(copy).splitlines() if " BROKEN" in line]
    finally:
        path.write_text(text)
    assert any(rule in line for line in broken), broken


def test_no_file_is_too_long() -> None:
    files = [*PROJECT.glob("coord/**/*.py"), *PROJECT.glob("tests/**/*.py"), *PROJECT.glob("demo/**/*.py")]
    assert {str(path): n for path in files if (n := len(path.read_text().splitlines())) > LIMIT} == {}


def test_no_import_is_hidden_from_the_checker() -> None:
    assert [path for path in PROJECT.glob("coord/**/*.py") if "TYPE_CHECKING" in path.read_text()] == []
