"""Whoever waits for a guard says for whom, and what can be done."""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support import eventually

from coord.model.errors import TimedOut
from coord.stores import oslock, patience
from coord.stores.oslock import hold

HOLDER = """
import sys
from pathlib import Path
from coord.stores.oslock import hold
with hold(Path(sys.argv[1]), timeout=None, name="test"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.lock"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_WORD", 0.05)


def holder(path: Path) -> "subprocess.Popen[str]":
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def waiter(path: Path) -> threading.Thread:
    def wait() -> None:
        with hold(path, timeout=None, name="leases"):
            pass

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_stopped_holder_is_named_again_and_again_and_the_way_out_works(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with holder(path) as child:
        child.send_signal(signal.SIGSTOP)
        eventually(lambda: "which is stopped" in oslock._inside(path)[0])
        thread = waiter(path)
        said = ""

        def twice() -> bool:
            nonlocal said
            said += capsys.readouterr().err
            return said.count("\n") >= 2

        eventually(twice, what="two words")
        first = said.splitlines()[0]
        named = f"coord: waiting for the guard 'leases': process {child.pid}, which is stopped, holds it; "
        assert first.startswith(f"{named}resume it with kill -CONT {child.pid}, or end it with kill -KILL {child.pid}")
        os.kill(child.pid, signal.SIGKILL)
        thread.join(timeout=10)
        assert not thread.is_alive()
        with hold(path, timeout=0, name="x") as guard:
            assert not guard.inherited  # the waiter inherited it, and left in good order


def test_a_holder_that_runs_is_named_and_a_wait_that_ends_says_no_more(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with holder(path) as child:
        assert oslock._inside(path)[0] == f"process {child.pid}"
        with (
            pytest.raises(TimedOut, match=f"process {child.pid} holds {re.escape(str(path))}"),
            hold(path, timeout=0, name="x"),
        ):
            pass
        child.communicate("")
    assert oslock._inside(path)[0] == "another process"
    with hold(path, timeout=None, name="x"):
        pass
    assert capsys.readouterr().err == ""
    assert patience._watcher is None or not patience._watcher.waits


@pytest.mark.parametrize("mark", ["", "busy", "busy 00000000xx boot", "busy 0000000001 another-boot", "idle "])
def test_a_mark_that_tells_nothing_names_nobody(path: Path, mark: str) -> None:
    path.write_text(mark)
    assert oslock._inside(path)[0] == "another process"


def test_a_forked_child_speaks_for_itself(path: Path, tmp_path: Path) -> None:
    with holder(path) as child:
        thread = waiter(path)
        eventually(lambda: patience._watcher is not None and patience._watcher.waits, what="waiting")
        words = tmp_path / "words"
        forked = os.fork()
        if forked == 0:
            sys.stderr = words.open("w", buffering=1)
            with hold(path, timeout=None, name="mine"):
                os._exit(0)
        eventually(lambda: words.exists() and "'mine'" in words.read_text(), what="the child's word")
        assert "'leases'" not in words.read_text()
        child.kill()  # the forked one keeps its stdin open
        os.waitpid(forked, 0)
        thread.join(timeout=10)
