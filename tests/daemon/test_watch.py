"""`coord watch` as a process over a real repository."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support import eventually, git

from coord.daemon import run
from coord.faces import render
from coord.model.errors import Refused
from coord.model.records import MergeRequest
from coord.service import locks, mail, merges, setup, watching, worktrees
from coord.service.command import Prose
from coord.service.coord import Coord

Open = Callable[..., Coord]


def start(repo: Path, *more: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "coord", "--repo", str(repo), "watch", *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture
def ungated(repo: Path) -> None:
    """Let branches land without a test."""
    with (repo / ".coord.yaml").open("a") as file:
        file.write("merge: {ungated: allow}\n")
    git(repo, "commit", "-qam", "configured")


@pytest.fixture
def daemon(repo: Path) -> Iterator["subprocess.Popen[str]"]:
    process = start(repo)
    coord = Coord.open(repo)
    eventually(
        lambda: watching.find(coord).pid == process.pid and coord.bells.ring("daemon"), what="the daemon watches"
    )
    yield process
    process.terminate()
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0, out
    assert "Traceback" not in out


def ledger(repo: Path, grep: str = "") -> str:
    return git(repo, "log", "--format=%an|%s", "coord/ledger", *([f"--grep={grep}"] if grep else []))


def commit(worktree: Path, name: str, text: str, subject: str) -> None:
    (worktree / name).parent.mkdir(parents=True, exist_ok=True)
    (worktree / name).write_text(text)
    git(worktree, "add", name)
    git(worktree, "commit", "-qm", subject)


def test_hand_written_mail_is_adopted_routed_and_committed(repo: Path, coord_for: Open, daemon: object) -> None:
    (repo / "inbox/auto/x.md").write_text("---\nfrom: backend\n---\nweb_app/index.html is broken\n")
    eventually(lambda: mail.list_(coord_for("frontend")).unread == 1, what="routing")
    eventually(lambda: "backend -> frontend: web_app/index.html is broken" in ledger(repo), what="the commit")


def test_an_event_of_a_command_is_committed_by_the_daemon(repo: Path, coord_for: Open, daemon: object) -> None:
    mail.send(coord_for("backend"), ("frontend",), Prose("by the daemon"))
    eventually(lambda: "by the daemon" in ledger(repo), within=5, what="the commit")


def test_a_second_daemon_says_who_runs(repo: Path, daemon: "subprocess.Popen[str]") -> None:
    second = start(repo)
    out, _ = second.communicate(timeout=20)
    assert second.returncode == 4
    assert f"pid {daemon.pid}" in out


def test_a_dead_daemon_that_lives_on_in_a_child_for_a_moment_is_waited_for(repo: Path, coord_for: Open) -> None:
    coord = coord_for()
    guard = coord.private / "guards" / watching.LOCK
    with guard.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        later = threading.Timer(0.2, fcntl.flock, (held, fcntl.LOCK_UN))
        later.start()
        run.once(coord, say=lambda _: None)
        later.join()
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Refused, match="already"):
            run.once(coord, say=lambda _: None)


def test_leases_expire_and_the_next_in_line_gets_them(repo: Path, coord_for: Open, daemon: object) -> None:
    locks.acquire(coord_for("backend"), ("a.txt",), ttl=timedelta(milliseconds=300))
    got = locks.acquire(coord_for("frontend"), ("a.txt",), wait=timedelta(seconds=15))
    assert got.locks[0].holder == "frontend"
    eventually(lambda: mail.list_(coord_for("backend")).unread == 1, what="telling the old holder")


def test_a_lease_of_a_dead_process_is_freed(repo: Path, coord_for: Open, daemon: object) -> None:
    sleeper = subprocess.Popen(["sleep", "600"])
    locks.acquire(coord_for("backend"), ("a.txt",), pid=sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    (repo / "inbox/owner/wake.md").write_text("wake up")
    eventually(lambda: not locks.list_(coord_for("owner")).locks, within=15, what="freeing")


def test_a_branch_is_merged_and_everybody_is_told(repo: Path, coord_for: Open, ungated: None, daemon: object) -> None:
    trees = worktrees.add(coord_for("owner"), ("backend",))
    commit(Path(trees.trees[0].path), "apps_script/new.js", "1\n", "new")
    asked = merges.request(coord_for("backend"), title="A new script")
    eventually(lambda: (repo / "apps_script/new.js").exists(), what="the merge")
    eventually(lambda: mail.list_(coord_for("backend")).unread == 1, what="telling the author")
    assert git(repo, "status", "--porcelain") == ""
    message = git(repo, "log", "-1", "--format=%B", "main")
    assert message.startswith("Merge agent/backend: A new script")
    assert f"Coord-Merge: {asked.id}" in message
    assert "Coord-Gate: ungated" in message
    eventually(lambda: mail.list_(coord_for("owner")).unread == 1, what="telling the owner")


def test_a_conflict_goes_back_with_paths_and_commits(
    repo: Path, coord_for: Open, ungated: None, daemon: object
) -> None:
    for name in ("backend", "frontend"):
        trees = worktrees.add(coord_for("owner"), (name,))
        commit(Path(trees.trees[0].path), "README.md", f"# {name}\n", f"{name} was here")
    merges.request(coord_for("backend"))
    eventually(lambda: mail.list_(coord_for("backend")).unread, what="the first merge")
    merges.request(coord_for("frontend"))
    eventually(lambda: mail.list_(coord_for("frontend")).unread, what="the refusal")
    (item,) = mail.list_(coord_for("frontend")).items
    assert "README.md" in item.message.body
    assert "backend was here" in item.message.body
    assert (repo / "README.md").read_text() == "# backend\n"


def test_a_dirty_checkout_is_left_alone_and_the_owner_told_once(
    repo: Path, coord_for: Open, ungated: None, daemon: object
) -> None:
    trees = worktrees.add(coord_for("owner"), ("backend",))
    commit(Path(trees.trees[0].path), "new.txt", "1\n", "new")
    (repo / "README.md").write_text("the owner is writing")
    before = git(repo, "rev-parse", "main")
    asked = merges.request(coord_for("backend"))
    eventually(lambda: mail.list_(coord_for("owner")).unread == 1, what="telling the owner")
    assert git(repo, "rev-parse", "main") == before
    git(repo, "checkout", "README.md")
    (repo / "inbox/owner/wake.md").write_text("go on")
    eventually(lambda: git(repo, "rev-parse", "main") != before, within=20, what="the merge")
    assert isinstance(merges.show(coord_for("owner"), asked.id), MergeRequest)


def test_moving_a_file_to_read_acknowledges_it(repo: Path, coord_for: Open) -> None:
    with coord_for("backend") as coord:
        mail.send(coord, ("frontend",), Prose("by hand"))
    (path,) = (repo / "inbox/frontend").glob("*.md")
    (repo / "inbox/frontend/read").mkdir(exist_ok=True)
    path.rename(path.parent / "read" / path.name)
    done = start(repo, "--once")
    out, _ = done.communicate(timeout=30)
    assert done.returncode == 0, out
    assert "frontend|" in ledger(repo, "mail.acked")


def test_a_changed_configuration_is_followed_and_a_wrong_one_is_not(repo: Path, coord_for: Open) -> None:
    config = (repo / ".coord.yaml").read_text()
    (repo / ".coord.yaml").write_text(config + "watch: {scan_every: 200ms}\n")
    process = start(repo)
    eventually(lambda: coord_for("backend").bells.ring("daemon"), what="the daemon listens")
    (repo / ".coord.yaml").write_text("agents: [\n")
    assert process.stdout is not None
    assert any("last good configuration" in process.stdout.readline() for _ in range(5))
    (repo / ".coord.yaml").write_text(config.replace("agents:\n", "agents:\n  mobile: {role: Mobile}\n"))
    assert any("5 agents" in process.stdout.readline() for _ in range(5))
    (repo / "inbox/auto/x.md").write_text("the mobile app crashes\n")
    eventually(lambda: mail.list_(coord_for("mobile")).unread == 1, what="mail to the new agent")
    process.terminate()
    process.communicate(timeout=20)


def test_a_killed_daemon_loses_nothing(repo: Path, coord_for: Open) -> None:
    process = start(repo)
    coord = coord_for("backend")
    eventually(lambda: coord.bells.ring("daemon"), what="the daemon listens")
    sent = [mail.send(coord, ("frontend",), Prose(f"number {number}")).message.id for number in range(20)]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    sent += [mail.send(coord, ("frontend",), Prose(f"later {number}")).message.id for number in range(5)]
    coord.settle()
    held = git(repo, "log", "--format=%(trailers:key=Coord-Id,valueonly)", "coord/ledger").split()
    assert [held.count(identifier) for identifier in sent] == [1] * 25


def test_stop_and_status_by_command(repo: Path, coord_for: Open) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}

    def run(*words: str) -> dict[str, object]:
        command = [sys.executable, "-m", "coord", "--repo", str(repo), "watch", *words, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=True)
        found = json.loads(done.stdout)
        assert isinstance(found, dict)
        return found

    run("--detach")
    assert run("status")["state"] == "running"
    stopped = watching.stop(coord_for("owner"))
    assert f"stopped, pid {stopped.pid}" in str(render.blocks(stopped))
    assert run("status")["state"] == "stopped"
    again = watching.stop(coord_for("owner"))
    assert "not running" in str(render.blocks(again))


def test_a_daemon_whose_own_folder_was_removed_is_the_only_one_still(repo: Path, coord_for: Open) -> None:
    (repo / ".coord.yaml").write_text((repo / ".coord.yaml").read_text() + "watch: {scan_every: 1s}\n")
    process = start(repo)
    try:
        coord = coord_for("backend")
        eventually(lambda: watching.find(coord).pid == process.pid and coord.bells.ring("daemon"), what="the daemon")
        (repo / ".git/coord").rename(repo / "away")
        eventually(lambda: watching.find(coord).pid == process.pid and coord.bells.ring("daemon"), what="its return")
        second = start(repo)
        assert "already" in second.communicate(timeout=20)[0]
        mail.send(coord_for("frontend"), ("backend",), Prose("hello again"))
        eventually(lambda: "hello again" in ledger(repo), what="the commit")
    finally:
        process.terminate()
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 0, out


def test_a_daemon_whose_own_folder_is_removed_as_it_begins_begins_again(repo: Path, coord_for: Open) -> None:
    said: list[str] = []

    def say(word: str) -> None:
        said.append(word.partition(" (")[0].replace(str(repo), "here"))
        own = repo / ".git/coord"
        if len(said) == 1:
            own.rename(repo / "away")
            own.write_text("so that nothing can be made in it\n")
        elif len(said) == 2:
            own.unlink()

    run.watch(coord_for("backend"), seconds=1, say=say)
    begins = "watching here for 4 agents"
    assert said[:3] == [begins, "what is watched was removed or replaced; watching what is there now", begins]


def test_folders_made_anew_are_watched(repo: Path) -> None:
    (repo / ".coord.yaml").write_text((repo / ".coord.yaml").read_text() + "watch: {scan_every: 1s}\n")
    process = start(repo)
    try:
        (repo / "inbox/backend/first.md").write_text("are you here?\n")
        eventually(lambda: "are you here?" in ledger(repo), what="the daemon watches")
        shutil.rmtree(repo / "inbox")
        setup.init(repo)
        (repo / "inbox/backend/x.md").write_text("are you there?\n")
        eventually(lambda: "are you there?" in ledger(repo), what="taking it in")
    finally:
        process.terminate()
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 0, out
    assert "watching what is there now" in out


def test_a_daemon_that_cannot_write_says_so_and_goes_on(repo: Path, coord_for: Open) -> None:
    process = start(repo)
    try:
        coord = coord_for("backend")
        eventually(lambda: watching.find(coord).pid == process.pid and coord.bells.ring("daemon"), what="the daemon")
        state = repo / ".git/coord/journal/state.json"
        held = state.read_bytes()
        state.write_text("{")
        assert coord.bells.ring("daemon")
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert any("is damaged" in line for line in lines)
        state.write_bytes(held)
        mail.send(coord_for("frontend"), ("backend",), Prose("hello again"))
        eventually(lambda: "hello again" in ledger(repo), what="the commit")
    finally:
        process.terminate()
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 0, out
