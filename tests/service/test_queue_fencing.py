"""What was made under a lease that has passed on does not land as if nothing had happened."""

from pathlib import Path

import pytest
from overtaking import PATH, Open, commit, edit, guarded, have, overtake
from queueing import configure, drive, queue
from support import git

from coord.model.errors import Refused
from coord.service import locks, mail, merges
from coord.service.merging.landing import Landing


def overtaken(repo: Path, coord_for: Open, settings: str) -> tuple[str, Path]:
    """Let frontend commit, past the guard, what backend has had a lease on since, and ask for its merge."""
    configure(repo, settings)
    trees = guarded(repo, coord_for)
    overtake(coord_for, trees)
    tree = trees["frontend"]
    assert commit(tree, "--no-verify", "-am", "late").returncode == 0
    return merges.request(coord_for("frontend", tree)).id, tree


def test_it_goes_back_and_both_are_named(repo: Path, coord_for: Open) -> None:
    overtaken(repo, coord_for, "ungated: allow")
    drive(Landing(coord_for("owner")))
    assert not queue(coord_for("owner")) and "more = 1" not in (repo / PATH).read_text()
    words = [item.message.body for item in mail.list_(coord_for("frontend")).items if item.message.kind == "merge"]
    assert any("frontend" in body and "backend was given" in body and PATH in body for body in words), words


def test_its_new_holder_is_asked_once_and_may_let_it_land(repo: Path, coord_for: Open) -> None:
    identifier, _ = overtaken(repo, coord_for, "ungated: allow, fencing: review")
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


def test_who_asks_not_to_look_is_not_looked_at(repo: Path, coord_for: Open) -> None:
    overtaken(repo, coord_for, "ungated: allow, fencing: 'off'")
    drive(Landing(coord_for("owner")))
    assert "more = 1" in (repo / PATH).read_text()
