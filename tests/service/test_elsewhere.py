"""A repository whose git folder lies elsewhere, as a submodule's does: all that is done with its worktrees holds there."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import CONFIG
from queueing import configure, drive
from support import git

from coord.git import worktree
from coord.git.repo import Git
from coord.model.errors import Refused
from coord.service import locks, merges, setup, worktrees
from coord.service.coord import Coord
from coord.service.doctor import command as doctors
from coord.service.guard import placing
from coord.service.merging.landing import Landing

Made = Callable[[Path], Path]
HELD = "apps_script/chefs.js"


def _submodule(root: Path) -> Path:
    for name in ("library", "whole"):
        git(root, "init", "-q", name)
        git(root / name, "commit", "-q", "--allow-empty", "-m", "start")
    whole = root / "whole"
    git(whole, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(root / "library"), "part")
    return whole / "part"


def _separate(root: Path) -> Path:
    git(root, "init", "-q", f"--separate-git-dir={root / 'store'}", "tree")
    git(root / "store", "config", "core.worktree", str(root / "tree"))
    return root / "tree"


@pytest.fixture(params=[_submodule, _separate])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    root = tmp_path.resolve() / "elsewhere"
    root.mkdir()
    made: Made = request.param
    found = made(root)
    (found / HELD).parent.mkdir(parents=True)
    (found / HELD).write_text("var a = 1;\n")
    (found / ".coord.yaml").write_text(f"{CONFIG}worktrees:\n  path: {root}/agent-{{name}}\n")
    git(found, "add", "-A")
    git(found, "commit", "-qm", "start")
    setup.init(found)
    configure(found, "ungated: allow")
    return found


@pytest.fixture
def opened(home: Path) -> Iterator[Callable[[str], Coord]]:
    found: list[Coord] = []

    def open_as(who: str) -> Coord:
        found.append(Coord.open(home, who=who))
        return found[-1]

    yield open_as
    for coord in found:
        coord.settle()


def test_its_main_worktree_is_where_the_owner_works(home: Path) -> None:
    git(home, "worktree", "add", "-q", "-b", "side", str(home.parent.parent / "side"))
    for place in (home, home.parent.parent / "side"):
        main, other = worktree.all_of(Git(place))
        assert (main.path, main.main, other.path) == (home, True, home.parent.parent / "side")


def test_a_branch_lands_in_the_owners_checkout(home: Path, opened: Callable[[str], Coord]) -> None:
    (tree,) = worktrees.add(opened("owner"), ("backend",)).trees
    place = Path(tree.path)
    (place / "new.txt").write_text("new\n")
    git(place, "add", "new.txt")
    git(place, "commit", "-qm", "new")
    merges.request(opened("backend"))
    drive(Landing(opened("owner")))
    assert (home / "new.txt").read_text() == "new\n"
    assert git(home, "status", "--porcelain") == ""
    assert doctors.doctor(opened("owner")).findings == ()


def test_the_guard_stands_in_its_hooks(home: Path, opened: Callable[[str], Coord]) -> None:
    worktrees.add(opened("owner"), ("backend",))
    placing.install(opened("owner"))
    locks.acquire(opened("frontend"), (HELD,))
    for place in (home, opened("owner").worktree_of("backend")):
        (place / HELD).write_text("var a = 2;\n")
        done = subprocess.run(["git", "commit", "-qam", "x"], cwd=place, capture_output=True, text=True, check=False)
        assert (done.returncode, "frontend holds" in done.stderr) == (1, True), done.stderr


def test_where_a_worktree_would_not_find_home_none_is_made(home: Path, opened: Callable[[str], Coord]) -> None:
    if home.name == "tree":
        git(home, "config", "--unset", "core.worktree")
        with pytest.raises(Refused, match="cannot be told from here") as caught:
            worktrees.add(opened("owner"), ("backend",))
        assert "config core.worktree" in caught.value.hint
        assert not list(home.parent.glob("agent-*"))
        git(home, "config", "core.worktree", str(home))
    assert worktrees.add(opened("owner"), ("backend",)).trees
