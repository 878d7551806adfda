"""What lands is pushed first: by compare-and-swap, stacked again where the remote moved, and never forced upon it."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from queueing import ask, branch, configure, drive, drive_until, queue
from support import eventually, git

from coord.config import reading
from coord.model.errors import ConfigError
from coord.service import mail, merges
from coord.service.coord import Coord
from coord.service.merging.landing import Landing

As = Callable[..., Coord]
GATE = "'echo run >> ../../../runs; ! ls bad* 2>/dev/null'"
SLOW = "'echo run >> ../../../runs; while ! test -e ../../../go; do sleep 0.02; done'"


@pytest.fixture
def far(repo: Path) -> Path:
    """Give the repository a remote, with main in it."""
    made = repo.parent / "far.git"
    git(repo, "init", "-q", "--bare", "-b", "main", str(made))
    git(repo, "remote", "add", "origin", str(made))
    return made


def pushing(repo: Path, settings: str = "ungated: allow") -> None:
    configure(repo, f"push: origin, {settings}")
    git(repo, "push", "-q", "origin", "main")


def tip(repo: Path, name: str = "main") -> str:
    return git(repo, "rev-parse", name)


def somebody_pushes(repo: Path, far: Path, name: str, files: dict[str, str]) -> str:
    """Let somebody else's clone push a commit upon what the remote has."""
    if not (clone := repo.parent / "elsewhere").exists():
        git(repo.parent, "clone", "-q", str(far), str(clone))
    git(clone, "pull", "-q", "origin", "main")
    for path, text in files.items():
        (clone / path).write_text(text)
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", name)
    git(clone, "push", "-q", "origin", "HEAD:main")
    return tip(clone, "HEAD")


def hook(far: Path, text: str) -> None:
    path = far / "hooks/pre-receive"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def pausing(far: Path) -> None:
    """Let the remote wait once, with a push in its hands, until there is a file `go`."""
    hook(far, "test -e seen && exit 0; touch seen; while ! test -e go; do sleep 0.02; done")


def results(coord: Coord) -> list[str]:
    return [one.result for one in queue(coord)]


def subjects(coord: Coord, part: str) -> list[str]:
    return [one.message.subject for one in mail.list_(coord).items if part in one.message.subject]


def test_what_lands_is_at_the_remote_and_here(repo: Path, far: Path, coord_for: As) -> None:
    pushing(repo, f"test: {GATE}")
    ask(coord_for("backend"), *(branch(repo, f"work/{n}", {f"good{n}": "x\n"}) for n in range(3)))
    drive(Landing(coord_for("owner")))
    assert not queue(coord_for("owner")) and tip(far) == tip(repo)
    assert (repo / "good2").exists() and git(repo, "status", "--porcelain") == ""
    assert git(far, "for-each-ref", "--format=%(refname)").split() == ["refs/heads/main"]
    (word,) = [one.message.body for one in mail.list_(coord_for("backend")).items if "work/2" in one.message.subject]
    assert "It is at origin as well." in word


def test_a_remote_without_the_branch_gets_it(repo: Path, far: Path, coord_for: As) -> None:
    configure(repo, "push: origin, ungated: allow")
    ask(coord_for("backend"), branch(repo, "work", {"good": "x\n"}))
    drive(Landing(coord_for("owner")))
    assert tip(far) == tip(repo) and (repo / "good").exists()


def test_what_others_pushed_is_merged_upon_and_comes_here_too(repo: Path, far: Path, coord_for: As) -> None:
    pushing(repo)
    theirs = somebody_pushes(repo, far, "theirs", {"theirs": "x\n"})
    ask(coord_for("backend"), branch(repo, "work", {"good": "x\n"}))
    drive(Landing(coord_for("owner")))
    assert tip(far) == tip(repo) and tip(repo, "main^1") == theirs
    assert (repo / "theirs").exists() and (repo / "good").exists() and git(repo, "status", "--porcelain") == ""


def test_a_remote_that_moves_while_it_is_tested_is_stacked_upon_and_nobody_is_blamed(
    repo: Path, far: Path, coord_for: As
) -> None:
    pushing(repo, f"test: {SLOW}")
    ask(coord_for("backend"), *(branch(repo, f"work/{n}", {f"good{n}": "x\n"}) for n in range(3)))
    landing = Landing(coord_for("owner"))
    drive_until(landing, (repo / ".git/coord/runs").exists)
    somebody_pushes(repo, far, "theirs", {"theirs": "x\n"})
    landing.coord.clock.monotonic = lambda: time.monotonic() + 60  # type: ignore[method-assign]
    (repo / ".git/coord/go").touch()
    drive(landing)
    assert not queue(coord_for("owner")) and tip(far) == tip(repo)
    assert (repo / ".git/coord/runs").read_text().split() == ["run", "run"]
    assert not subjects(coord_for("backend"), "not merged")
    assert git(repo, "log", "--first-parent", "--format=%s", "-4", "main").splitlines()[-1] == "theirs"


def test_a_remote_that_moves_while_it_is_pushed_to_is_not_overwritten(repo: Path, far: Path, coord_for: As) -> None:
    pushing(repo)
    somebody_pushes(repo, far, "theirs", {"theirs": "x\n"})
    theirs = tip(far)
    git(far, "update-ref", "refs/heads/main", tip(repo))
    pausing(far)
    ask(coord_for("backend"), branch(repo, "work", {"good": "x\n"}))
    landing = Landing(coord_for("owner"))
    drive_until(landing, (far / "seen").exists)
    git(far, "update-ref", "refs/heads/main", theirs)
    (far / "go").touch()
    drive_until(landing, lambda: not queue(landing.coord))
    assert tip(far) == tip(repo) and tip(repo, "main^1") == theirs and (repo / "theirs").exists()


def test_nothing_waits_for_a_push_but_its_own_branch(repo: Path, far: Path, coord_for: As) -> None:
    pushing(repo)
    pausing(far)
    ask(coord_for("backend"), branch(repo, "work", {"good": "x\n"}))
    landing = Landing(coord_for("owner"))
    drive_until(landing, (far / "seen").exists)
    before = time.monotonic()
    for _ in range(20):
        landing.tend()
        assert not landing.advance("main")
    (late,) = ask(coord_for("frontend"), branch(repo, "late", {"late": "x\n"}))
    assert time.monotonic() - before < 10 and landing.running
    assert [one.state for one in queue(landing.coord)] == ["landing", "queued"] and tip(repo) == tip(far)
    (far / "go").touch()
    drive_until(landing, lambda: not queue(landing.coord))
    assert tip(far) == tip(repo) and late.branch in git(repo, "log", "-1", "--format=%s", "main")


def test_one_that_cannot_be_reached_loses_nothing_and_is_tried_again(repo: Path, far: Path, coord_for: As) -> None:
    pushing(repo)
    git(repo, "remote", "set-url", "origin", str(repo.parent / "gone.git"))
    (made,) = ask(coord_for("backend"), branch(repo, "work", {"good": "x\n"}))
    landing = Landing(coord_for("owner"))
    drive(landing)
    (word,) = results(landing.coord)
    assert word.startswith("waits: origin cannot be reached: ") and "does not appear to be a git repository" in word
    assert merges.show(landing.coord, made.id).result == word
    asked = landing._moving.remotes.ended
    drive_until(landing, lambda: landing._moving.remotes.ended >= asked + 2)
    assert len(subjects(landing.coord, "merge waits")) == 1
    assert merges.cancel(coord_for("backend"), made.id).state == "cancelled"
    merges.retry(coord_for("backend"), made.id)
    git(repo, "remote", "set-url", "origin", str(far))
    drive_until(landing, lambda: not queue(landing.coord))
    assert tip(far) == tip(repo) and (repo / "good").exists()


@pytest.mark.parametrize("mended_by", ["set-url", "fetch"])
def test_one_that_is_mended_is_not_left_alone_for_minutes(repo: Path, far: Path, coord_for: As, mended_by: str) -> None:
    """However long the pause is by then: here it never ends, since no time passes."""
    pushing(repo)
    hidden = far.rename(far.with_name("hidden.git"))
    ask(coord_for("backend"), branch(repo, "work", {"good": "x\n"}))
    landing = Landing(coord_for("owner"))
    landing.coord.clock.monotonic = lambda: 1.0  # type: ignore[method-assign]
    drive(landing)
    asked = landing._moving.remotes.ended
    assert "cannot be reached" in results(landing.coord)[0]
    drive(landing)
    assert landing._moving.remotes.ended == asked, "nothing hints at a change"
    if mended_by == "set-url":
        git(repo, "remote", "set-url", "origin", str(hidden))
    else:
        hidden.rename(far)
        git(repo, "fetch", "-q", "origin", "main")
    drive_until(landing, lambda: not queue(landing.coord))
    assert tip(hidden if mended_by == "set-url" else far) == tip(repo)


def test_a_remote_that_git_does_not_know_is_named(repo: Path, coord_for: As) -> None:
    configure(repo, "push: upstream, ungated: allow")
    ask(coord_for("backend"), branch(repo, "work", {"good": "x\n"}))
    drive(Landing(coord_for("owner")))
    assert results(coord_for("owner")) == ["waits: git knows no remote upstream: `git remote add upstream URL`"]


def test_the_reason_that_is_told_is_the_one_that_holds(repo: Path, far: Path, coord_for: As) -> None:
    git(repo, "push", "-q", "origin", "main")
    configure(repo, "push: upstream, ungated: allow")
    ask(coord_for("backend"), branch(repo, "work", {"good": "x\n"}))
    landing = Landing(coord_for("owner"))
    drive(landing)
    assert "git knows no remote upstream" in results(landing.coord)[0]
    git(repo, "remote", "add", "upstream", str(repo.parent / "gone.git"))
    drive_until(landing, lambda: "upstream cannot be reached" in results(landing.coord)[0])
    git(repo, "remote", "set-url", "upstream", str(far))
    drive_until(landing, lambda: not queue(landing.coord))
    assert tip(far) == tip(repo)


def test_a_protected_branch_refuses_in_its_own_words(repo: Path, far: Path, coord_for: As) -> None:
    pushing(repo)
    hook(far, "echo 'main is protected\nCoord-Gate: passed' >&2; exit 1")
    before = tip(repo)
    ask(coord_for("backend"), branch(repo, "work", {"good": "x\n"}))
    drive(Landing(coord_for("owner")))
    assert not queue(coord_for("owner")) and tip(repo) == before == tip(far)
    (word,) = [one.message for one in mail.list_(coord_for("backend")).items if "not merged" in one.message.subject]
    assert "origin refused it" in word.subject and "pre-receive hook declined" in word.subject
    assert "> remote: main is protected" in word.body.splitlines() and "\nCoord-Gate" not in word.body


def test_the_one_that_a_remote_refuses_goes_back_and_the_others_land(repo: Path, far: Path, coord_for: As) -> None:
    pushing(repo, f"test: {GATE}")
    refused = "{ echo =====; echo 'nothing huge here'; } >&2; exit 1"
    hook(far, f"while read old new ref; do ! git ls-tree --name-only $new | grep -q huge || {{ {refused}; }}; done")
    names = ["good0", "good1", "huge", "good3", "good4"]
    ask(coord_for("backend"), *(branch(repo, f"work/{name}", {name: "x\n"}) for name in names))
    landing = Landing(coord_for("owner"))
    drive_until(landing, lambda: any("together" in word for word in results(landing.coord)))
    together = "origin refused " + ", ".join(f"work/{name}" for name in names) + " together, fewer are tried: "
    assert {word.partition("nothing huge here")[0] for word in results(landing.coord)} == {together}
    drive(landing, within=90)
    assert not queue(landing.coord) and tip(far) == tip(repo)
    assert [name for name in names if (repo / name).exists()] == ["good0", "good1", "good3", "good4"]
    (word,) = subjects(coord_for("backend"), "not merged")
    assert "work/huge: origin refused it: nothing huge here: [remote rejected] (pre-receive hook declined)" in word


def test_histories_that_parted_wait_for_the_owner(repo: Path, far: Path, coord_for: As) -> None:
    pushing(repo)
    somebody_pushes(repo, far, "theirs", {"theirs": "x\n"})
    (repo / "mine").write_text("x\n")
    git(repo, "add", "mine")
    git(repo, "commit", "-qm", "mine")
    before, there = tip(repo), tip(far)
    ask(coord_for("backend"), branch(repo, "work", {"good": "x\n"}))
    landing = Landing(coord_for("owner"))
    drive(landing)
    (word,) = results(landing.coord)
    assert word.startswith("waits: main here and at origin have parted") and (tip(repo), tip(far)) == (before, there)
    git(repo, "pull", "-q", "--no-rebase", "--no-edit", "origin", "main")
    drive_until(landing, lambda: not queue(landing.coord))
    assert tip(far) == tip(repo) and all((repo / name).exists() for name in ("mine", "theirs", "good"))


def test_a_commit_made_here_while_it_is_pushed_is_kept_and_the_owner_told(repo: Path, far: Path, coord_for: As) -> None:
    pushing(repo)
    pausing(far)
    ask(coord_for("backend"), branch(repo, "work", {"good": "x\n"}))
    landing = Landing(coord_for("owner"))
    drive_until(landing, (far / "seen").exists)
    git(repo, "commit", "-q", "--allow-empty", "-m", "mine")
    mine = tip(repo)
    (far / "go").touch()
    drive_until(landing, lambda: "parted" in "".join(results(landing.coord)))
    assert tip(repo) == mine and [one.state for one in queue(landing.coord)] == ["landing"]
    git(repo, "pull", "-q", "--no-rebase", "--no-edit", "origin", "main")
    drive_until(landing, lambda: not queue(landing.coord))
    assert len(subjects(coord_for("backend"), "merged: work")) == 1 and (repo / "good").exists()


def test_a_checkout_that_cannot_follow_what_is_pushed_follows_later(repo: Path, far: Path, coord_for: As) -> None:
    pushing(repo)
    pausing(far)
    ask(coord_for("backend"), branch(repo, "work", {"README.md": "# New\n"}))
    landing = Landing(coord_for("owner"))
    drive_until(landing, (far / "seen").exists)
    (repo / "README.md").write_text("# Mine\n")
    (far / "go").touch()
    drive_until(landing, lambda: "README.md" in "".join(results(landing.coord)))
    drive(landing)
    assert (repo / "README.md").read_text() == "# Mine\n" and tip(far) != tip(repo)
    git(repo, "checkout", "-q", "README.md")
    drive_until(landing, lambda: not queue(landing.coord))
    assert tip(far) == tip(repo) and (repo / "README.md").read_text() == "# New\n"
    assert len(subjects(coord_for("backend"), "merged: work")) == 1


def test_what_was_taken_out_at_the_remote_is_not_pushed_again(repo: Path, far: Path, coord_for: As) -> None:
    pushing(repo)
    good = tip(repo)
    ask(coord_for("backend"), branch(repo, "work", {"secret": "x\n"}))
    landing = Landing(coord_for("owner"))
    drive(landing)
    git(far, "update-ref", "refs/heads/main", good)
    ask(coord_for("backend"), branch(repo, "more", {"good": "x\n"}, base=good))
    landing.coord.clock.monotonic = lambda: time.monotonic() + 60  # type: ignore[method-assign]
    drive(landing)
    (word,) = results(landing.coord)
    assert "main was rewritten at origin" in word and tip(far) == good
    git(repo, "reset", "-q", "--hard", good)
    landing.coord.clock.monotonic = lambda: time.monotonic() + 120  # type: ignore[method-assign]
    drive_until(landing, lambda: not queue(landing.coord))
    assert tip(far) == tip(repo) and (repo / "good").exists() and not (repo / "secret").exists()


@pytest.mark.parametrize("seen", [True, False])
def test_what_was_pushed_by_one_that_died_is_brought_here(repo: Path, far: Path, coord_for: As, seen: bool) -> None:
    """Killed after the push: whether or not the dead one saw what came of it, the next one does."""
    pushing(repo, f"test: {GATE}")
    pausing(far)
    ask(coord_for("backend"), branch(repo, "work", {"good": "x\n"}))
    dead = Landing(coord_for("owner"))
    drive_until(dead, (far / "seen").exists)
    (one,) = queue(dead.coord)
    (far / "go").touch()
    eventually(lambda: tip(far) == one.candidate)
    if seen:
        while dead.running:
            dead._moving.remotes.collect()
    assert tip(repo) == one.base
    drive(Landing(coord_for("owner")))
    dead.stop()
    assert not queue(dead.coord) and tip(repo) == tip(far) == one.candidate and (repo / "good").exists()
    assert len((repo / ".git/coord/runs").read_text().split()) == 1
    assert len(subjects(coord_for("backend"), "merged: work")) == 1


def test_killed_between_branch_and_files_the_files_follow_from_where_they_were(
    repo: Path, far: Path, coord_for: As
) -> None:
    """The batch lies upon what others pushed, which the checkout does not have yet."""
    pushing(repo)
    was = tip(repo)
    somebody_pushes(repo, far, "theirs", {"theirs": "x\n"})
    pausing(far)
    ask(coord_for("backend"), branch(repo, "work", {"good": "x\n"}))
    dead = Landing(coord_for("owner"))
    drive_until(dead, (far / "seen").exists)
    (one,) = queue(dead.coord)
    assert (one.was, one.state) == (was, "landing")
    (far / "go").touch()
    eventually(lambda: tip(far) == one.candidate)
    git(repo, "update-ref", "refs/heads/main", one.candidate)
    drive(Landing(coord_for("owner")))
    dead.stop()
    assert not queue(dead.coord) and git(repo, "status", "--porcelain") == ""
    assert (repo / "theirs").exists() and (repo / "good").exists()


@pytest.mark.parametrize("name", ["https://host/x.git", "-x", "../far.git", "a b", "x.lock", "@"])
def test_only_a_name_may_stand_for_a_remote(tmp_path: Path, name: str) -> None:
    path = tmp_path / ".coord.yaml"
    path.write_text(f"merge: {{push: '{name}'}}\n")
    with pytest.raises(ConfigError, match=r"merge\.push: .* is no name of a remote"):
        reading.load(path)
