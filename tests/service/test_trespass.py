"""What a shell does to files that another has leased is found by git, told once to each holder, and nothing else is."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from support import eventually, git

from coord.service import locks, mail
from coord.service.coord import Coord
from coord.service.guard import trespass
from coord.service.session.sessions import Memory

Open = Callable[..., Coord]


@pytest.fixture
def held(repo: Path, coord_for: Open) -> Path:
    """A repository in which backend holds all of `src`, and frontend a file of its own."""
    for name in ("src/a.py", "src/b.py", "src/deep/c.py", "web_app/own.html"):
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_text("x = 1\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "more")
    locks.acquire(coord_for("backend"), ("src",))
    locks.acquire(coord_for("frontend"), ("web_app/own.html",))
    return repo


def crossed(coord: Coord, memory: Memory) -> list[str]:
    found = trespass.look(coord, "frontend", memory)
    trespass.tell_holders(coord, "frontend", found, memory)
    return sorted(one.path for one in found)


def test_what_is_written_removed_moved_or_made_is_found_once(held: Path, coord_for: Open) -> None:
    coord, memory = coord_for("frontend"), Memory()
    assert crossed(coord, memory) == []
    (held / "src/a.py").write_text("y = 2\n")
    (held / "src/b.py").unlink()
    git(held, "mv", "src/deep/c.py", "src/deep/d e.py")
    (held / "src/ne\nw.py").write_text("")
    (held / "web_app/own.html").write_text("mine")
    (held / "README.md").write_text("nobody's")
    assert crossed(coord, memory) == ["src/a.py", "src/b.py", "src/deep/c.py", "src/deep/d e.py", "src/ne\nw.py"]
    assert crossed(coord, memory) == []
    os.utime(held / "src/a.py", ns=(1, 1))
    assert crossed(coord, memory) == ["src/a.py"]
    (item,) = mail.list_(coord_for("backend")).items  # of what is changed again under the same lease it was told
    assert [line for line in item.message.body.splitlines() if line.startswith("- ")] == [
        "- src/a.py", "- src/b.py", "- src/deep/c.py", "- src/deep/d e.py", "- src/ne w.py"
    ]  # fmt: skip
    assert (item.message.kind, item.message.priority) == ("alert", "high")


def test_what_was_so_before_the_command_is_not_its_doing(held: Path, coord_for: Open) -> None:
    coord, memory = coord_for("frontend"), Memory()
    (held / "src/a.py").write_text("backend's own work\n")
    trespass.look(coord, "frontend", memory)
    (held / "src/b.py").write_text("mine\n")
    assert crossed(coord, memory) == ["src/b.py"]


def test_a_lease_that_ended_and_ones_own_are_crossed_by_nobody(held: Path, coord_for: Open) -> None:
    memory = Memory()
    (held / "src/a.py").write_text("y\n")
    assert trespass.look(coord_for("backend"), "backend", Memory()) == []
    locks.release(coord_for("backend"))
    assert crossed(coord_for("frontend"), memory) == []
    (lock,) = locks.acquire(coord_for("backend"), ("src/a.py",), ttl=timedelta(seconds=2)).locks
    assert crossed(coord_for("frontend"), memory) == ["src/a.py"]
    eventually(lambda: coord_for("owner").now() > lock.expires_at, within=60)
    assert list((held / "locks").glob("src*")) != []  # on file still, and past its time
    assert crossed(coord_for("frontend"), Memory()) == []


def test_in_a_worktree_its_own_files_count_wherever_one_stands(held: Path, coord_for: Open) -> None:
    tree = held.parent / "agent-frontend"
    git(held, "worktree", "add", "-q", "-b", "agent/frontend", str(tree))
    (held / "src/b.py").write_text("at home\n")
    (tree / "src/a.py").write_text("here\n")
    assert crossed(coord_for("frontend", tree / "src/deep"), Memory()) == ["src/a.py"]
    body = mail.list_(coord_for("backend")).items[0].message.body
    assert str(tree) in body


def test_many_files_are_counted(held: Path, coord_for: Open) -> None:
    for number in range(30):
        (held / f"src/{number:02}.py").write_text("")
    coord, memory = coord_for("frontend"), Memory()
    found = trespass.look(coord, "frontend", memory)
    assert trespass.told(found).splitlines()[-1] == "… and 10 more"
    trespass.tell_holders(coord, "frontend", found, memory)
    assert "… and 10 more" in mail.list_(coord_for("backend")).items[0].message.body
