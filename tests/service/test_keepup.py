"""Worktrees are brought to the base when they are clean and idle, wholly or not at all."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest
from queueing import ask, branch
from support import eventually, git

from coord.daemon import run
from coord.daemon.observe import Observer
from coord.daemon.perform import Performer
from coord.daemon.plan import Behind, Follow, Foreseen, View
from coord.daemon.rules.follow import follow
from coord.faces import render
from coord.git import indexlock
from coord.service import keepup, merges, worktrees
from coord.service.coord import Coord
from coord.service.foresight import Foresight
from coord.service.session import sessions
from coord.stores import oslock

As = Callable[..., Coord]


@pytest.fixture
def place(repo: Path, coord_for: As) -> Path:
    """Backend's worktree in a repository where worktrees follow."""
    with (repo / ".coord.yaml").open("a") as file:
        file.write("worktrees: {follow: merge}\n")
    return Path(worktrees.add(coord_for("owner"), ("backend",)).trees[0].path)


def commit(top: Path, name: str, text: str = "x\n") -> str:
    (top / name).parent.mkdir(parents=True, exist_ok=True)
    (top / name).write_text(text)
    git(top, "add", name)
    git(top, "commit", "-qm", f"{name} here")
    return git(top, "rev-parse", "HEAD")


def clean(top: Path) -> bool:
    return not git(top, "status", "--porcelain")


def test_it_goes_forward_or_gets_a_merge(repo: Path, coord_for: As, place: Path) -> None:
    tip = commit(repo, "base.txt")
    found = keepup.update(coord_for("owner"))
    assert [(one.agent, one.state, one.head) for one in found.items] == [("backend", "brought", tip)]
    assert (place / "base.txt").exists() and clean(place)
    own, tip = commit(place, "mine"), commit(repo, "more.txt")
    (one,) = keepup.update(coord_for("owner"), ("backend",)).items
    assert (
        git(place, "log", "-1", "--format=%P|%an|%cn|%s") == f"{own} {tip}|backend|coord|Merge main into agent/backend"
    )
    assert (place / "more.txt").exists() and (place / "mine").exists() and clean(place)
    assert keepup.update(coord_for("owner")).items[0].state == "current"
    assert "has it" in str(render.blocks(keepup.update(coord_for("owner"))))
    assert one.head == git(place, "rev-parse", "agent/backend")


def test_what_is_not_ready_is_not_touched(repo: Path, coord_for: As, place: Path) -> None:
    commit(repo, "base.txt")
    head = git(place, "rev-parse", "HEAD")
    (place / "loose").write_text("mine")
    (one,) = keepup.update(coord_for("owner")).items
    assert (one.state, one.why) == ("waits", "uncommitted changes in loose")
    (place / "loose").unlink()
    private = Path(git(place, "rev-parse", "--absolute-git-dir"))
    (private / "MERGE_HEAD").write_text(head)
    assert keepup.update(coord_for("owner")).items[0].why == "a merge is in progress"
    (private / "MERGE_HEAD").unlink()
    (private / "index.lock").write_text("")
    assert keepup.update(coord_for("owner")).items[0].state == "waits"
    (private / "index.lock").unlink()
    assert git(place, "rev-parse", "HEAD") == head and clean(place)


def test_a_conflict_leaves_no_trace(repo: Path, coord_for: As, place: Path) -> None:
    commit(repo, "both", "base\n")
    head = commit(place, "both", "mine\n")
    (one,) = keepup.update(coord_for("owner")).items
    assert (one.state, one.why) == ("stuck", "it conflicts with main in both")
    assert git(place, "rev-parse", "HEAD") == head and (place / "both").read_text() == "mine\n" and clean(place)


def observed(coord: Coord) -> View:
    return Observer(coord, lambda: Foresight(coord).look()).view(full=False)


def test_the_daemon_brings_idle_ones_and_waits_for_the_others(repo: Path, coord_for: As, place: Path) -> None:
    owner = coord_for("owner")
    tip = commit(repo, "base.txt")
    assert follow(observed(owner)) == [Follow("backend")]
    with sessions.opened(owner, "claude", "s1", timeout=5) as kept:
        kept.session = replace(kept.session, agent="backend", process=oslock.process_of(os.getpid()))
    performer = Performer(owner, Observer(owner), print)
    assert not performer.perform(Follow("backend"))
    assert git(place, "rev-parse", "HEAD") != tip
    with sessions.opened(owner, "claude", "s1", timeout=5) as kept:
        kept.session = replace(kept.session, state="idle")
    assert performer.perform(Follow("backend"))
    assert git(place, "rev-parse", "HEAD") == tip
    assert follow(observed(owner)) == []


def test_one_look_at_everything_lands_and_brings_the_others_along(repo: Path, coord_for: As, place: Path) -> None:
    with (repo / ".coord.yaml").open("a") as file:
        file.write("merge: {ungated: allow}\n")
    git(repo, "commit", "-qam", "settings")
    keepup.update(coord_for("owner"))
    ask(coord_for("frontend"), branch(repo, "work", {"landed.txt": "x\n"}))
    run.once(coord_for("owner"), say=print)
    assert (repo / "landed.txt").exists() and (place / "landed.txt").exists()


def test_a_branch_in_the_queue_stays_as_it_was_requested(repo: Path, coord_for: As, place: Path) -> None:
    owner = coord_for("owner")
    head = commit(place, "mine")
    merges.request(coord_for("backend"))
    commit(repo, "base.txt")
    assert not keepup.follow(owner, "backend")
    assert git(place, "rev-parse", "HEAD") == head


def test_foundthat_cannot_is_told_once_for_each_base(repo: Path, coord_for: As, place: Path) -> None:
    owner = coord_for("owner")
    commit(repo, ".gitignore", "*.o\n")
    assert keepup.follow(owner, "backend")
    (place / "way.o").write_text("mine, ignored")
    git(repo, "update-index", "--add", "--cacheinfo", f"100644,{git(repo, 'rev-parse', 'HEAD:.gitignore')},way.o")
    git(repo, "commit", "-qm", "way.o")
    assert follow(observed(owner)) == [Follow("backend")]
    for _ in range(2):
        keepup.follow(owner, "backend")
    letters = [path for path in (repo / "inbox/backend").glob("*.md") if "cannot follow" in path.read_text()]
    assert len(letters) == 1 and "way.o" in letters[0].read_text()
    assert (place / "way.o").read_text() == "mine, ignored"
    assert follow(observed(owner)) == []
    git(repo, "commit", "-q", "--allow-empty", "-m", "the base moves")
    assert follow(observed(owner)) == [Follow("backend")]


def test_the_rule(coord_for: As, place: Path) -> None:
    config = coord_for("owner").config
    now = coord_for("owner").now()
    behind = (Behind("backend"), Behind("frontend", told=True), Behind("security", begun=True))
    assert follow(View(now=now, config=config, behind=behind)) == [Follow("backend"), Follow("security")]
    clash = (Foreseen("backend", "", frozenset("a"), frozenset()),)
    assert follow(View(now=now, config=config, behind=behind, conflicts=clash)) == [Follow("security")]
    assert follow(View(now=now, config=config, behind=behind, steady=False)) == [Follow("security")]


def free(private: Path) -> bool:
    return "another process" not in indexlock.busy(private)


def begun(repo: Path, process: subprocess.Popen[bytes]) -> bool:
    return (repo / ".git/coord" / keepup.FOLDER / "backend.json").exists() or process.poll() is not None


BRING = """
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from coord.service import keepup
from coord.service.coord import Coord
coord = Coord.open(Path(sys.argv[1]), who="owner")
print("ready", flush=True)
keepup.bring(coord, "backend")
"""


def test_killed_at_any_moment_it_is_before_or_after(repo: Path, coord_for: As, place: Path) -> None:
    seed = int(os.environ.get("COORD_TEST_SEED", "0")) or random.randrange(1, 1 << 32)
    print(f"replay with COORD_TEST_SEED={seed}")
    chance = random.Random(seed)
    cut = 0
    for number in range(20):
        for name in range(60):
            (repo / f"f{name}").write_text(f"{number} {name}\n" * 400)
        git(repo, "add", *(f"f{name}" for name in range(60)))
        git(repo, "commit", "-qm", f"round {number}")
        own = commit(place, "mine", f"{number}\n") if number % 2 else git(place, "rev-parse", "HEAD")
        process = subprocess.Popen([sys.executable, "-c", BRING, str(repo)], stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline()
        if chance.random() < 0.5:
            time.sleep(chance.uniform(0, 0.4))
        else:
            eventually(partial(begun, repo, process), what="beginning")
            time.sleep(chance.uniform(0, 0.03))
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        for child in family:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        process.wait()
        process.stdout.close()
        private = Path(git(place, "rev-parse", "--absolute-git-dir"))
        eventually(partial(free, private), what="git has ended")
        cut += bool(keepup.half_done(coord_for("owner")))
        (found,) = keepup.update(coord_for("owner")).items
        assert found.state in ("brought", "current"), found
        assert clean(place) and not (private / "index.lock").exists()
        assert keepup.half_done(coord_for("owner")) == ()
        assert git(place, "merge-base", "--is-ancestor", own, "HEAD") == ""
        assert (place / "f7").read_bytes() == (repo / "f7").read_bytes()
    print(f"cut short {cut} times")
    assert cut
