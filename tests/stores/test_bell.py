"""Bells wake those who listen, cost little when nobody does, and survive listeners that die."""

import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from coord.model.errors import Unavailable
from coord.stores.bell import Bells

LISTENER = """
import sys
from pathlib import Path
from coord.stores.bell import Bells
with Bells(Path(sys.argv[1])).listen(sys.argv[2]) as bell:
    print("listening", flush=True)
    while bell.wait(30):
        print("rung", flush=True)
"""


@pytest.fixture
def bells(tmp_path: Path) -> Bells:
    return Bells(tmp_path / "bells")


def fifos(tmp_path: Path) -> list[Path]:
    return [path for path in tmp_path.rglob("*") if path.is_fifo()]


def test_nobody_listens_to_a_bell_nobody_made(bells: Bells, tmp_path: Path) -> None:
    assert bells.ring("keys/inbox/backend") == 0
    assert not (tmp_path / "bells").exists()


def test_a_ring_wakes_the_one_who_waits_and_is_heard_once(bells: Bells) -> None:
    with bells.listen("a") as bell:
        ringer = threading.Timer(0.05, bells.ring, ["a"])
        ringer.start()
        begun = time.monotonic()
        assert bell.wait(10)
        assert time.monotonic() - begun < 5
        ringer.join()
        assert not bell.wait(0)


def test_what_rang_before_the_wait_is_kept_and_many_rings_are_one(bells: Bells) -> None:
    with bells.listen("a") as bell:
        for _ in range(3):
            assert bells.ring("a") == 1
        assert bell.wait(0)
        assert not bell.wait(0)
        bells.ring("a")
        bell.drain()
        assert not bell.wait(0.01)


def test_every_listener_hears_and_only_of_its_own_name(bells: Bells) -> None:
    with bells.listen("a") as one, bells.listen("a") as two, bells.listen("a/b") as other:
        assert bells.ring("a") == 2
        assert (one.wait(0), two.wait(0), other.wait(0)) == (True, True, False)


@pytest.mark.parametrize("name", ["../../escape", "..", "a b", "", ".", "ü\n\x1b[31m", "\udcff", "%2e"])
def test_a_name_is_never_a_path(bells: Bells, tmp_path: Path, name: str) -> None:
    with bells.listen(name) as bell:
        assert bells.ring(name) == 1
        assert bell.wait(0)
        assert [path.parent.parent for path in fifos(tmp_path)] == [tmp_path / "bells"]
    assert fifos(tmp_path) == []


def test_a_bell_can_be_selected_on_and_does_not_spin_when_a_ringer_goes(bells: Bells) -> None:
    with bells.listen("a") as bell:
        assert select.select([bell], [], [], 0)[0] == []
        bells.ring("a")
        assert select.select([bell], [], [], 0)[0] == [bell]
        bell.drain()
        assert select.select([bell], [], [], 0)[0] == []


def test_a_bell_full_of_rings_still_counts_as_rung(bells: Bells) -> None:
    with bells.listen("a") as bell:
        for _ in range(70_000):
            if bells.ring("a") != 1:
                pytest.fail("a full bell was not rung")
        assert bell.wait(0)
        assert not bell.wait(0)


def test_listeners_in_other_processes_wake_and_the_killed_are_forgotten(bells: Bells, tmp_path: Path) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", LISTENER, tmp_path / "bells", "a"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "listening\n"
        assert bells.ring("a") == 2
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "rung\n"
        children[0].send_signal(signal.SIGKILL)
        children[0].wait()
        assert len(fifos(tmp_path)) == 2
        assert bells.ring("a") == 1
        assert len(fifos(tmp_path)) == 1
        children[1].send_signal(signal.SIGINT)
        children[1].wait(timeout=10)
        assert fifos(tmp_path) == []
    finally:
        for child in children:
            child.kill()
            child.communicate()


def test_what_a_listener_left_that_died_halfway_goes_with_the_next(bells: Bells, tmp_path: Path) -> None:
    folder = tmp_path / "bells/a.bell"
    folder.mkdir(parents=True)
    os.mkfifo(folder / ".half")
    (folder / ".note").write_text("somebody's own")
    with bells.listen("a"):
        assert not (folder / ".half").exists()
    assert [path.read_text() for path in folder.iterdir()] == ["somebody's own"]


def test_a_listener_that_is_taken_for_dead_halfway_begins_again(
    bells: Bells, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkfifo, made = os.mkfifo, list[Path]()

    def taken(path: Path, mode: int) -> None:
        mkfifo(path, mode)
        made.append(path)
        if len(made) == 1:
            with Bells(tmp_path / "bells").listen("a"):
                pass

    monkeypatch.setattr(os, "mkfifo", taken)
    with bells.listen("a") as bell:
        assert bells.ring("a") == 1
        assert bell.wait(0)
    assert len(made) == 3
    assert fifos(tmp_path) == []


def test_ringing_never_raises_and_listening_says_why_it_cannot(tmp_path: Path) -> None:
    (tmp_path / "bells").write_text("")
    bells = Bells(tmp_path / "bells")
    assert bells.ring("a") == 0
    with pytest.raises(Unavailable, match="listen"), bells.listen("a"):
        pass
    assert bells.ring("a" * 300) == 0


def test_running_out_of_open_files_removes_nobodys_bell(bells: Bells) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with bells.listen("a") as bell:
        resource.setrlimit(resource.RLIMIT_NOFILE, (bell.fileno() + 2, hard))
        try:
            assert bells.ring("a") == 0
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert bells.ring("a") == 1
        assert bell.wait(0)


def test_what_is_no_listeners_pipe_is_neither_written_nor_removed(bells: Bells, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    with bells.listen("a"):
        planted = next((tmp_path / "bells").iterdir()) / "planted.fifo"
        planted.symlink_to(outside)
        assert bells.ring("a") == 1
        assert planted.is_symlink()
    assert outside.read_text() == "mine"
