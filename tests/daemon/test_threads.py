"""What goes on beside the daemon's cycles goes on whatever happens there, and says what did."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support import eventually, git

from coord.daemon.committing import Committing
from coord.daemon.foreseeing import Foreseeing
from coord.daemon.narrate import Narrator
from coord.model.errors import Unavailable
from coord.service import mail, worktrees
from coord.service.command import Prose
from coord.service.coord import Coord

As = Callable[..., Coord]


class Once:
    """Something that goes wrong in a way that nobody foresaw, but for later calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        if self.calls == 1:
            raise ValueError("an odd fault")


def test_a_fault_that_nobody_foresaw_does_not_end_committing(repo: Path, coord_for: As) -> None:
    coord, said, tell = coord_for("backend"), list[str](), Once()
    coord.commits = True
    with Committing(coord, said.append, tell).going_on():
        mail.send(coord, ("frontend",), Prose("one"))
        eventually(lambda: said, what="word of the fault")
        mail.send(coord, ("frontend",), Prose("two"))
        eventually(lambda: coord.journal.size() == 0, what="a commit")
    assert said[0] == "failed to commit (1): ValueError('an odd fault'); trying again" and tell.calls > 1


def test_a_fault_that_nobody_foresaw_does_not_end_looking_ahead(repo: Path, coord_for: As) -> None:
    with (repo / ".coord.yaml").open("a") as file:
        file.write("watch: {scan_every: 100ms}\n")
    coord, said, ring = coord_for("owner"), list[str](), Once()
    worktrees.add(coord, ("backend",))
    foreseeing = Foreseeing(coord, said.append, ring)
    with foreseeing.going_on():
        eventually(lambda: said, what="word of the fault")
        first = foreseeing.latest
        eventually(lambda: foreseeing.latest is not first, what="another look")
    assert said == ["failed to look ahead: ValueError('an odd fault'); trying again"]


def test_what_cannot_be_told_is_passed_over(repo: Path, coord_for: As) -> None:
    coord, said = coord_for("backend"), list[str]()
    narrator = Narrator(coord, said.append)
    other = git(repo, "commit-tree", "-m", "another history", "coord/ledger^{tree}")
    git(repo, "update-ref", "refs/heads/coord/ledger", other)
    git(repo, "reflog", "expire", "--expire=now", "--all")
    git(repo, "gc", "--quiet", "--prune=now")  # what was told last is no commit any more
    with pytest.raises(Unavailable):
        narrator.tell()
    narrator.tell()
    git(
        repo,
        "update-ref",
        "refs/heads/coord/ledger",
        git(repo, "commit-tree", "-p", other, "-m", "next", "main^{tree}"),
    )
    narrator.tell()
    assert len(said) == 1 and said[0].endswith("commit next")
