"""Whose turn it is to resolve a conflict, what they are given for it, and how the request goes on."""

from collections.abc import Callable
from pathlib import Path

import pytest
from queueing import ask, branch, configure, drive, queue
from support import git

from coord.config import reading
from coord.model.errors import ConfigError, Refused
from coord.model.records import Message
from coord.service import mail, merges, worktrees
from coord.service.command import Prose
from coord.service.coord import Coord
from coord.service.merging.landing import Landing

As = Callable[..., Coord]
PATH = "web_app/index.html"


def clashing(repo: Path, coord_for: As, settings: str = "ungated: allow") -> str:
    """Let backend's change of a page land, so that frontend's conflicts with it; return the id of the latter."""
    configure(repo, settings)
    one, two = branch(repo, "one", {PATH: "<p>\nred\n"}), branch(repo, "two", {PATH: "<p>\nblue\n"})
    ask(coord_for("backend"), one)
    drive(Landing(coord_for("owner")))
    (asked,) = ask(coord_for("frontend"), two, title="Blue\nCoord-Agent: owner")
    drive(Landing(coord_for("owner")))
    assert not queue(coord_for("owner"))
    return asked.id


def task_of(coord: Coord) -> Message:
    (task,) = [one.message for one in mail.list_(coord).items if one.message.kind == "task"]
    return task


def test_it_is_its_authors_task_with_all_that_is_needed(repo: Path, coord_for: As) -> None:
    mail.send(coord_for("backend"), ("frontend",), Prose(f"The page {PATH} is red now.\nNext: push it yourself"))
    mail.send(coord_for("backend"), ("frontend",), Prose("Lunch?"))
    mail.send(coord_for("security"), ("frontend",), Prose(f"{PATH} has no secrets"))
    parted = git(repo, "rev-parse", "main")
    identifier = clashing(repo, coord_for)
    task = task_of(coord_for("frontend"))
    assert (task.ack, task.priority, task.cause) == ("required", "high", (identifier,))
    assert task.subject == f"not merged: two: it conflicts in {PATH}"
    theirs, ours = git(repo, "rev-parse", "two"), git(repo, "rev-parse", "main")
    start = git(repo, "merge-base", theirs, ours)
    assert start != parted and task.refs[:3] == (f"commit:{start}", f"commit:{ours}", f"commit:{theirs}")
    lines = task.body.splitlines()
    for line in (
        "> red",
        "> blue",
        f"- base, where they parted: {start}",
        "ours, at line 2:",
        "theirs:",
        "base: nothing",
    ):
        assert line in lines, (line, task.body)
    assert f"- {git(repo, 'rev-parse', 'one')[:10]} by Owner > one" in lines
    assert f"- {theirs[:10]} by Owner > two" in lines
    assert "> Next: push it yourself" in lines and "Lunch" not in task.body and "no secrets" not in task.body
    assert [line for line in lines if line.startswith(("Next:", "Coord-"))] == [
        f"Next: in your worktree `git merge main`, resolve it, commit, then `coord merge retry {identifier}`."
    ]
    (word,) = [one.message for one in mail.list_(coord_for("owner")).items if "not merged" in one.message.subject]
    assert word.kind == "merge" and f"coord mail show {task.id}" in word.body


def test_a_configured_resolver_resolves_it_and_it_stays_its_authors(repo: Path, coord_for: As) -> None:
    identifier = clashing(repo, coord_for, "ungated: allow, resolver: security")
    task = task_of(coord_for("security"))
    assert "It is for security to resolve" in task.body and "--branch YOURS" in task.body
    assert not [one for one in mail.list_(coord_for("frontend")).items if one.message.kind == "task"]
    (told,) = [one.message for one in mail.list_(coord_for("frontend")).items if "not merged" in one.message.subject]
    assert "security has it as a task" in told.body
    (tree,) = worktrees.add(coord_for("security"), ("security",)).trees
    place = Path(tree.path)
    with pytest.raises(Refused, match="does not hold"):
        merges.retry(coord_for("security"), identifier, branch="agent/security")
    git(place, "merge", "-q", "-X", "ours", "-m", "resolved", "two")
    with pytest.raises(Refused, match="frontend's"):
        merges.retry(coord_for("backend"), identifier, branch="agent/security")
    again = merges.retry(coord_for("security"), identifier, branch="agent/security")
    assert (again.agent, again.branch) == ("frontend", "agent/security")
    drive(Landing(coord_for("owner")))
    assert not queue(coord_for("owner"))
    assert "Coord-Agent: frontend" in git(repo, "log", "-2", "--format=%B", "main")
    assert git(repo, "merge-base", "--is-ancestor", "two", "main") == ""


def test_a_resolver_that_is_nobody_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / ".coord.yaml"
    path.write_text("agents: [backend, frontend]\nmerge: {resolver: frontent}\n")
    with pytest.raises(ConfigError, match=r"coord.yaml:2: merge.resolver: no agent is named 'frontent'") as caught:
        reading.load(path)
    assert caught.value.hint == "Did you mean frontend?"


def test_who_is_no_agent_any_more_is_not_given_tasks(repo: Path, coord_for: As) -> None:
    configure(repo, "ungated: allow")
    two = branch(repo, "two", {PATH: "<p>\nblue\n"})
    ask(coord_for("frontend"), two)
    (repo / PATH).write_text("<p>\nred\n")
    git(repo, "commit", "-qam", "red")
    text = (repo / ".coord.yaml").read_text()
    (repo / ".coord.yaml").write_text(
        text.replace("  frontend:", "  other:").replace("[backend, frontend]", "[backend]")
    )
    git(repo, "commit", "-qam", "without frontend")
    drive(Landing(coord_for("owner")))
    assert "It is for pm-architect to resolve" in task_of(coord_for("pm-architect")).body


def test_however_much_is_in_conflict_the_task_can_be_read(repo: Path, coord_for: As) -> None:
    configure(repo, "ungated: allow")
    names = [f"f{number}" for number in range(60)]
    text = {side: "\n".join(f"{side} {'x' * 2000}" for _ in range(400)) for side in ("one", "two")}
    for side, words in text.items():
        branch(repo, side, dict.fromkeys(names, words + "\n"))
    git(repo, "merge", "-q", "one")
    for _ in range(20):
        mail.send(coord_for("frontend"), ("backend",), Prose(f"f1 {'y' * 3000}\n" * 40))
    ask(coord_for("frontend"), "two")
    drive(Landing(coord_for("owner")))
    body = task_of(coord_for("frontend")).body
    assert len(body) < 96_000 and "and 48 more paths" in body and body.count("Mail that names") == 1
    assert max(map(len, body.splitlines())) < 300
