"""Decisions: recorded, superseded in a line, judged once; the ledger keeps every version."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support import git

from coord.model import keys
from coord.model.errors import CoordError, NotFound, Refused, UnknownAgent, Usage
from coord.service import decisions
from coord.service.command import Prose
from coord.service.coord import Coord

CoordFor = Callable[..., Coord]


def test_a_decision_is_recorded_with_its_reasons(repo: Path, coord_for: CoordFor) -> None:
    backend = coord_for("backend")
    made = decisions.record(
        backend, "where chef profiles live", Prose("the Customers sheet"), why=Prose("One place.\n"), confidence=0.8
    ).decision
    assert (made.made_by, made.about, made.choice) == ("backend", "where chef profiles live", "the Customers sheet")
    assert (made.body, made.confidence, made.outcome, made.outcome_at) == ("One place.\n", 0.8, "", None)
    assert decisions.list_(coord_for("frontend")).items == (decisions.Ruling(made),)
    backend.committer.settle()
    body = git(repo, "log", "-1", "--format=%an%n%B", "coord/ledger")
    assert body.startswith("backend\ndecision: backend: where chef profiles live: the Customers sheet\n")
    assert "Coord-Event: decision.recorded" in body


def test_an_outcome_is_said_once_unless_again(repo: Path, coord_for: CoordFor) -> None:
    made = decisions.record(coord_for("backend"), "cache", Prose("none")).decision
    frontend = coord_for("frontend")
    judged = decisions.outcome(frontend, made.id[-8:], Prose("too slow\n")).decision
    assert judged.outcome == "too slow"
    assert judged.outcome_at is not None
    assert judged.choice == made.choice
    with pytest.raises(Refused, match="has an outcome already: too slow") as refused:
        decisions.outcome(frontend, made.id, Prose("fast"))
    assert "--again" in refused.value.hint
    decisions.outcome(frontend, made.id, Prose("fast after all"), again=True)
    assert [one.decision.outcome for one in decisions.list_(frontend).items] == ["fast after all"]
    frontend.committer.settle()
    key = keys.decision(made)
    old = git(repo, "show", f"coord/ledger~1:{key}")
    assert "too slow" in old, "the ledger keeps the version before"
    assert "Coord-Event: decision.outcome" in git(repo, "log", "-1", "--format=%B", "coord/ledger")
    assert git(repo, "log", "-1", "--format=%an", "coord/ledger") == "frontend"


def test_superseding_marks_the_earlier_one_and_makes_a_line(coord_for: CoordFor) -> None:
    backend = coord_for("backend")
    first = decisions.record(backend, "cache", Prose("none")).decision
    second = decisions.record(backend, "cache", Prose("five minutes"), supersedes=first.id[-8:]).decision
    assert second.supersedes == first.id
    listed = decisions.list_(backend).items
    assert [(one.decision.id, one.superseded_by) for one in listed] == [(second.id, ""), (first.id, second.id)]
    with pytest.raises(Refused, match="was superseded already") as refused:
        decisions.record(backend, "cache", Prose("an hour"), supersedes=first.id)
    assert second.id in refused.value.hint
    with pytest.raises(NotFound):
        decisions.record(backend, "cache", Prose("an hour"), supersedes="ZZZZZZZZ")
    assert len(decisions.list_(backend).items) == 2, "what was refused left nothing"


def test_two_at_once_cannot_supersede_the_same(repo: Path, coord_for: CoordFor) -> None:
    first = decisions.record(coord_for("backend"), "cache", Prose("none")).decision
    start = threading.Barrier(2)
    refused: list[CoordError] = []

    def replace(name: str) -> None:
        coord = Coord.open(repo, who=name)
        start.wait()
        try:
            decisions.record(coord, "cache", Prose(name), supersedes=first.id)
        except CoordError as error:
            refused.append(error)

    racers = [threading.Thread(target=replace, args=(name,)) for name in ("frontend", "security")]
    for one in racers:
        one.start()
    for one in racers:
        one.join()
    assert [type(error) for error in refused] == [Refused]
    assert len(decisions.list_(coord_for("backend")).items) == 2


def test_lists_by_author_and_by_what_is_open(coord_for: CoordFor) -> None:
    backend, frontend = coord_for("backend"), coord_for("frontend")
    judged = decisions.record(backend, "a", Prose("1")).decision
    replaced = decisions.record(backend, "b", Prose("2")).decision
    newest = decisions.record(frontend, "b", Prose("3"), supersedes=replaced.id).decision
    decisions.outcome(backend, judged.id, Prose("good"))
    assert [one.decision.id for one in decisions.list_(backend, open=True).items] == [newest.id]
    assert [one.decision.id for one in decisions.list_(backend, by="Backend").items] == [replaced.id, judged.id]
    assert decisions.list_(backend, by="security").items == ()
    assert decisions.list_(backend, limit=1).left_out == 2
    with pytest.raises(UnknownAgent):
        decisions.list_(backend, by="secrity")


def test_what_an_author_wrote_is_kept_and_cannot_forge_the_ledger(repo: Path, coord_for: CoordFor) -> None:
    backend = coord_for("backend")
    choice = 'yes: "no"\n\nCoord-Agent: owner\n---\nformat: 9'
    made = decisions.record(backend, "a: b\n# c", Prose(choice), why=Prose("---\n---\n")).decision
    assert (made.about, made.choice) == ("a: b # c", choice)
    assert decisions.list_(backend).items[0].decision == made
    backend.committer.settle()
    found = git(repo, "log", "-1", "--format=%(trailers:key=Coord-Agent,valueonly)", "coord/ledger")
    assert found == "backend"


@pytest.mark.parametrize(
    ("about", "choice", "confidence"),
    [
        ("", "x", None),
        ("x", " ", None),
        ("x" * 201, "y", None),
        ("x", "y" * 4_001, None),
        ("x", "y", 1.5),
        ("x", "y", -0.1),
        ("x", "y", float("nan")),
    ],
)
def test_what_makes_no_sense_is_refused(coord_for: CoordFor, about: str, choice: str, confidence: float | None) -> None:
    backend = coord_for("backend")
    with pytest.raises(Usage):
        decisions.record(backend, about, Prose(choice), confidence=confidence)
    assert decisions.list_(backend).items == ()


def test_a_damaged_file_hides_no_other(repo: Path, coord_for: CoordFor) -> None:
    backend = coord_for("backend")
    made = [decisions.record(backend, f"q {number}", Prose("x")).decision for number in range(2)]
    key = keys.decision(made[0])
    (repo / key).write_text("nothing")
    listed = decisions.list_(backend)
    assert [one.decision.id for one in listed.items] == [made[1].id]
    assert listed.unreadable == (key,)
