"""Locks exclude and outlive nobody; the living and the dead are told apart without guessing."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from coord.model.errors import TimedOut, Unavailable
from coord.model.records import Process
from coord.stores import oslock
from coord.stores.oslock import Processes, hold, singleton

HOLDER = """
import sys, time
from pathlib import Path
from coord.stores.oslock import hold, singleton
kind, path = sys.argv[1:]
if kind == "singleton":
    lock = singleton(Path(path))
    print("held" if lock else "busy", flush=True)
    sys.stdin.read()
else:
    with hold(Path(path), timeout=None, name="test"):
        print("held", flush=True)
        sys.stdin.read()
"""
COUNTER = """
import sys
from pathlib import Path
from coord.stores.oslock import hold
lock, number = Path(sys.argv[1]), Path(sys.argv[2])
for _ in range(int(sys.argv[3])):
    with hold(lock, timeout=None, name="count"):
        number.write_text(str(int(number.read_text()) + 1))
"""


def start(code: str, *words: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def line(child: "subprocess.Popen[str]") -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def eventually(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def finish(child: "subprocess.Popen[str]") -> None:
    child.kill()
    child.communicate()


@pytest.mark.parametrize("kind", ["hold", "singleton"])
def test_both_kinds_of_lock_exclude_each_other_until_the_holder_is_killed(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.lock"
    child = start(HOLDER, kind, path)
    try:
        assert line(child) == "held"
        assert singleton(path) is None
        with pytest.raises(TimedOut) as caught, hold(path, timeout=0.03, name="the count"):
            pass
        assert "the count" in caught.value.message
        assert str(path) in caught.value.message
        child.send_signal(signal.SIGKILL)
        with hold(path, timeout=10, name="x") as guard:
            assert guard.name == "x"
            assert singleton(path) is None
        lock = singleton(path)
        assert lock is not None
        with lock, pytest.raises(TimedOut), hold(path, timeout=0, name="x"):
            pass
        with hold(path, timeout=0, name="x"):
            pass
        assert path.exists()
    finally:
        finish(child)


def test_no_count_is_lost_among_processes(tmp_path: Path) -> None:
    number = tmp_path / "number"
    number.write_text("0")
    children = [start(COUNTER, tmp_path / "a.lock", number, 300) for _ in range(4)]
    assert [child.wait(timeout=60) for child in children] == [0] * 4
    for child in children:
        child.communicate()
    assert number.read_text() == "1200"


def test_threads_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(100):
            with hold(tmp_path / "a.lock", timeout=10, name="x"):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}
    assert len(most) == 400


def test_a_lock_file_that_was_removed_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    child = start(HOLDER, "hold", path)
    try:
        assert line(child) == "held"
        waiter = start(HOLDER, "hold", path)
        try:
            eventually(lambda: has_open(waiter.pid, path))
            path.unlink()
            child.communicate("")
            assert line(waiter) == "held"
            with pytest.raises(TimedOut), hold(path, timeout=0, name="x"):
                pass
        finally:
            finish(waiter)
    finally:
        finish(child)


def has_open(pid: int, path: Path) -> bool:
    return any(Path(file.path).name == path.name for file in psutil.Process(pid).open_files())


def test_neither_lock_is_inherited_by_a_program_that_is_started(tmp_path: Path) -> None:
    with hold(tmp_path / "a.lock", timeout=0, name="x"):
        lock = singleton(tmp_path / "b.lock")
        assert lock is not None
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        lock.release()
        lock.release()
        with hold(tmp_path / "a.lock", timeout=0, name="x"), hold(tmp_path / "b.lock", timeout=0, name="y"):
            pass
    finally:
        child.kill()
        child.wait()


def test_a_forked_child_neither_keeps_nor_frees_its_parents_lock(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    told, tell = os.pipe()
    held = hold(path, timeout=0, name="x")
    held.__enter__()
    leaves = os.fork()
    if leaves == 0:
        held.__exit__(None, None, None)
        os._exit(0)
    os.waitpid(leaves, 0)
    assert singleton(path) is None
    stays = os.fork()
    if stays == 0:
        os.close(tell)
        os.read(told, 1)  # until the parent lets go
        os._exit(0)
    held.__exit__(None, None, None)
    with hold(path, timeout=0, name="x"):
        pass
    os.close(tell)
    os.waitpid(stays, 0)
    os.close(told)


def test_a_folder_in_a_lock_files_place_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=re.escape(str(tmp_path))), hold(tmp_path, timeout=0, name="x"):
        pass
    with pytest.raises(Unavailable, match=re.escape(str(tmp_path))):
        singleton(tmp_path)


# ---- processes ----


def no_proc(tmp_path: Path) -> Processes:
    return Processes(tmp_path / "no-proc")


@pytest.fixture(params=["of this system", "of psutil"])
def processes(request: pytest.FixtureRequest, tmp_path: Path) -> Processes:
    return Processes() if request.param == "of this system" else no_proc(tmp_path)


def named(processes: Processes, pid: int) -> Process:
    """Return what PID would call itself."""
    mine = processes.me()
    seen = processes._seen(pid, mine.boot)
    assert seen is not None
    return Process(pid=pid, started_at=f"{seen[0]:.2f}", boot=mine.boot)


def altered(process: Process, **fields: str | int) -> Process:
    values: dict[str, str | int] = {"pid": process.pid, "started_at": process.started_at, "boot": process.boot}
    values |= fields
    return Process(pid=int(values["pid"]), started_at=str(values["started_at"]), boot=str(values["boot"]))


def test_i_am_alive_and_my_name_does_not_change(processes: Processes) -> None:
    assert processes.me().pid == os.getpid()
    assert processes.me() is processes.me()
    assert processes.is_alive(processes.me()) is True


def test_a_child_is_alive_then_a_zombie_then_gone(processes: Processes) -> None:
    child = subprocess.Popen(["sleep", "60"])
    name = named(processes, child.pid)
    assert processes.is_alive(name) is True
    child.kill()
    eventually(lambda: processes.is_alive(name) is False)
    assert Path(f"/proc/{child.pid}").exists() or not Path("/proc").exists()  # a zombie still
    child.wait()
    assert processes.is_alive(name) is False


def test_a_pid_that_was_given_to_another_process_is_dead(processes: Processes) -> None:
    mine = processes.me()
    earlier = altered(mine, started_at=f"{float(mine.started_at) - 30:.2f}")
    assert processes.is_alive(earlier) is False


@pytest.mark.parametrize("started_at", ["", "yesterday", "nan", "inf", "-1", "1e9", "2026-11-22T12:00:00Z"])
def test_a_start_time_that_says_nothing_leaves_a_running_pid_in_doubt(processes: Processes, started_at: str) -> None:
    assert processes.is_alive(altered(processes.me(), started_at=started_at)) is None


@pytest.mark.parametrize("pid", [0, -1, -4711, 10**30])
def test_a_pid_that_cannot_be_is_in_doubt(processes: Processes, pid: int) -> None:
    assert processes.is_alive(altered(processes.me(), pid=pid)) is None


def test_other_namespaces_and_machines_are_in_doubt_and_earlier_boots_are_dead() -> None:
    processes = Processes()
    mine = processes.me()
    boot, namespace, machine = mine.boot.split("/")
    for elsewhere in ("", "x", f"{boot}/1/{machine}", f"{boot}/{namespace}/other", f"other/{namespace}/other", "-/-/-"):
        assert processes.is_alive(altered(mine, boot=elsewhere, pid=2**22)) is None
    rebooted = processes.is_alive(altered(mine, boot=f"other/{namespace}/{machine}"))
    assert rebooted is (False if boot != "-" else None)


def test_the_two_ways_of_asking_the_system_agree(tmp_path: Path) -> None:
    if not Path("/proc/self/stat").exists():
        pytest.skip("this system has only one of the two")
    direct, through_psutil = Processes().me(), no_proc(tmp_path).me()
    assert float(direct.started_at) + psutil.boot_time() == pytest.approx(float(through_psutil.started_at), abs=0.02)
    assert direct.boot.split("/")[2] == through_psutil.boot.split("/")[2]
    assert through_psutil.boot.startswith("-/-/")


def test_setting_the_clock_kills_nobody_where_start_times_follow_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = no_proc(tmp_path)
    child = subprocess.Popen(["sleep", "60"])
    try:
        name = named(processes, child.pid)
        processes.me()
        true_time = psutil.Process.create_time
        monkeypatch.setattr(psutil.Process, "create_time", lambda self: true_time(self) + 3600)
        assert processes.is_alive(name) is True
        assert processes.is_alive(altered(name, started_at=f"{float(name.started_at) - 30:.2f}")) is False
    finally:
        child.kill()
        child.wait()


def test_a_proc_of_another_namespace_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("591187be\n")
    (tmp_path / "self").symlink_to("1")
    processes = Processes(tmp_path)
    assert processes.me() == Process(pid=os.getpid(), started_at="", boot="")
    assert processes.is_alive(processes.me()) is None


def test_a_forked_child_has_a_name_of_its_own() -> None:
    mine = oslock.me()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, f"{oslock.me().pid} {oslock.is_alive(mine)} {oslock.is_alive(oslock.me())}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    told = os.read(reading, 100).decode()
    os.close(reading)
    os.close(writing)
    assert told == f"{child} True True"
