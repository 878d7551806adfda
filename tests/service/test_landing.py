"""Requests that go the whole way: what is moved, what goes back, and what never may move."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from queueing import configure, drive, drive_until, last, queue
from support import git

from coord.model import codec
from coord.model.errors import NotFound, Refused
from coord.model.gate import UNGATED, passed
from coord.model.records import Change, MergeState
from coord.service import merges, worktrees
from coord.service.coord import Coord
from coord.service.merging.landing import Landing

As = Callable[..., Coord]


def work(repo: Path, agent: str, name: str, text: str = "x\n") -> Path:
    """Commit a file on the agent's branch, in its worktree; return the worktree. Without a test all may land."""
    if "\nmerge:" not in (repo / ".coord.yaml").read_text():
        configure(repo, "ungated: allow")
    coord = Coord.open(repo, who=agent)
    (tree,) = worktrees.add(coord, (agent,)).trees
    coord.settle()
    place = Path(tree.path)
    (place / name).write_text(text)
    git(place, "add", name)
    git(place, "commit", "-qm", f"{agent}: {name}")
    return place


@pytest.mark.parametrize("into", ["main", "refs/heads/main", " main "])
def test_however_the_base_is_named_its_checkout_comes_along(repo: Path, coord_for: As, into: str) -> None:
    work(repo, "backend", "new.txt")
    made = merges.request(coord_for("backend"), into=into)
    assert made.into == "main"
    drive(Landing(coord_for("owner")))
    assert (repo / "new.txt").exists()
    assert git(repo, "status", "--porcelain") == ""


def test_a_branch_that_is_another_name_for_the_base_moves_the_base_with_its_checkout(repo: Path, coord_for: As) -> None:
    work(repo, "backend", "new.txt")
    git(repo, "symbolic-ref", "refs/heads/trunk", "refs/heads/main")
    assert merges.request(coord_for("backend"), into="trunk").into == "main"


def test_where_no_base_is_set_the_request_says_which_was_taken_and_why(repo: Path, coord_for: As) -> None:
    work(repo, "backend", "new.txt")
    git(repo, "switch", "-qc", "an-idea")
    made = merges.request(coord_for("backend"))
    assert made.into == "an-idea" and made.result.startswith("into an-idea since that is checked out at home")
    assert merges.request(coord_for("backend"), into="main").result == ""
    text = (repo / ".coord.yaml").read_text().replace("ungated: allow", "ungated: allow, into: main")
    (repo / ".coord.yaml").write_text(text)
    set_ = merges.request(coord_for("backend"))
    assert (set_.into, set_.result) == ("main", "")


def test_an_agents_own_branch_at_home_is_not_taken_for_the_base(repo: Path, coord_for: As) -> None:
    work(repo, "backend", "new.txt")
    git(repo, "switch", "-qc", "agent/security")
    with pytest.raises(Refused, match="agent/security, an agent's own branch"):
        merges.request(coord_for("backend"))
    assert merges.request(coord_for("backend"), into="agent/security").into == "agent/security"


@pytest.mark.parametrize("into", ["main~0", "main^{commit}", "main@{0}", "refs/tags/v1", "v1", "-x", "agent"])
def test_only_a_branch_can_be_merged_into(repo: Path, coord_for: As, into: str) -> None:
    work(repo, "backend", "new.txt")
    git(repo, "tag", "v1")
    with pytest.raises(NotFound):
        merges.request(coord_for("backend"), into=into)
    with pytest.raises(NotFound):
        merges.request(coord_for("backend"), branch=into)


def test_the_ledger_is_nobodys_to_merge(repo: Path, coord_for: As) -> None:
    work(repo, "backend", "new.txt")
    with pytest.raises(Refused, match="coord's own"):
        merges.request(coord_for("backend"), into="coord/ledger")
    with pytest.raises(Refused, match="coord's own"):
        merges.request(coord_for("backend"), branch="coord/ledger")


def test_what_is_requested_is_the_branch_one_works_on(repo: Path, coord_for: As) -> None:
    place = work(repo, "backend", "new.txt")
    git(place, "switch", "-qc", "feature")
    (place / "more.txt").write_text("more\n")
    git(place, "add", "more.txt")
    git(place, "commit", "-qm", "more")
    assert merges.request(coord_for("backend")).branch == "feature"


def test_a_branch_of_another_history_goes_back(repo: Path, coord_for: As) -> None:
    configure(repo, "ungated: allow")
    empty = git(repo, "commit-tree", "-m", "alone", "4b825dc642cb6eb9a060e54bf8d69288fbee4904")
    git(repo, "branch", "stranger", empty)
    merges.request(coord_for("backend"), branch="stranger")
    coord = coord_for("owner")
    drive(Landing(coord))
    assert queue(coord) == []
    assert "share no history" in last(coord)


def test_a_branch_that_was_deleted_and_cleaned_away_goes_back(repo: Path, coord_for: As) -> None:
    work(repo, "backend", "new.txt")
    merges.request(coord_for("backend"))
    git(repo, "worktree", "remove", "--force", "../agent-backend")
    git(repo, "branch", "-D", "agent/backend")
    git(repo, "reflog", "expire", "--expire=now", "--all")
    git(repo, "gc", "--quiet", "--prune=now")
    coord = coord_for("owner")
    drive(Landing(coord))
    assert queue(coord) == []
    assert "names no commit" in last(coord)


@pytest.mark.parametrize(
    ("state", "settings"),
    [("testing", "test: 'true'"), ("landing", "test: 'true'"), ("landing", "ungated: allow")],
)
def test_a_merge_commit_that_git_cleaned_away_is_made_again(
    repo: Path, coord_for: As, state: MergeState, settings: str
) -> None:
    configure(repo, settings)
    work(repo, "backend", "new.txt")
    made = merges.request(coord_for("backend"))
    landing = Landing(coord_for("owner"))
    ((key, one),) = merges.waiting(landing.coord)
    lost = replace(
        one,
        state=state,
        batch=landing.coord.new_id(),
        position=1,
        base=git(repo, "rev-parse", "main"),
        candidate="1" * 40,
        gate=landing.gates.gate or UNGATED,
    )
    if state == "landing" and landing.gates.gate:
        lost = replace(lost, gate=passed(lost.gate))
    landing.coord.record(landing.coord.event("merge.testing", "died here", (Change(key, codec.encode(lost)),)))
    drive(landing)
    assert git(repo, "rev-parse", "main^2") == made.head
    assert git(repo, "status", "--porcelain") == ""


def test_the_test_of_a_cancelled_request_is_ended(repo: Path, coord_for: As) -> None:
    configure(repo, "test: 'sleep 600'")
    work(repo, "backend", "new.txt")
    made = merges.request(coord_for("backend"))
    landing = Landing(coord_for("owner"))
    drive_until(landing, lambda: landing.running)
    merges.cancel(coord_for("backend"), made.id)
    drive(landing)
    assert not landing.running
    assert git(repo, "log", "--format=%s", "-1") == "configured"


def test_the_links_to_the_live_folders_never_land(repo: Path, coord_for: As) -> None:
    place = work(repo, "backend", "new.txt")
    git(place, "add", "--force", "inbox", "checkpoints")
    git(place, "commit", "-qm", "with links")
    merges.request(coord_for("backend"))
    git(repo, "checkout", "-q", "--detach")
    text = (repo / ".coord.yaml").read_text().replace("ungated: allow", "ungated: allow, into: main")
    (repo / ".coord.yaml").write_text(text)
    coord = coord_for("owner")
    drive(Landing(coord))
    assert queue(coord) == []
    assert "links" in last(coord)
    git(repo, "switch", "-q", "main")
    assert (repo / "inbox").is_dir() and not (repo / "inbox").is_symlink()
