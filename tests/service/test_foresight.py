"""Conflicts foreseen, from what agents really have in their worktrees; and told to both, once."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support import git, gits

from coord.daemon.foreseeing import Foreseeing
from coord.daemon.loop import Loop
from coord.daemon.observe import Observer
from coord.daemon.perform import Performer
from coord.daemon.plan import CallOff, Foreseen, View, Warn
from coord.daemon.rules.foresee import foresee
from coord.faces import render
from coord.faces.page import Line, Table
from coord.model.foresight import BASE, Side, older
from coord.service import foresight, letters, worktrees
from coord.service.coord import Coord
from coord.service.foresight import Foresight

As = Callable[..., Coord]
CHEFS = "".join(f"var line{number} = {number};\n" for number in range(20))


@pytest.fixture
def places(repo: Path, coord_for: As) -> dict[str, Path]:
    """Worktrees of three agents, from a base whose chefs.js has twenty lines."""
    (repo / "apps_script/chefs.js").write_text(CHEFS)
    git(repo, "commit", "-qam", "chefs")
    trees = worktrees.add(coord_for("owner"), ("backend", "frontend", "security")).trees
    return {tree.agent: Path(tree.path) for tree in trees}


def edit(place: Path, line: int, text: str, *, commit: str = "") -> None:
    path = place / "apps_script/chefs.js"
    lines = path.read_text().splitlines(keepends=True)
    lines[line] = f"{text}\n"
    path.write_text("".join(lines))
    if commit:
        git(place, "commit", "-qam", commit)


def test_work_that_nobody_committed_is_seen(places: dict[str, Path], coord_for: As) -> None:
    owner = coord_for("owner")
    assert foresight.conflicts(owner).conflicts == ()
    edit(places["backend"], 3, "mine", commit="backend's")
    edit(places["frontend"], 3, "yours")
    edit(places["security"], 15, "elsewhere", commit="security's")
    before = git(places["frontend"], "status", "--porcelain")
    found = foresight.conflicts(owner)
    (place,) = found.conflicts
    assert (place.first, place.second, place.paths) == ("backend", "frontend", ("apps_script/chefs.js",))
    assert [(hunk.line, hunk.lines) for hunk in place.hunks] == [(4, 3)]
    assert place.older == "backend", "what is not committed began last"
    assert git(places["frontend"], "status", "--porcelain") == before
    assert foresight.conflicts(owner, committed=True).conflicts == ()
    assert foresight.conflicts(owner, agent="security").conflicts == ()
    assert [one.agent for one in foresight.conflicts(owner, agent="frontend").works] == ["backend", "frontend"]
    assert [one.dirty for one in found.works] == [False, True, False]


def test_what_one_has_against_the_base_is_not_laid_at_others_doors(
    repo: Path, places: dict[str, Path], coord_for: As
) -> None:
    edit(places["backend"], 3, "mine", commit="backend's")
    edit(repo, 3, "the owner's", commit="owner's")
    git(places["frontend"], "merge", "-q", "main")
    edit(places["frontend"], 10, "far from it", commit="frontend's")
    found = foresight.conflicts(coord_for("owner"))
    assert ("backend", BASE) in {(one.first, one.second) for one in found.conflicts}
    # Both changed the same file, so between them it is named as well: whoever lands second meets it.
    assert {one.paths for one in found.conflicts} == {("apps_script/chefs.js",)}
    (repo / "README.md").write_text("# The owner's farm\n")
    git(repo, "commit", "-qam", "readme")
    (places["security"] / "README.md").write_text("# A safe farm\n")
    (places["security"] / "web_app/index.html").write_text("<b>\n")
    (places["frontend"] / "web_app/index.html").write_text("<i>\n")
    pairs = {(one.first, one.second): one.paths for one in foresight.conflicts(coord_for("owner")).conflicts}
    assert pairs["security", BASE] == ("README.md",)
    assert pairs["frontend", "security"] == ("web_app/index.html",), "the README is between security and the base"


def test_who_looks_again_asks_git_for_what_is_new_only(places: dict[str, Path], coord_for: As) -> None:
    owner = coord_for("owner")
    edit(places["backend"], 3, "mine", commit="backend's")
    edit(places["frontend"], 3, "yours", commit="frontend's")
    ahead = Foresight(owner)
    first = ahead.look()
    edit(places["security"], 3, "a third")
    assert ahead.look(again=False).conflicts == first.conflicts, "an edit alone moves neither index nor branch"
    assert len(ahead.look().conflicts) == 3
    git(places["security"], "commit", "-qam", "now")
    again = ahead.look(again=False)
    assert [one.dirty for one in again.works] == [False] * 3
    assert len(again.conflicts) == 3


def test_a_look_runs_a_git_for_each_worktree_and_one_for_each_step(places: dict[str, Path], coord_for: As) -> None:
    edit(places["backend"], 3, "mine", commit="backend's")
    edit(places["frontend"], 3, "yours")
    ahead = Foresight(coord_for("owner"))
    with gits() as ran:
        assert len(ahead.look().conflicts) == 1
    uncommitted, related = ["update-index", "write-tree", "hash-object"], ["merge-base", "log"]
    steps = [*related, "diff-tree", "merge-tree", "cat-file"]
    assert sorted(words[0] for words in ran) == sorted(["status"] * 3 + uncommitted + steps)
    with gits() as ran:
        ahead.look(again=False)
    assert sorted(words[0] for words in ran) == sorted(related), "where nothing moved, nothing is done again"
    git(places["frontend"], "commit", "-qam", "now")
    with gits() as ran:
        assert len(ahead.look(again=False).conflicts) == 1
    assert sorted(words[0] for words in ran) == sorted(["status", *steps])
    with gits() as ran:
        foresight.conflicts(coord_for("owner"), committed=True)
    assert "status" not in {words[0] for words in ran}, "what is not asked for is not looked at"


def looked(coord: Coord, foreseeing: Foreseeing) -> list[str]:
    """Let a daemon look ahead and act once; return what it recorded about conflicts."""
    coord.commits = True
    observer = Observer(coord, lambda: foreseeing.latest)
    loop = Loop(coord, observer, Performer(coord, observer, lambda line: pytest.fail(line)))
    foreseeing._closely_at = 0.0
    foreseeing.look()
    loop.cycle(full=False)
    coord.committer.settle()
    coord.index.sync()
    return [entry.kind for entry in coord.index.entries(kind="conflict.")]


def test_both_are_told_once_and_again_when_it_grows(places: dict[str, Path], coord_for: As) -> None:
    owner = coord_for("owner")
    edit(places["backend"], 3, "mine", commit="backend's")
    edit(places["frontend"], 3, "yours")
    foreseeing = Foreseeing(owner, pytest.fail, lambda: None)
    assert looked(owner, foreseeing) == ["conflict.foreseen"]
    assert looked(owner, foreseeing) == ["conflict.foreseen"]
    assert looked(owner, Foreseeing(owner, pytest.fail, lambda: None)) == ["conflict.foreseen"], "the ledger remembers"
    for name in ("backend", "frontend", "pm-architect"):
        (key,) = letters.keys_of(owner, name)
        (item,) = letters.items(owner, name, [key])
        assert item.message.subject == "conflict ahead: backend and frontend, apps_script/chefs.js"
        assert "line 4 (3 lines)" in item.message.body
        assert "backend's work began earlier: frontend gives way" in item.message.body
    (places["backend"] / "README.md").write_text("# One farm\n")
    (places["frontend"] / "README.md").write_text("# Two farms\n")
    assert looked(owner, foreseeing) == ["conflict.foreseen"] * 2
    git(places["frontend"], "checkout", "-q", "--", "README.md")
    assert looked(owner, foreseeing) == ["conflict.foreseen"] * 2, "one that shrinks is no news"
    git(places["frontend"], "checkout", "-q", "--", ".")
    assert looked(owner, foreseeing) == ["conflict.foreseen", "conflict.foreseen", "conflict.over"]
    edit(places["frontend"], 3, "yours again")
    assert looked(owner, foreseeing)[-1] == "conflict.foreseen"


def test_the_rule_speaks_of_news_only() -> None:
    one, two = frozenset({"1"}), frozenset({"1", "2"})
    cases = [
        (Foreseen("a", "b", one, frozenset()), [Warn("a", "b", one)]),
        (Foreseen("a", "b", one, one), []),
        (Foreseen("a", "b", two, one), [Warn("a", "b", two)]),
        (Foreseen("a", "b", one, two), []),
        (Foreseen("a", "", frozenset(), one), [CallOff("a", "")]),
        (Foreseen("a", "", frozenset(), frozenset()), []),
    ]
    for seen, actions in cases:
        view = View(now=None, config=None, conflicts=(seen,))  # type: ignore[arg-type]  # the rule asks for neither
        assert foresee(view) == actions


def test_nothing_to_compare_is_said(repo: Path, coord_for: As) -> None:
    owner = coord_for("owner")
    (line,) = render.blocks(foresight.conflicts(owner))
    assert isinstance(line, Line)
    assert "no agent has work" in line.text
    git(repo, "checkout", "-q", "--detach")
    assert foresight.conflicts(owner).works == ()


def test_the_matrix_has_a_row_for_each_of_those_who_conflict(places: dict[str, Path], coord_for: As) -> None:
    edit(places["backend"], 3, "mine", commit="backend's")
    edit(places["frontend"], 3, "yours")
    (places["security"] / "README.md").write_text("# Safe\n")
    table, quiet, *rest = render.blocks(foresight.conflicts(coord_for("owner")))
    assert isinstance(table, Table)
    assert table.columns == ("paths in conflict", "main", "backend")
    assert table.rows == (("backend", "·", ""), ("frontend", "·", "1"))
    assert quiet == Line("1 more go together with all", "dim")
    assert rest[0] == Line("backend and frontend; backend's began earlier", "bold")


def test_who_began_earlier_is_told_only_where_it_can_be(coord_for: As) -> None:
    now = coord_for("owner").now()
    none = Side(name="a", branch="a", head="1", commit="1")
    assert older(none, replace(none, name="b")) == ""
    assert older(none, replace(none, name="b", since=now)) == "b"
    assert older(replace(none, since=now), replace(none, name="b", since=now.replace(year=2001))) == "b"
