"""Joining packs beside a gc, or killed anywhere, loses nothing."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from packing import assert_sound, assert_tidy, is_loose, objects, pack, sh, small
from support import eventually

from coord.git import joining, others, packs


@pytest.fixture
def top(tmp_path: Path) -> Path:
    made = tmp_path.resolve() / "project"
    sh(tmp_path, "init", "-q", "-b", "main", str(made))
    return made


@pytest.mark.parametrize("mutant", [False, True])
def test_what_a_gc_has_just_unpacked_stays(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mutant: bool
) -> None:
    """An owner's repack that coord cannot see is stopped after it unpacked what nobody refers to; next it deletes packs."""
    pack(top, os.urandom(100_000).hex(), "added and not committed yet")
    small(top, 3)
    told, remove = objects(top), joining._remove
    monkeypatch.setattr(others, "taking_stock", lambda _: False)

    def pruning(common: Path, old: Sequence[Path]) -> bool:
        sh(common, "prune-packed", "-q")
        return remove(common, old)

    if mutant:
        monkeypatch.setattr(joining, "_remove", pruning)
    with stopped_repack(top, tmp_path):
        assert all(is_loose(top, one) for one in told)
        joining.at_once(top / ".git")
    if mutant:
        assert told - objects(top)
    else:
        assert_sound(top, told)
        assert_tidy(top)


def test_a_gc_that_begins_meanwhile_loses_nothing(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack(top, os.urandom(100_000).hex(), "added and not committed yet")
    small(top, 3)
    told, owner = objects(top), stopped_repack(top, tmp_path)
    monkeypatch.setattr(others, "taking_stock", lambda _: False)
    monkeypatch.setattr(joining, "sync", lambda _: owner.__enter__())
    joining.at_once(top / ".git")
    owner.__exit__(None, None, None)
    assert_sound(top, told)
    assert_tidy(top)


@contextmanager
def stopped_repack(top: Path, tmp_path: Path) -> Iterator[None]:
    gate, slow = tmp_path / "gate", tmp_path / "bin" / "git"
    slow.parent.mkdir()
    real = shutil.which("git")
    slow.write_text(
        f'#!/bin/sh\n"{real}" "$@" || exit\n'
        f'case "$*" in *pack-objects*) touch {gate}.in; while [ ! -e {gate} ]; do sleep 0.02; done ;; esac\n'
    )
    slow.chmod(0o755)
    path = sh(top, "--exec-path")
    environment = {
        **os.environ,
        "GIT_EXEC_PATH": str(slow.parent),
        "PATH": f"{slow.parent}:{path}:{os.environ['PATH']}",
    }
    command = [str(real), "repack", "-A", "-d", "-q"]
    with subprocess.Popen(command, cwd=top, env=environment, stderr=subprocess.PIPE) as process:
        try:
            eventually(Path(f"{gate}.in").exists, what="unpacking")
            yield
        finally:
            gate.touch()
        said = process.communicate()[1]
    assert (process.returncode, said) == (0, b"")


def killed_at(top: Path, point: int) -> bool:
    """Join in a process that dies before the POINT-th change to the folder of packs; tell whether it died."""
    child = os.fork()
    if child == 0:
        count = [0]

        def counted(real: Callable[..., object]) -> Callable[..., object]:
            def operation(*args: object, **kwargs: object) -> object:
                count[0] += 1
                if count[0] == point:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **kwargs)

            return operation

        for name in ("mkdir", "rename", "unlink"):
            setattr(Path, name, counted(getattr(Path, name)))
        try:
            joining.at_once(top / ".git")
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


def test_killed_anywhere_it_loses_nothing_and_the_next_one_clears_up(top: Path) -> None:
    told, point, died = set[str](), 1, True
    while died:
        small_ones = [pack(top, f"{point} {number}") for number in range(3)]
        loose = sh(top, "hash-object", "-w", "--stdin", stdin=f"loose {point}")
        told |= {loose, *(name for one in small_ones for name in packs.names(one))}
        died = killed_at(top, point)
        assert told <= objects(top)
        point += 1
        if point % 5 == 0 or not died:
            joining.at_once(top / ".git")
            assert_tidy(top)
            assert_sound(top, told)
    assert point > 20


def test_a_join_that_was_cut_short_is_finished_by_the_next(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(top, 3)
    told = objects(top)
    monkeypatch.setattr(joining, "_remove", lambda *_: True)
    joining.at_once(top / ".git")
    assert len(packs.joinable(top / ".git")) == 4
    monkeypatch.undo()
    joining.at_once(top / ".git")
    assert len(packs.joinable(top / ".git")) == 1
    assert_sound(top, told)
    assert_tidy(top)
