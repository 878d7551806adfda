"""Saving where one is: facts by themselves, words as they were written, a bounded folder, nothing ever lost."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support import git

from coord.model import keys
from coord.model.errors import NotFound, UnknownAgent, Usage
from coord.service import checkpoints, locks, mail, worktrees
from coord.service.command import Prose
from coord.service.coord import Coord

CoordFor = Callable[..., Coord]


def events(home: Path) -> list[str]:
    return git(home, "log", "--reverse", "--format=%s", "coord/ledger").splitlines()


def keep(home: Path, count: int) -> None:
    path = home / ".coord.yaml"
    path.write_text(f"{path.read_text()}checkpoints: {{keep: {count}}}\n")


def test_save_notes_the_facts_by_itself(repo: Path, coord_for: CoordFor) -> None:
    backend = coord_for("backend")
    worktrees.add(backend, ("backend",))
    place = backend.worktree_of("backend")
    (place / "apps_script/menu.js").write_text("var b = 2;\n")
    git(place, "add", "-A")
    git(place, "commit", "-qm", "menu")
    (place / "apps_script/chefs.js").write_text("var a = 3;\n")
    (place / "new file.txt").write_text("new\n")
    held = locks.acquire(backend, ("apps_script/**",)).locks[0]
    asked = mail.send(coord_for("frontend"), ("backend",), Prose("which sheet?")).message

    saved = checkpoints.save(
        backend, Prose("Menu done.\n\nChefs half done."), next=("finish chefs", "tests"), task="T-1"
    )

    made = saved.checkpoint
    assert (made.agent, made.title, made.task) == ("backend", "Menu done.", "T-1")
    assert made.body == "Menu done.\n\nChefs half done.\n"
    assert made.next == ("finish chefs", "tests")
    assert made.branch == "agent/backend"
    assert made.commit == git(place, "rev-parse", "HEAD")
    assert made.dirty == ("apps_script/chefs.js", "new file.txt")
    assert made.touched == ("apps_script/menu.js",)
    assert made.locks == (f"{held.token} apps_script/**",)
    assert made.open_messages == (asked.id,)
    assert checkpoints.show(backend).checkpoint == made, "and the file says the same"


def test_saving_is_one_event_of_the_agent(repo: Path, coord_for: CoordFor) -> None:
    backend = coord_for("backend")
    backend.committer.settle()
    before = len(events(repo))
    made = checkpoints.save(backend, Prose("here")).checkpoint
    backend.committer.settle()
    assert events(repo)[before:] == ["checkpoint: backend: here"]
    body = git(repo, "log", "-1", "--format=%an%n%B", "coord/ledger")
    assert body.startswith("backend\n")
    assert "Coord-Event: checkpoint.saved" in body
    assert f"Coord-Id: {made.id}" in body
    assert f"Coord-Commit: {made.commit}" in body


def test_an_agent_without_a_worktree_is_where_it_stands(repo: Path, coord_for: CoordFor) -> None:
    (repo / "README.md").write_text("# Farm 2\n")
    made = checkpoints.save(coord_for("backend"), Prose("at home")).checkpoint
    assert (made.branch, made.dirty, made.touched) == ("main", ("README.md",), ())
    git(repo, "checkout", "-q", "--detach")
    assert checkpoints.save(coord_for("backend"), Prose("adrift")).checkpoint.branch == ""


def test_the_owner_saves_too(coord_for: CoordFor) -> None:
    owner = coord_for("owner")
    made = checkpoints.save(owner, Prose("lunch")).checkpoint
    assert checkpoints.show(owner).checkpoint == made


def test_many_and_strange_file_names_are_noted_within_bounds(repo: Path, coord_for: CoordFor) -> None:
    strange = ["a\nb: c.txt", "- [x", "\x1b[31mred", "…", "日本.txt", "# no", "spaces , commas"]
    for name in strange:
        (repo / name).write_text("x")
    made = checkpoints.save(coord_for("backend"), Prose("odd")).checkpoint
    assert sorted(made.dirty) == sorted(strange)
    assert checkpoints.show(coord_for("backend")).checkpoint == made
    for number in range(400):
        (repo / f"{number:04}").write_text("x")
    many = checkpoints.save(coord_for("backend"), Prose("many")).checkpoint.dirty
    assert len(many) == 201
    assert many[-1] == "… and 207 more"
    for number in range(40):
        (repo / ("\x01" * 200 + str(number))).write_text("x")
    assert checkpoints.save(coord_for("backend"), Prose("huge")).checkpoint.dirty[-1] == "… and 438 more"


def test_a_file_name_that_is_not_utf8_does_not_stop_it(repo: Path, coord_for: CoordFor) -> None:
    try:
        (repo / "caf\udce9").write_text("x")
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    assert checkpoints.save(coord_for("backend"), Prose("odd")).checkpoint.dirty == ("caf\ufffd",)


def test_files_named_by_the_agent_come_first_and_once(repo: Path, coord_for: CoordFor) -> None:
    backend = coord_for("backend")
    worktrees.add(backend, ("backend",))
    place = backend.worktree_of("backend")
    (place / "menu.js").write_text("")
    git(place, "add", "-A")
    git(place, "commit", "-qm", "menu")
    made = checkpoints.save(backend, Prose("x"), touched=("web_app/index.html", "menu.js")).checkpoint
    assert made.touched == ("web_app/index.html", "menu.js")


def test_a_checkpoint_needs_words_but_not_endless_ones(coord_for: CoordFor) -> None:
    backend = coord_for("backend")
    with pytest.raises(Usage, match="says nothing"):
        checkpoints.save(backend, Prose(" \n"))
    assert checkpoints.save(backend, Prose(""), next=("write the tests",)).checkpoint.title == "write the tests"
    with pytest.raises(Usage, match="summary"):
        checkpoints.save(backend, Prose("x" * 300_000))
    with pytest.raises(Usage, match="next steps"):
        checkpoints.save(backend, Prose("x"), next=("y" * 20_000,))
    largest = checkpoints.save(backend, Prose("é\n" * 80_000), next=("y" * 16_000,)).checkpoint
    assert checkpoints.show(backend).checkpoint == largest


def test_only_the_newest_stay_and_older_ones_leave_in_the_same_event(repo: Path, coord_for: CoordFor) -> None:
    keep(repo, 2)
    backend = coord_for("backend")
    made = [checkpoints.save(backend, Prose(f"step {number}")) for number in range(4)]
    ids = [one.checkpoint.id for one in made]
    assert [one.retired for one in made] == [(), (), (ids[0],), (ids[1],)]
    assert sorted(path.name[:26] for path in (repo / "checkpoints/backend").iterdir()) == ids[2:]
    backend.committer.settle()
    changed = git(repo, "show", "--format=", "--name-status", "--no-renames", "coord/ledger").splitlines()
    assert sorted(line[0] for line in changed) == ["A", "D"]
    checkpoints.save(coord_for("frontend"), Prose("mine"))
    assert len(checkpoints.list_(backend, agent="all").items) == 3, "each agent has a limit of its own"


def test_a_retired_checkpoint_is_shown_from_the_ledger(repo: Path, coord_for: CoordFor) -> None:
    keep(repo, 1)
    backend = coord_for("backend")
    first = checkpoints.save(backend, Prose("the first\n\nwith details")).checkpoint
    checkpoints.save(backend, Prose("the second"))
    shown = checkpoints.show(coord_for("frontend"), first.id[-8:].lower())
    assert (shown.checkpoint, shown.retired) == (first, True)


def test_show_by_a_part_of_the_id(coord_for: CoordFor) -> None:
    backend = coord_for("backend")
    first, second = (checkpoints.save(backend, Prose(text)).checkpoint for text in ("one", "two"))
    assert checkpoints.show(backend).checkpoint == second
    assert checkpoints.show(backend, first.id).checkpoint == first
    assert checkpoints.show(backend, first.id[-8:]).checkpoint == first
    with pytest.raises(Usage, match="fits several"):
        checkpoints.show(backend, first.id[:5])
    with pytest.raises(Usage, match="too short"):
        checkpoints.show(backend, "01")
    with pytest.raises(NotFound):
        checkpoints.show(backend, "ZZZZZZZZ")
    with pytest.raises(NotFound, match="frontend has no checkpoint"):
        checkpoints.show(coord_for("frontend"))


def test_list_is_newest_first_and_a_damaged_file_hides_no_other(repo: Path, coord_for: CoordFor) -> None:
    backend = coord_for("backend")
    made = [checkpoints.save(backend, Prose(f"step {number}")).checkpoint for number in range(3)]
    broken = keys.checkpoint(made[1])
    (repo / broken).write_text("---\nagent: [\n")
    listed = checkpoints.list_(coord_for("frontend"), agent="Backend")
    assert [one.id for one in listed.items] == [made[2].id, made[0].id]
    assert listed.unreadable == (broken,)
    assert checkpoints.list_(backend, limit=1).left_out == 2
    with pytest.raises(UnknownAgent):
        checkpoints.list_(backend, agent="nobody")


def test_somebody_s_damaged_lease_does_not_cost_the_agent_its_words(repo: Path, coord_for: CoordFor) -> None:
    (repo / "locks/README.md.yaml").write_text("holder: [")
    made = checkpoints.save(coord_for("backend"), Prose("words")).checkpoint
    assert made.locks == ()
