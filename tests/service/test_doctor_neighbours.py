"""Two repositories in one folder call their agents' worktrees alike: each doctor leaves the other's alone."""

import shutil
from pathlib import Path

from support import git

from coord.service import setup, worktrees
from coord.service.coord import Coord
from coord.service.doctor import command, patient


def farm(home: Path) -> Coord:
    home.mkdir()
    git(home, "init", "-q")
    git(home, "commit", "-q", "--allow-empty", "-m", "start")
    setup.init(home, agents=("backend",))
    return Coord.open(home, who="owner")


def test_a_neighbours_worktree_is_no_patient(tmp_path: Path) -> None:
    one, two = farm(tmp_path / "one"), farm(tmp_path / "two")
    there = tmp_path / "agent-backend"
    worktrees.add(two, ("backend",))
    shutil.rmtree(there)
    worktrees.add(one, ("backend",))
    before = (there / ".git").read_bytes()
    report = command.doctor(patient.opened(two.home), fix=True)
    assert (there / ".git").read_bytes() == before
    assert "worktree-cut-off" not in {found.code for found in report.findings}
    assert (there / "inbox").resolve() == one.home / "inbox"


def test_a_worktree_is_found_again_after_both_were_moved(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    coord = farm(tmp_path / "old" / "one")
    worktrees.add(coord, ("backend",))
    coord.settle()
    (tmp_path / "old").rename(tmp_path / "new")
    moved = patient.opened(tmp_path / "new" / "one")
    assert "worktree-cut-off" in {found.code for found in command.doctor(moved).findings}
    command.doctor(moved, fix=True)
    assert git(tmp_path / "new" / "agent-backend", "status", "--short") == ""
