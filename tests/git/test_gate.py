import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from support import git as sh

from coord.git import gate
from coord.git.repo import Git
from coord.model.errors import NotFound

HOSTILE = 'line\nbreak "é" $(touch x)'


@pytest.fixture
def top(tmp_path: Path) -> Path:
    made = tmp_path.resolve() / "home é"
    made.mkdir()
    sh(made, "init", "-q", "-b", "main")
    sh(made, "config", "user.name", "t")
    sh(made, "config", "user.email", "t@example.invalid")
    (made / "a").write_text("a\n")
    (made / HOSTILE).write_text("h\n")
    (made / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (made / "run.sh").chmod(0o755)
    (made / ".gitignore").write_text("*.o\n")
    sh(made, "add", "-A")
    sh(made, "commit", "-q", "-m", "one")
    sh(made, "tag", "-a", "v1", "-m", "v1")
    return made


def begin(
    top: Path, command: str, commit: str = "HEAD", seconds: float = 30, env: dict[str, str] | None = None
) -> gate.Running:
    step = gate.Step("test", command, timedelta(seconds=seconds), top / ".git/coord/gate.log", env or {})
    return gate.start(Git(top), commit, (step,), folder=top / ".git/coord/gates")


def steps(top: Path, *commands: str, **more: str) -> gate.Running:
    made = [
        gate.Step(f"step {n}", command, timedelta(seconds=5), top / f".git/coord/log-{n}", **more)  # type: ignore[arg-type]
        for n, command in enumerate(commands)
    ]
    return gate.start(Git(top), "HEAD", made, folder=top / ".git/coord/gates")


def finish(running: gate.Running) -> gate.Result:
    deadline = time.monotonic() + 20
    while (result := running.poll()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return result


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pid_in(path: Path, running: gate.Running | None = None) -> int:
    deadline = time.monotonic() + 10
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < deadline
        if running is not None:
            running.poll()
        time.sleep(0.005)
    return int(path.read_text())


def test_a_passing_command_sees_the_commit(top: Path) -> None:
    (top / "a").write_text("dirty\n")
    result = finish(begin(top, "./run.sh && cat a && ls && git status --porcelain && git describe"))
    assert (result.passed, result.status, result.reason) == (True, 0, "passed")
    assert result.tail.startswith("ran\na\n") and result.tail.endswith("v1")
    assert "'home" not in result.tail and "line" in result.tail
    assert result.step.log.read_text().startswith("ran\n") and result.seconds < 20


@pytest.mark.parametrize(
    ("command", "status", "reason"),
    [
        ("exit 3", 3, "failed"),
        ("no-such-tool-here", 127, "error"),
        ("./a", 126, "error"),
        ("kill -9 $$", 137, "failed"),
    ],
)
def test_other_ends(top: Path, command: str, status: int, reason: str) -> None:
    result = finish(begin(top, command))
    assert (result.passed, result.status, result.reason) == (False, status, reason)


def test_the_owner_sees_nothing_of_it(top: Path) -> None:
    before = (sh(top, "worktree", "list"), sh(top, "for-each-ref"), (top / ".git/index").read_bytes())
    assert finish(begin(top, "touch left && git add left && git commit -qm inner")).passed
    assert (sh(top, "worktree", "list"), sh(top, "for-each-ref"), (top / ".git/index").read_bytes()) == before
    assert sh(top, "status", "--porcelain") == ""
    sh(top, "worktree", "prune", "--expire", "now")
    assert finish(begin(top, "git log -1 --format=%s")).tail.endswith("one")


def test_a_slot_is_used_again_and_nothing_of_the_last_gate_stays(top: Path) -> None:
    spoil = "touch left x.o; mkdir -p d/.git; echo b >>a; rm run.sh; git checkout -q -b mess; touch ../git/MERGE_HEAD"
    assert finish(begin(top, f"{spoil}; rm .git; git init -q")).passed
    (top / "a").write_text("two\n")
    sh(top, "rm", "-q", "--cached", HOSTILE)
    sh(top, "commit", "-qam", "two")
    check = "git status --porcelain --ignored; cat a; ls; git rev-parse HEAD; test ! -e ../git/MERGE_HEAD"
    (top / ".git/coord/gate.log").unlink()
    result = finish(begin(top, check))
    assert result.passed
    assert result.tail == f"two\na\nrun.sh\n{sh(top, 'rev-parse', 'HEAD')}"
    assert os.listdir(top / ".git/coord/gates") == ["0"]


def test_gates_at_the_same_time_have_slots_of_their_own(top: Path) -> None:
    many = [begin(top, "pwd; while test ! -e ../go; do sleep 0.01; done") for _ in range(3)]
    for slot in range(3):
        path = top / f".git/coord/gates/{slot}"
        assert path.is_dir()
        (path / "go").touch()
    assert all(finish(one).passed for one in many)


def test_the_environment_is_scrubbed(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoy = top.parent / "decoy"
    decoy.mkdir()
    sh(decoy, "init", "-q")
    with monkeypatch.context() as hostile:
        for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY"):
            hostile.setenv(name, str(decoy / ".git"))
        hostile.setenv("KEPT", "kept")
        result = finish(
            begin(top, "env | grep -c ^GIT_; echo $COORD_GATE $COORD_COMMIT $KEPT $MORE", env={"MORE": "more"})
        )
    assert result.tail == f"0\n1 {sh(top, 'rev-parse', 'HEAD')} kept more"


def test_a_timeout_ends_the_whole_group(top: Path) -> None:
    note = top.parent / "pid"
    running = begin(top, f'sleep 60 & echo $! >"{note}"; sleep 60', seconds=0.5)
    result = finish(running)
    assert (result.passed, result.reason) == (False, "timeout")
    assert not alive(pid_in(note))
    assert running.poll() is result


def test_one_that_ignores_the_polite_signal_is_killed(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_GRACE", 0.2)
    note = top.parent / "pid"
    running = begin(top, f'trap "" TERM; echo $$ >"{note}"; while :; do sleep 0.05; done')
    pid = pid_in(note, running)
    result = running.stop()
    assert (result.passed, result.reason, result.status) == (False, "error", None)
    assert not alive(pid)
    assert running.stop() is result


def test_a_stopped_command_may_clean_up(top: Path) -> None:
    note = top.parent / "pid"
    clean_up = "sleep 0.3; touch ../cleaned; exit"
    running = begin(top, f"trap '{clean_up}' TERM; echo $$ >'{note}'; while :; do sleep 0.05; done")
    pid_in(note, running)
    assert running.stop().reason == "error"
    assert (top / ".git/coord/gates/0/cleaned").exists()


def test_a_killed_wrapper_leaves_nothing_behind(top: Path) -> None:
    note = top.parent / "pid"
    running = begin(top, f'echo $$ >"{note}"; sleep 60')
    pid = pid_in(note, running)
    os.kill(running._process.pid, signal.SIGKILL)
    result = finish(running)
    assert (result.passed, result.status, result.reason) == (False, None, "error")
    deadline = time.monotonic() + 5
    while alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_a_gate_leaves_behind_is_ended(top: Path) -> None:
    note = top.parent / "pid"
    assert finish(begin(top, f'sleep 60 & echo $! >"{note}"')).passed
    deadline = time.monotonic() + 5
    while alive(pid_in(note)):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_poll_never_waits(top: Path) -> None:
    running = begin(top, "sleep 60")
    slowest = 0.0
    for _ in range(100):
        begun = time.monotonic()
        assert running.poll() is None
        slowest = max(slowest, time.monotonic() - begun)
        time.sleep(0.001)
    running.stop()
    assert slowest < 0.2


def test_output_is_safe_to_show_and_only_its_end(top: Path) -> None:
    result = finish(begin(top, r"""yes line | head -5000; printf '10%%\r20%%\r\033[31mred\033]0;title\007\n'"""))
    assert len(result.tail) <= 4096 and "\x1b" not in result.tail and "\x07" not in result.tail
    assert "20%\n" in result.tail and result.tail.split("\n")[-1].strip().startswith("red")
    assert result.step.log.stat().st_size > 20_000


def test_a_commit_that_cannot_be_checked_out_is_an_error(top: Path) -> None:
    blob = sh(top, "rev-parse", "HEAD:a")
    (top / ".git/objects" / blob[:2] / blob[2:]).unlink()
    result = finish(begin(top, "true"))
    assert (result.passed, result.status, result.reason) == (False, None, "error")
    assert blob in result.tail
    with pytest.raises(NotFound):
        begin(top, "true", commit="nothing")


DAEMON = """
import sys, time
from datetime import timedelta
from pathlib import Path
from coord.git import gate
from coord.git.repo import Git
top = Path(sys.argv[1])
step = gate.Step("test", sys.argv[2], timedelta(60), top / ".git/log")
running = gate.start(Git(top), "HEAD", (step,), folder=top / ".git/coord/gates")
while running.poll() is None:
    time.sleep(0.005)
"""


def test_a_gate_outliving_its_daemon_is_found_and_killed(top: Path) -> None:
    note, folder = top.parent / "pid", top / ".git/coord/gates"
    command = f'echo $$ >"{note}"; sleep 60'
    with subprocess.Popen([sys.executable, "-c", DAEMON, str(top), command]) as daemon:
        pid = pid_in(note)
        assert gate.leftovers(folder) == ()
        daemon.kill()
    (left,) = gate.leftovers(folder)
    assert left.slot == folder / "0" and alive(pid)
    second = begin(top, "pwd")
    assert str(folder / "1") in finish(second).tail
    left.kill()
    deadline = time.monotonic() + 10
    while alive(pid) or gate.leftovers(folder):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert str(folder / "0") in finish(begin(top, "pwd")).tail


def test_a_pid_used_again_is_no_leftover(top: Path) -> None:
    folder = top / ".git/coord/gates"
    note = top.parent / "pid"
    running = begin(top, f'echo $$ >"{note}"; sleep 60')
    pid_in(note, running)
    (folder / "0/note").write_text(json.dumps({"gate": [running._process.pid, 1.0], "owner": [2**22 + 1, 1.0]}))
    assert gate.leftovers(folder) == ()
    running.stop()
    assert gate.leftovers(folder / "none") == ()


def test_a_sparse_owner_has_full_gates(top: Path) -> None:
    sh(top, "sparse-checkout", "set", "--no-cone", "/a")
    assert "run.sh" in finish(begin(top, "ls")).tail


def test_a_moved_repository_still_has_gates(top: Path) -> None:
    assert finish(begin(top, "true")).passed
    moved = top.rename(top.parent / "moved")
    assert finish(begin(moved, "git status --porcelain && test -e a")).passed
    shutil.rmtree(moved / ".git/coord/gates/0/tree")
    assert finish(begin(moved, "test -e a")).passed


def test_one_that_nobody_has_noted_does_not_begin(top: Path) -> None:
    died = (
        "import os\nfrom pathlib import Path\n"
        "Path.replace = lambda *_: os._exit(9) if str(_[1]).endswith('note') else None\n"
    )
    note = top.parent / "began"
    with subprocess.Popen([sys.executable, "-c", died + DAEMON, str(top), f'touch "{note}"']) as daemon:
        assert daemon.wait() == 9
    begin(top, "true").stop()
    assert not note.exists()


def test_one_that_never_stops_writing_is_ended(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_MOST_OUTPUT", 100_000)
    running = begin(top, "yes")
    result = finish(running)
    assert (result.passed, result.reason) == (False, "flood")
    assert result.tail.startswith("y\n")


def test_steps_run_in_their_order_until_one_fails_each_with_a_log_of_its_own(top: Path) -> None:
    result = finish(steps(top, "echo one; touch x", "test -e x; echo $COORD_STEP", "echo three; exit 3", "echo four"))
    assert (result.passed, result.status, result.step.name, result.tail) == (False, 3, "step 2", "three")
    logs = [(top / f".git/coord/log-{n}").read_text() for n in range(3)]
    assert logs == ["one\n", "step 1\n", "three\n"] and not (top / ".git/coord/log-3").exists()
    assert finish(steps(top, "true", "true")).passed


def test_what_a_step_leaves_behind_is_ended_before_the_next(top: Path) -> None:
    note = top.parent / "pid"
    running = steps(top, f'sleep 60 & echo $! >"{note}"', "while ! test -e ../go; do sleep 0.01; done")
    pid = pid_in(note, running)
    deadline = time.monotonic() + 10
    while running.step.name != "step 1" or alive(pid):
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    (top / ".git/coord/gates/0/go").touch()
    assert finish(running).passed


def test_each_step_has_its_own_time(top: Path) -> None:
    """The second has less time than the first takes, which is none of its business."""
    made = [
        gate.Step(name, f"sleep {takes}", timedelta(seconds=may), top / f".git/log-{name}")
        for name, takes, may in (("long", 3, 30), ("short", 0.3, 3))
    ]
    assert finish(gate.start(Git(top), "HEAD", made, folder=top / ".git/coord/gates")).passed
    result = finish(steps(top, "true", "sleep 60"))
    assert (result.reason, result.step.name) == ("timeout", "step 1")


def test_a_step_may_run_in_a_folder_of_the_commit(top: Path) -> None:
    (top / "app").mkdir()
    (top / "app/inner").write_text("x\n")
    sh(top, "add", "-A")
    sh(top, "commit", "-qm", "app")
    assert finish(steps(top, "ls", cwd="app")).tail == "inner"
    missing = finish(steps(top, "true", cwd="none"))
    assert (missing.passed, missing.reason) == (False, "error") and "none" in missing.tail


def test_where_the_checkout_cannot_begin_nothing_is_tested_and_nothing_passes(top: Path) -> None:
    assert finish(begin(top, "test -e a")).passed
    sh(top, "rm", "-q", "a")
    sh(top, "commit", "-qm", "without")
    running, log = begin(top, "test -e a"), top / ".git/coord/gate.log"
    log.unlink()
    log.mkdir()  # so that what comes after the cleaning has nowhere to complain
    with pytest.raises(IsADirectoryError):
        finish(running)
    log.rmdir()
    found = finish(running)
    assert (found.passed, found.reason, found.status) == (False, "error", None)
    assert not finish(begin(top, "test -e a")).passed
