"""What is shown of the queue: the list, the graph, and the log of tests."""

from collections.abc import Callable
from pathlib import Path

from hooking import daemon
from queueing import ask, branch, configure, drive, drive_until, several
from support import git

from coord.faces import render
from coord.service import mergegraph, merges, testruns
from coord.service.coord import Coord
from coord.service.merging.landing import Landing

As = Callable[..., Coord]


def test_the_log_tells_what_was_tested_together_and_which_steps_are_flaky(repo: Path, coord_for: As) -> None:
    flaky = "test -e ../../../seen || { touch ../../../seen; echo not yet; exit 1; }"
    configure(repo, f"steps: [{{name: lint, run: 'echo neat'}}, {{name: unit, run: '{flaky}'}}]")
    asked = ask(coord_for("backend"), *several(repo, 1, {}))
    drive(Landing(coord_for("owner")))
    found = testruns.log(coord_for("owner"), asked[0].id)
    assert [(one.passed, one.step, len(one.members)) for one in found.runs] == [(False, "unit", 1), (True, "unit", 1)]
    assert [(one.step, one.times) for one in found.flaky] == [("unit", 1)]
    assert Path(found.runs[0].log).read_text() == "not yet\n"
    neat = found.runs[0].log.replace("-unit", "-lint")
    assert Path(neat).read_text() == "neat\n"


def test_the_graph_shows_who_is_where(repo: Path, coord_for: As) -> None:
    configure(repo, "test: 'while ! test -e ../../../go; do sleep 0.02; done'")
    for name, files in {"backend": {"README.md": "# Backend\n"}, "frontend": {"b": "x\n"}}.items():
        git(repo, "branch", f"agent/{name}", branch(repo, f"made/{name}", files))
    git(repo, "branch", "agent/security", "main")
    names = several(repo, 2, {})
    clash = branch(repo, "clash", {"good0": "y\n"})
    (repo / "README.md").write_text("# Owner\n")
    git(repo, "commit", "-qam", "owner")
    ask(coord_for("backend"), *names, clash)
    landing = Landing(coord_for("owner"))
    drive_until(landing, lambda: landing.running)
    before = git(repo, "count-objects")
    found = mergegraph.graph(coord_for("owner"))
    assert git(repo, "count-objects") == before, "to draw is to leave nothing in the owner's repository"
    seen = {one.branch: (one.standing, one.ahead, one.behind, one.conflicts) for one in found.branches}
    assert seen == {
        "work/0": ("testing", 1, 1, ()),
        "work/1": ("testing", 1, 1, ()),
        "clash": ("queued", 1, 1, ()),
        "agent/backend": ("conflict", 1, 1, ("README.md",)),
        "agent/frontend": ("ready", 1, 1, ()),
        "agent/security": ("behind", 0, 1, ()),
    }
    (repo / ".git/coord/go").touch()
    drive(landing)


def test_list_and_graph_say_that_a_branch_was_deleted_or_moved_since(repo: Path, coord_for: As) -> None:
    ask(coord_for("backend"), *several(repo, 3, {}))
    git(repo, "branch", "-D", "work/0")
    git(repo, "branch", "-f", "work/1", "main")
    found = merges.list_(coord_for("owner"))
    heads = {one.branch: one.head[:10] for one in found.requests}
    said = {one.branch: found.strays[one.id] for one in found.requests if one.id in found.strays}
    words = {
        "work/0": f"deleted since, {heads['work/0']} is what waits",
        "work/1": f"moved since, {heads['work/1']} is what waits",
    }
    assert said == words
    assert all(word in str(render.blocks(found)) for word in words.values())
    notes = {one.branch: one.note for one in mergegraph.graph(coord_for("owner")).branches if one.request}
    assert all(notes[name].endswith(word) for name, word in words.items()) and "since," not in notes["work/2"]


def test_a_list_says_where_no_daemon_runs(repo: Path, coord_for: As) -> None:
    assert not merges.list_(coord_for("backend")).watched
    with daemon(repo):
        assert merges.list_(coord_for("backend")).watched
