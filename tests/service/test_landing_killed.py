"""Killed while it moves a base, and outlived by its git: the next one waits for that, and the checkout follows."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from queueing import branch, configure, drive, drive_until, queue
from support import eventually, git

from coord.git import indexlock
from coord.model import keys
from coord.model import queue as turns
from coord.service import mail, merges
from coord.service.coord import Coord
from coord.service.merging import waiting
from coord.service.merging.gates import Gates
from coord.service.merging.landing import Landing
from coord.service.merging.line import Line
from coord.service.merging.moving import Moving
from coord.service.merging.sizes import Sizes

As = Callable[..., Coord]

LAND = """
import sys
from pathlib import Path
from coord.service.coord import Coord
from coord.service.merging.landing import Landing
Landing(Coord.open(Path(sys.argv[1]), who="owner")).advance("main")
"""


@contextmanager
def outlived(repo: Path, moment: str) -> Iterator[Path]:
    """Kill who lands while its git asks the hook at some MOMENT; yields the file that lets that git go on."""
    asked, go, hook = repo / ".git/asked", repo / ".git/go", repo / ".git/hooks/reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    # A look whether the branch is protected asks the hook, too: then nothing is landing yet.
    mine = f"""test "$1" = {moment} && grep -q refs/heads/main && grep -qs 'state: landing' '{repo / keys.MERGES}'/*"""
    hook.write_text(f"#!/bin/sh\n{mine} && {{ touch '{asked}'; until test -e '{go}'; do sleep 0.02; done; }}\nexit 0\n")
    hook.chmod(0o755)
    try:
        with subprocess.Popen([sys.executable, "-c", LAND, str(repo)], stdout=subprocess.DEVNULL) as process:
            eventually(asked.exists, what="a branch that is about to move")
            process.kill()
        yield go
    finally:
        go.touch()


def is_free(repo: Path) -> bool:
    return "another process" not in indexlock.busy(repo / ".git")


@pytest.fixture
def asked(repo: Path, coord_for: As) -> str:
    configure(repo, "ungated: allow")
    made = merges.request(coord_for("backend"), branch=branch(repo, "work/new", {"new.txt": "new\n"}))
    coord_for("owner").settle()
    return made.id


def test_a_branch_that_moves_after_the_look_takes_its_checkout_along(repo: Path, coord_for: As, asked: str) -> None:
    coord = coord_for("owner")
    with outlived(repo, "prepared") as go:
        every = waiting.found(coord)
        here = git(repo, "rev-parse", "main")
        looked = Line("main", here, "", here, every, turns.lineup(one for _, one in every.values()))
        assert not is_free(repo)
        go.touch()
        eventually(lambda: is_free(repo), what="git has ended")
    ((_, one),) = every.values()
    assert (one.id, one.candidate) == (asked, git(repo, "rev-parse", "main"))
    Moving(coord, Gates(coord), Sizes(coord.private / "batches.json")).finish(looked, looked.of("landing"))
    drive(Landing(coord))
    assert queue(coord) == [] and "was left as it was" not in mail.list_(coord).items[0].message.body
    assert git(repo, "status", "--porcelain") == "" and (repo / "new.txt").read_text() == "new\n"


@pytest.mark.parametrize("moment", ["prepared", "committed"])
def test_nothing_has_landed_while_a_git_of_the_killed_one_holds_the_checkout(
    repo: Path, coord_for: As, asked: str, moment: str
) -> None:
    landing = Landing(coord_for("owner"))
    with outlived(repo, moment) as go:
        for _ in range(3):
            landing.advance("main")
        assert [one.id for one in queue(landing.coord)] == [asked]
        go.touch()
        eventually(lambda: is_free(repo), what="git has ended")
    drive_until(landing, lambda: not queue(landing.coord))
    assert git(repo, "status", "--porcelain") == "" and (repo / "new.txt").read_text() == "new\n"
