import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from coord.git import history, joining, maintain
from coord.git.ledger import REF, Ledger
from coord.git.repo import Git
from coord.model import ids
from coord.model.records import Change, Event

NOW = datetime(2026, 11, 22, 12, 3, 11, tzinfo=UTC)


def sh(cwd: Path, *args: str) -> str:
    return subprocess.run(["git", *args], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def top(tmp_path: Path) -> Path:
    made = tmp_path.resolve() / "project"
    sh(tmp_path, "init", "-q", "-b", "main", str(made))
    return made


@pytest.fixture(autouse=True)
def _on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repack when a test says so, not when the ledger finds it time."""
    monkeypatch.setattr(maintain, "tend", lambda *_: None)


tend = maintain.tend


def fill(top: Path, count: int) -> set[str]:
    book, told = Ledger(Git(top)), set()
    for number in range(count):
        identifier = ids.ulid(NOW, os.urandom(10))
        changes = (Change(f"inbox/a/{identifier}-x.md", b"%d" % number),)
        one = Event(id=identifier, kind="mail.sent", agent="a", subject="x", at=NOW, changes=changes)
        book.append([one], parent=book.tip(), now=NOW)
        told.add(identifier)
    return told


def packs(top: Path) -> int:
    return len(list((top / ".git/objects/pack").glob("*.pack")))


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_many_packs_become_few_and_nothing_is_lost(top: Path) -> None:
    told = fill(top, maintain.PACKS)
    common = top / ".git"
    assert not maintain.needs_repack(common)
    told |= fill(top, 1)
    assert maintain.needs_repack(common)
    joining.at_once(top / ".git")
    assert packs(top) < 5
    assert not maintain.needs_repack(common)
    joining.at_once(top / ".git")
    told |= fill(top, 8)
    joining.at_once(top / ".git")
    assert packs(top) < 8
    assert history.ids_in(Git(top), None, REF) == told
    sh(top, "fsck", "--strict", "--full")


def test_the_users_git_does_not_stop_to_collect_garbage(top: Path) -> None:
    fill(top, maintain.PACKS)
    said = subprocess.run(["git", "gc", "--auto"], cwd=top, capture_output=True, text=True, check=True)
    assert said.stderr == ""
    assert packs(top) == maintain.PACKS


def test_packs_that_stay_are_not_counted(top: Path) -> None:
    fill(top, maintain.PACKS + 5)
    kept = sorted((top / ".git/objects/pack").glob("*.pack"))[:10]
    for pack in kept:
        pack.with_suffix(".keep").touch()
    assert not maintain.needs_repack(top / ".git")
    joining.at_once(top / ".git")
    assert all(pack.exists() for pack in kept)
    assert packs(top) < 15


def test_a_new_repository_needs_nothing(top: Path) -> None:
    assert not maintain.needs_repack(top / ".git")
    joining.at_once(top / ".git")


def test_in_the_background_only_one_runs_and_nobody_waits(top: Path) -> None:
    fill(top, 12)
    common = top / ".git"
    lock = maintain.lock_of(common)
    lock.parent.mkdir(parents=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert not maintain.join_in_background(common)
        assert packs(top) == 12
    assert maintain.join_in_background(common)
    until(lambda: packs(top) < 3)
    until(lambda: maintain.join_in_background(common))
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)


def test_the_lock_lives_as_long_as_the_child_and_not_its_parent(top: Path, tmp_path: Path) -> None:
    fill(top, 3)
    gate, slow = tmp_path / "gate", tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text(f"#!/bin/sh\ntouch {gate}.in\nwhile [ ! -e {gate} ]; do sleep 0.02; done\n")
    slow.chmod(0o755)
    code = (
        "from pathlib import Path; from coord.git import maintain;"
        f"assert maintain.join_in_background(Path({str(top / '.git')!r}))"
    )
    environment = {**os.environ, "PATH": f"{slow.parent}:{os.environ['PATH']}"}
    began = time.monotonic()
    subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, check=True, capture_output=True)
    assert time.monotonic() - began < 10
    try:
        until(Path(f"{gate}.in").exists)
        assert not maintain.join_in_background(top / ".git")
    finally:
        gate.touch()
    until(lambda: maintain.join_in_background(top / ".git"))


def test_sweep_takes_only_what_killed_imports_left(top: Path) -> None:
    fill(top, 3)
    common, pack = top / ".git", top / ".git/objects/pack"
    names = [file.with_suffix(".keep") for file in sorted(pack.glob("*.pack"))]
    names[0].write_text("fast-import")
    names[1].write_text("kept by its owner\n")
    crash = common / "fast_import_crash_4711"
    crash.touch()
    for file in (*names[:2], crash):
        os.utime(file, (1000, 1000))
    names[2].write_text("fast-import")
    assert maintain.sweep(common, before=2000.0) == 2
    assert [name.exists() for name in names] == [False, True, True]
    assert not crash.exists()
    assert maintain.sweep(common, before=2000.0) == 0


def test_half_written_packs_go_when_nobody_can_be_at_them(top: Path) -> None:
    pack = top / ".git/objects/pack"
    halves = [pack / name for name in ("tmp_pack_a1B2c3", "tmp_idx_x", ".tmp-4711-pack-00ff.pack")]
    for half in halves:
        half.touch()
        os.utime(half, (200_000, 200_000))
    assert maintain.sweep(top / ".git", before=200_000 + 86_400.0) == 0
    assert maintain.sweep(top / ".git", before=200_001 + 86_400.0) == 3
    assert not any(half.exists() for half in halves)


def test_the_ledger_keeps_its_own_packs_few(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintain, "tend", tend)
    most, told = 0, set()
    for _ in range(120):
        told |= fill(top, 1)
        most = max(most, packs(top))
    assert most <= maintain.CROWDED
    until(lambda: maintain.join_in_background(top / ".git"))
    assert history.ids_in(Git(top), None, REF) == told


def test_a_crowd_of_packs_waits_for_the_repack_but_not_for_ever(top: Path) -> None:
    fill(top, maintain.CROWDED)
    common = top / ".git"
    began = time.monotonic()
    maintain.make_room(common, limit=30)
    maintain.lock_of(common).parent.mkdir(parents=True, exist_ok=True)
    with maintain.lock_of(common).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert time.monotonic() - began < 30
        began = time.monotonic()
        maintain.make_room(common, limit=0.2)
        assert time.monotonic() - began >= 0.2


def test_tending_never_fails(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(top, maintain.PACKS + 1)
    (top / ".git/coord").write_text("in the way")
    tend(top / ".git")
    assert packs(top) == maintain.PACKS + 1
