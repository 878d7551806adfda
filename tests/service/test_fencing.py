"""Fencing: what was changed under a lease that somebody else has had since is refused, and both are named."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from hooking import daemon
from overtaking import PATH, Open, commit, edit, guarded, have, judged, land, message, overtake, token_of, write
from queueing import configure, drive, queue
from support import eventually, git

from coord.model import leasetrailers
from coord.model.errors import StaleToken
from coord.service import locks, mail, merges
from coord.service.guard import editnotes, guarding
from coord.service.merging.landing import Landing


@pytest.fixture
def trees(repo: Path, coord_for: Open) -> dict[str, Path]:
    return guarded(repo, coord_for)


@pytest.fixture(params=["with a daemon", "without"])
def served(request: pytest.FixtureRequest, repo: Path) -> Iterator[None]:
    with daemon(repo) if request.param == "with a daemon" else nullcontext():
        yield


def test_a_commit_says_under_which_leases_its_changes_were_made(
    coord_for: Open, trees: dict[str, Path], served: None
) -> None:
    tree = trees["frontend"]
    edit(tree, "frontend")
    (lock,) = locks.list_(coord_for("owner")).locks
    locks.acquire(coord_for("frontend"), ("web_app/**",))
    write(tree, "web_app/index.html")
    done = commit(tree)
    assert done.returncode == 0, done.stderr
    assert message(tree) == (
        f"more\n\nCoord-Lease: {lock.token} {PATH}\nCoord-Lease: {lock.token + 1} web_app/**\nCoord-Agent: frontend"
    )
    assert git(tree, "log", "-1", "--format=%(trailers:key=Coord-Agent,valueonly)").strip() == "frontend"


def test_what_was_overtaken_is_refused_and_both_are_named(
    coord_for: Open, trees: dict[str, Path], served: None
) -> None:
    mine, theirs = overtake(coord_for, trees)
    refused = commit(trees["frontend"])
    assert refused.returncode == 1
    named = (PATH, f"frontend with token {mine}", "backend was given", f"with token {theirs}", "coord lock acquire")
    assert [word for word in named if word not in refused.stderr] == [], refused.stderr
    git(trees["frontend"], "restore", "--staged", "--worktree", PATH)
    write(trees["frontend"], "src/other.py")
    assert commit(trees["frontend"]).returncode == 0


def test_it_is_put_right_by_the_lease_anew_and_the_base_s_changes(
    repo: Path, coord_for: Open, trees: dict[str, Path]
) -> None:
    overtake(coord_for, trees)
    land(repo, trees["backend"])
    tree = trees["frontend"]
    assert commit(tree).returncode == 1
    (again,) = locks.acquire(coord_for("frontend"), (PATH,)).locks
    refused = commit(tree)
    assert refused.returncode == 1
    assert f"taken again with token {again.token}" in refused.stderr
    git(tree, "stash", "-q")
    git(tree, "merge", "-q", "main")
    subprocess.run(["git", "stash", "pop", "-q"], cwd=tree, capture_output=True, check=False)
    (tree / PATH).write_text("x = 1\ntheirs = 1\nmore = 1\n")
    git(tree, "add", "-A")
    done = commit(tree)
    assert done.returncode == 0, done.stderr
    assert judged(coord_for, tree).passed == ()


def test_where_nothing_landed_the_lease_anew_is_enough(coord_for: Open, trees: dict[str, Path]) -> None:
    overtake(coord_for, trees)
    locks.acquire(coord_for("frontend"), ("src",))
    assert commit(trees["frontend"]).returncode == 0
    overtaken = judged(coord_for, trees["frontend"])
    assert overtaken.passed == ()


def test_notes_that_are_lost_leave_the_ledger_to_tell(coord_for: Open, trees: dict[str, Path]) -> None:
    mine, theirs = overtake(coord_for, trees)
    for file in (coord_for("owner").private / editnotes.FOLDER / "frontend").iterdir():
        file.write_text('{"path": "src/held.py", "edits": [[true, 1, "x"')
    with pytest.raises(StaleToken) as refused:
        git(trees["frontend"], "add", PATH)
        guarding.check(coord_for("frontend", trees["frontend"]))
    assert refused.value.facts["tokens"] == (mine,)
    assert refused.value.facts["new_tokens"] == (theirs,)


def test_an_edit_that_is_committed_is_settled(coord_for: Open, trees: dict[str, Path]) -> None:
    tree = trees["frontend"]
    edit(tree, "frontend")
    old = token_of(coord_for, "frontend")
    assert commit(tree, GIT_COMMITTER_DATE="2099-01-01T00:00:00Z").returncode == 0
    locks.release(coord_for("frontend"))
    have(coord_for, "backend")
    write(tree)
    locks.acquire(coord_for("frontend"), (PATH,))
    new = token_of(coord_for, "frontend")
    assert commit(tree).returncode == 0
    assert leasetrailers.tokens(message(tree)) == (new,)
    assert leasetrailers.tokens(message(tree, "HEAD~")) == (old,)


def test_an_edit_without_a_lease_is_judged_by_its_time(repo: Path, coord_for: Open, trees: dict[str, Path]) -> None:
    config = repo / ".coord.yaml"
    config.write_text(f"{config.read_text()}hooks: {{lease: off}}\n")
    tree = trees["frontend"]
    have(coord_for, "backend")
    edit(tree, "frontend")
    git(tree, "add", PATH)
    found = guarding.check(coord_for("frontend", tree))
    assert found.unknown == (PATH,)
    theirs = have(coord_for, "backend")
    refused = commit(tree)
    assert refused.returncode == 1
    assert "without a lease that anything tells of" in refused.stderr
    assert f"with token {theirs}" in refused.stderr


def test_shared_leases_go_together(coord_for: Open, trees: dict[str, Path]) -> None:
    locks.acquire(coord_for("frontend"), (PATH,), shared=True)
    write(trees["frontend"])
    locks.release(coord_for("frontend"))
    locks.acquire(coord_for("backend"), (PATH,), shared=True)
    locks.release(coord_for("backend"))
    assert commit(trees["frontend"]).returncode == 0


def test_it_can_be_overridden_on_record(coord_for: Open, trees: dict[str, Path]) -> None:
    _, theirs = overtake(coord_for, trees)
    done = commit(trees["frontend"], COORD_OVERRIDE="we agreed")
    assert done.returncode == 0, done.stderr
    told = mail.list_(coord_for("backend")).items[0].message
    assert "we agreed" in told.body
    (entry,) = coord_for("owner").indexed().entries(kind="guard.overridden")
    assert (entry.agent, entry.facts["Token"]) == ("frontend", str(theirs))


def test_a_push_is_judged_by_trailers(repo: Path, coord_for: Open, trees: dict[str, Path], tmp_path: Path) -> None:
    tree = trees["frontend"]
    edit(tree, "frontend")
    mine = token_of(coord_for, "frontend")
    assert commit(tree).returncode == 0
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "there.git")], check=True)
    push = ["git", "push", "-q", str(tmp_path / "there.git"), "HEAD:refs/heads/work"]
    locks.release(coord_for("frontend"))
    theirs = have(coord_for, "backend")
    refused = subprocess.run(push, cwd=tree, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert f"frontend with token {mine}" in refused.stderr
    assert f"with token {theirs}" in refused.stderr
    have(coord_for, "frontend")
    assert subprocess.run(push, cwd=tree, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("way", ["trailers", "the ledger", "time"])
def test_commits_are_judged_by_what_tells(coord_for: Open, trees: dict[str, Path], way: str) -> None:
    tree = trees["frontend"]
    mine = 0
    if way != "time":
        locks.acquire(coord_for("frontend"), ("src/**",))
        mine = token_of(coord_for, "frontend")
    write(tree)
    assert commit(tree, *(["-am", "x"] if way == "trailers" else ["-nam", "x"])).returncode == 0
    assert bool(leasetrailers.tokens(message(tree))) == (way == "trailers")
    if way != "time":
        locks.release(coord_for("frontend"))
    assert judged(coord_for, tree).passed == ()
    theirs = have(coord_for, "backend")
    (found,) = judged(coord_for, tree).passed
    assert (found.path, found.agent, found.token, found.to.holder, found.to.token) == (
        PATH, "frontend", mine, "backend", theirs,
    )  # fmt: skip
    have(coord_for, "frontend")
    assert judged(coord_for, tree).passed == ()


def test_a_trailer_that_the_ledger_does_not_bear_out_counts_for_nothing(
    coord_for: Open, trees: dict[str, Path]
) -> None:
    overtake(coord_for, trees)
    other = have(coord_for, "frontend", "web_app/index.html")
    for forged in (f"Coord-Lease: {other} {PATH}", "Coord-Lease: 999999 **", "Coord-Lease: 99999999999999999999"):
        assert commit(trees["frontend"], "-n", "-am", f"x\n\n{forged}").returncode == 0
        assert judged(coord_for, trees["frontend"]).passed
        git(trees["frontend"], "reset", "-q", "HEAD~")


def test_parts_of_the_work_are_judged_as_what_they_are(coord_for: Open, trees: dict[str, Path]) -> None:
    overtake(coord_for, trees)
    tree = trees["frontend"]
    write(tree, "src/other.py")
    assert commit(tree, "-m", "one", "src/other.py").returncode == 0
    assert commit(tree, "-m", "two", PATH).returncode == 1
    assert commit(tree, "-am", "three").returncode == 1


STOPPED = """
import subprocess, sys
tree, path = sys.argv[1:]
def run(*words):
    return subprocess.run(words, cwd=tree, capture_output=True, text=True)
def coord(*words):
    return run(sys.executable, "-P", "-m", "coord", *words)
print(coord("lock", "acquire", path, "--ttl", "2s").returncode, flush=True)
with open(f"{tree}/{path}", "a") as file:
    file.write("before = 1\\n")
print("edited", flush=True)
sys.stdin.readline()
with open(f"{tree}/{path}", "a") as file:
    file.write("after = 1\\n")
done = run("git", "commit", "-qam", "late")
print(done.returncode, done.stderr, flush=True)
"""


def test_a_holder_that_was_stopped_past_its_lease_and_goes_on_is_refused(
    repo: Path, coord_for: Open, trees: dict[str, Path], served: None, tmp_path: Path
) -> None:
    script = tmp_path / "holder.py"
    script.write_text(STOPPED)
    configure(repo, "ungated: allow")
    tree = trees["frontend"]
    before = git(tree, "rev-parse", "HEAD")
    words = [sys.executable, str(script), str(tree), PATH]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline().strip() == "0"
            assert holder.stdout.readline().strip() == "edited"
            mine = token_of(coord_for, "frontend")
            holder.send_signal(signal.SIGSTOP)
            holder.stdin.write("go on\n")
            holder.stdin.flush()
            eventually(lambda: not locks.list_(coord_for("owner")).locks, within=30, what="the end of the lease")
            edit(trees["backend"], "backend", PATH, "theirs = 1\n")
            theirs = token_of(coord_for, "backend")
            assert commit(trees["backend"]).returncode == 0
            locks.release(coord_for("backend"))
            assert git(tree, "rev-parse", "HEAD") == before
            holder.send_signal(signal.SIGCONT)
            said = holder.stdout.read()
        finally:
            holder.kill()
    assert said.startswith("1 "), said
    for word in (f"frontend with token {mine}", "backend was given", f"with token {theirs}", PATH):
        assert word in said, said
    assert git(tree, "rev-parse", "HEAD") == before
    assert commit(tree, "-n", "-am", "past the guard").returncode == 0
    (found,) = judged(coord_for, tree).passed
    assert (found.agent, found.token, found.to.holder, found.to.token) == ("frontend", mine, "backend", theirs)
    base = git(repo, "rev-parse", "main")
    merges.request(coord_for("frontend", tree))
    drive(Landing(coord_for("owner")))
    eventually(lambda: not queue(coord_for("owner")), within=30, what="the end of the request")
    assert git(repo, "rev-parse", "main") == base
