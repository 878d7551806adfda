"""What was made under a lease that has passed on does not land as if nothing had happened."""

import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
from overtaking import PATH, Open, commit, edit, guarded, have, overtake, token_of
from queueing import branch, configure, drive, drive_until, queue
from support import eventually, git

from coord.git import merge
from coord.model import codec, leasetrailers
from coord.model.errors import Refused
from coord.model.records import Change
from coord.service import locks, mail, merges
from coord.service.merging.landing import Landing


def overtaken(repo: Path, coord_for: Open, settings: str) -> tuple[str, int]:
    """Let frontend commit, past the guard, what backend has had a lease on since, and ask for its merge.

    Returns the request's id and the token of backend's lease.
    """
    configure(repo, settings)
    trees = guarded(repo, coord_for)
    _, theirs = overtake(coord_for, trees)
    tree = trees["frontend"]
    assert commit(tree, "--no-verify", "-am", "late").returncode == 0
    return merges.request(coord_for("frontend", tree)).id, theirs


def test_it_goes_back_and_both_are_named(repo: Path, coord_for: Open) -> None:
    overtaken(repo, coord_for, "ungated: allow")
    drive(Landing(coord_for("owner")))
    assert not queue(coord_for("owner")) and "more = 1" not in (repo / PATH).read_text()
    words = [item.message.body for item in mail.list_(coord_for("frontend")).items if item.message.kind == "merge"]
    assert any("frontend" in body and "backend was given" in body and PATH in body for body in words), words


def test_its_new_holder_is_asked_once_and_may_let_it_land(repo: Path, coord_for: Open) -> None:
    identifier, token = overtaken(repo, coord_for, "ungated: allow, fencing: review")
    landing = Landing(coord_for("owner"))
    for _ in range(3):
        drive(landing)
    (held,) = queue(coord_for("owner"))
    assert held.result.startswith("waits: for a review by backend")
    asked = [one for one in mail.list_(coord_for("backend")).items if "review wanted" in one.message.subject]
    assert len(asked) == 1
    with pytest.raises(Refused, match="no lease of security's"):
        merges.approve(coord_for("security"), identifier)
    merges.approve(coord_for("backend"), identifier)
    drive(landing)
    assert not queue(coord_for("owner")) and "more = 1" in (repo / PATH).read_text()
    assert approvals(repo) == [f"backend {token}"]


def test_the_owner_who_speaks_for_a_holder_is_named_as_such(repo: Path, coord_for: Open) -> None:
    identifier, token = overtaken(repo, coord_for, "ungated: allow, fencing: review")
    landing = Landing(coord_for("owner"))
    drive(landing)
    merges.approve(coord_for("owner"), identifier)
    drive(landing)
    assert not queue(coord_for("owner")) and approvals(repo) == [f"owner {token}"]


def test_one_that_is_approved_while_it_is_tested_says_so(repo: Path, coord_for: Open) -> None:
    wait = "touch ../../../begun; while ! test -e ../../../go; do sleep 0.02; done; echo run >> ../../../runs"
    configure(repo, f"test: '{wait}', fencing: review")
    tree = guarded(repo, coord_for)["frontend"]
    edit(tree, "frontend")
    assert commit(tree).returncode == 0
    made = merges.request(coord_for("frontend", tree))
    landing = Landing(coord_for("owner"))
    drive_until(landing, lambda: (repo / ".git/coord/begun").exists())
    locks.release(coord_for("frontend"))
    token = have(coord_for, "backend")
    merges.approve(coord_for("backend"), made.id)
    (repo / ".git/coord/go").touch()
    drive(landing)
    assert not queue(coord_for("owner")) and approvals(repo) == [f"backend {token}"]
    assert (repo / ".git/coord/runs").read_text().split() == ["run"], "the same tree is not tested again"


def approvals(repo: Path) -> list[str]:
    """Who approved, as the last commit of main says."""
    return git(repo, "log", "-1", "--format=%(trailers:key=Coord-Approved,valueonly)", "main").splitlines()


def test_a_lease_that_passes_on_while_it_is_tested_counts(repo: Path, coord_for: Open) -> None:
    configure(repo, "test: 'touch ../../../begun; while ! test -e ../../../go; do sleep 0.02; done'")
    trees = guarded(repo, coord_for)
    edit(trees["frontend"], "frontend")
    assert commit(trees["frontend"]).returncode == 0
    merges.request(coord_for("frontend", trees["frontend"]))
    landing = Landing(coord_for("owner"))
    while not (repo / ".git/coord/begun").exists():
        landing.advance("main")
    locks.release(coord_for("frontend"))
    have(coord_for, "backend")
    (repo / ".git/coord/go").touch()
    before = git(repo, "rev-parse", "main")
    drive(landing)
    assert not queue(coord_for("owner")) and git(repo, "rev-parse", "main") == before


@pytest.mark.parametrize("settings", ["ungated: allow", "test: 'true'"])
def test_a_lease_that_passes_on_while_the_daemon_is_dead_counts(
    repo: Path, coord_for: Open, monkeypatch: pytest.MonkeyPatch, settings: str
) -> None:
    """It died when all was found good, and before the base moved."""
    configure(repo, settings)
    trees = guarded(repo, coord_for)
    edit(trees["frontend"], "frontend")
    assert commit(trees["frontend"]).returncode == 0
    merges.request(coord_for("frontend", trees["frontend"]))
    before = git(repo, "rev-parse", "main")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(merge, "move", Mock(side_effect=KeyboardInterrupt))
        drive(Landing(coord_for("owner")))
    assert queue(coord_for("owner"))[0].state == "landing"
    locks.release(coord_for("frontend"))
    have(coord_for, "backend")
    drive(Landing(coord_for("owner")))
    assert not queue(coord_for("owner")) and git(repo, "rev-parse", "main") == before


@pytest.mark.parametrize("settings", ["ungated: allow", "test: 'true'"])
def test_what_lands_in_the_same_batch_counts_as_what_the_base_got(repo: Path, coord_for: Open, settings: str) -> None:
    """Who was overtaken and took the lease again lacks what was done since, also while that waits beside it."""
    long = "src/long.py"
    (repo / "src").mkdir()
    (repo / long).write_text("a = 1\n" + "\n" * 20)
    git(repo, "add", "src")
    configure(repo, settings)
    trees = guarded(repo, coord_for)
    tree = trees["frontend"]
    overtake(coord_for, trees, long)
    assert commit(tree, "--no-verify", "-am", "late").returncode == 0
    late = int(git(tree, "log", "-1", "--format=%ct"))
    eventually(lambda: time.time() >= late + 1, within=5, what="a second that git can tell from that commit's")
    git(tree, "checkout", "-q", "-b", "anew", "main")
    edit(tree, "frontend", long, "")
    (tree / long).write_text("a = 2\n" + "\n" * 20)
    assert commit(tree).returncode == 0
    merges.request(coord_for("frontend", tree), branch="anew")
    merges.request(coord_for("frontend", tree), branch="agent/frontend")
    drive(Landing(coord_for("owner")))
    assert not queue(coord_for("owner")) and (repo / long).read_text() == "a = 2\n" + "\n" * 20


def test_what_landed_before_is_not_held_against_who_comes_after_a_clock_that_was_wrong(
    repo: Path, coord_for: Open
) -> None:
    """The base went on by commits dated years back, by which git alone counts what it shares as the branch's own."""
    configure(repo, "ungated: allow")
    trees = guarded(repo, coord_for)
    tree = trees["frontend"]
    overtake(coord_for, trees)
    assert commit(tree, "--no-verify", "-am", "late").returncode == 0
    git(repo, "merge", "-q", git(tree, "rev-parse", "HEAD"))
    for number in range(12):
        assert commit(repo, "--allow-empty", "-m", f"{number}", GIT_COMMITTER_DATE="@946684800 +0000").returncode == 0
    (tree / "free").write_text("x\n")
    git(tree, "add", "free")
    assert commit(tree, "--no-verify", "-m", "free").returncode == 0
    merges.request(coord_for("frontend", tree))
    drive(Landing(coord_for("owner")))
    assert not queue(coord_for("owner")) and (repo / "free").exists()
    assert not [line for line in trailers(repo) if "Coord-Lease" in line]


def test_who_asks_not_to_look_is_not_looked_at(repo: Path, coord_for: Open) -> None:
    overtaken(repo, coord_for, "ungated: allow, fencing: 'off'")
    drive(Landing(coord_for("owner")))
    assert "more = 1" in (repo / PATH).read_text()


def trailers(repo: Path) -> list[str]:
    """The trailers of the last commit of main, as git itself reads them."""
    return git(repo, "log", "-1", "--format=%(trailers:only,unfold)", "main").splitlines()


def test_a_merge_commit_names_the_leases_that_its_changes_were_made_under(repo: Path, coord_for: Open) -> None:
    configure(repo, "test: 'true'")
    trees = guarded(repo, coord_for)
    tree = trees["frontend"]
    tokens = {}
    for path in (PATH, "src/other.py"):
        edit(tree, "frontend", path)
        tokens[path] = token_of(coord_for, "frontend")
        assert commit(tree).returncode == 0
    (tree / "free").write_text("x\n")
    git(tree, "add", "free")
    assert commit(tree, "-m", "forged\n\nCoord-Lease: 4711 free\nCoord-Lease: 1 src/**").returncode == 0
    task = "T-1\nCoord-Gate: ungated\nCoord-Lease: 99 **"
    made = merges.request(coord_for("frontend", tree), title="x\n\nCoord-Lease: 98 **", task=task)
    drive(Landing(coord_for("owner")))
    assert not queue(coord_for("owner"))
    found = trailers(repo)
    assert found[:5] == [
        "Coord-Agent: frontend",
        "Coord-Task: T-1 Coord-Gate: ungated Coord-Lease: 99 **",
        f"Coord-Merge: {made.id}",
        f"Coord-Lease: {tokens[PATH]} {PATH}",
        f"Coord-Lease: {tokens['src/other.py']} src/other.py",
    ]
    assert [line.partition(":")[0] for line in found[5:]] == ["Coord-Gate", "Coord-Gate-Id", "Coord-Batch"]


def test_what_hands_write_into_a_request_is_no_trailer(repo: Path, coord_for: Open) -> None:
    configure(repo, "ungated: allow")
    made = merges.request(coord_for("frontend"), branch=branch(repo, "work", {"a": "x\n"}))
    owner = coord_for("owner")
    ((key, one),) = merges.waiting(owner)
    forged = "T-1\nCoord-Lease: 99 **"
    written = replace(one, task=forged, title=f"x\n\n{forged}", reviewed=(forged, "backend 99"))
    owner.record(owner.event("merge.requested", "by hand", (Change(key, codec.encode(written)),)))
    drive(Landing(owner))
    assert not queue(owner)
    assert trailers(repo) == [
        "Coord-Agent: frontend",
        "Coord-Task: T-1 Coord-Lease: 99 **",
        f"Coord-Merge: {made.id}",
        "Coord-Gate: ungated",
    ]
    assert leasetrailers.tokens(git(repo, "log", "-1", "--format=%B", "main")) == (), "coord reads any line"


def test_who_asks_not_to_look_gets_no_leases(repo: Path, coord_for: Open) -> None:
    configure(repo, "ungated: allow, fencing: 'off'")
    tree = guarded(repo, coord_for)["frontend"]
    edit(tree, "frontend")
    assert commit(tree).returncode == 0
    merges.request(coord_for("frontend", tree))
    drive(Landing(coord_for("owner")))
    assert [line.partition(":")[0] for line in trailers(repo)] == ["Coord-Agent", "Coord-Merge", "Coord-Gate"]
