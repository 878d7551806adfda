"""Joining packs: what is chosen, what is left alone, what is lost when it is killed: nothing."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import eventually

from coord.git import joining, maintain, others, packs

SOON = 0.1


def sh(cwd: Path, *args: str, stdin: str = "") -> str:
    done = subprocess.run(["git", *args], cwd=cwd, check=True, capture_output=True, text=True, input=stdin)
    return done.stdout.strip()


@pytest.fixture
def top(tmp_path: Path) -> Path:
    made = tmp_path.resolve() / "project"
    sh(tmp_path, "init", "-q", "-b", "main", str(made))
    return made


def folder(top: Path) -> Path:
    return packs.folder_of(top / ".git")


def pack(top: Path, *texts: str) -> Path:
    """Make a pack of texts, of which none is loose."""
    made = [sh(top, "hash-object", "-w", "--stdin", stdin=text) for text in texts]
    name = sh(top, "pack-objects", "-q", ".git/objects/pack/pack", stdin="\n".join(made) + "\n")
    sh(top, "prune-packed", "-q")
    return folder(top) / f"pack-{name}.pack"


def small(top: Path, count: int) -> list[Path]:
    return [pack(top, f"small {number}", f"also small {number}") for number in range(count)]


def objects(top: Path) -> set[str]:
    listed = sh(top, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    return set(listed.split())


def is_loose(top: Path, name: str) -> bool:
    return (top / ".git/objects" / name[:2] / name[2:]).exists()


def assert_sound(top: Path, told: set[str]) -> None:
    assert objects(top) >= told
    sh(top, "fsck", "--strict", "--full")


def assert_tidy(top: Path) -> None:
    left = {file for file in folder(top).iterdir() if not file.name.startswith("tmp_")}
    assert left == {pack.with_suffix(kind) for pack in packs.joinable(top / ".git") for kind in (".pack", ".idx")}
    assert not (top / ".git/objects/joining").exists()


@contextmanager
def stock_taker(top: Path) -> Iterator[None]:
    """A git that lists the packs, and then waits for its input."""
    command = ["git", "pack-objects", "-q", "--stdout"]
    with subprocess.Popen(command, cwd=top, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        eventually(lambda: others.taking_stock(top / ".git"), what="seeing a git that takes stock")
        yield
        process.kill()


def test_what_is_chosen_leaves_each_pack_twice_as_large_as_all_smaller_ones() -> None:
    def chosen(*sizes: int) -> list[int]:
        named = {Path(f"{number}"): size for number, size in enumerate(sizes)}
        return [named[one] for one in joining.choose(named)]

    assert chosen() == []
    assert chosen(100, 40, 10) == [10]
    assert chosen(100, 15, 10) == [10, 15]
    assert chosen(100, 40, 15, 10) == [10, 15, 40, 100]
    assert chosen(1000, 1, 1, 1) == [1, 1, 1]
    tripling = [3**power for power in range(maintain.PACKS + 1)]
    assert chosen(*tripling) == tripling[: maintain.PACKS // 2 + 1]


def test_packs_become_one_and_what_is_loose_stays_so(top: Path) -> None:
    small(top, 5)
    loose = sh(top, "hash-object", "-w", "--stdin", stdin="loose")
    told = objects(top)
    joining.at_once(top / ".git")
    assert len(packs.joinable(top / ".git")) == 1
    assert is_loose(top, loose)
    assert_sound(top, told)
    assert_tidy(top)
    sh(top, "repack", "-a", "-d", "-q")
    assert is_loose(top, loose)


@pytest.mark.parametrize("kind", ["keep", "bitmap", "promisor", "mtimes"])
def test_a_pack_with_anything_beside_it_is_left_alone(top: Path, kind: str) -> None:
    chosen, *_ = small(top, 4)
    beside = chosen.with_suffix(f".{kind}")
    beside.touch()
    joining.at_once(top / ".git")
    assert chosen.exists()
    assert len(packs.joinable(top / ".git")) == 1
    assert beside.exists()


def test_packs_that_a_multi_pack_index_names_are_left_alone(top: Path) -> None:
    named = small(top, 3)
    sh(top, "multi-pack-index", "write")
    told = objects(top)
    assert packs.joinable(top / ".git") == {}
    other = [pack(top, f"other {number}") for number in range(3)]
    joining.at_once(top / ".git")
    assert all(one.exists() for one in named)
    assert not any(one.exists() for one in other)
    sh(top, "multi-pack-index", "verify")
    assert_sound(top, told)


def test_a_multi_pack_index_that_appears_meanwhile_keeps_its_packs(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = small(top, 3)
    monkeypatch.setattr(joining, "sync", lambda _: sh(top, "multi-pack-index", "write"))
    joining.at_once(top / ".git")
    assert all(one.exists() for one in named)
    sh(top, "multi-pack-index", "verify")


@pytest.mark.parametrize("damage", [b"", b"MIDX", b"MIDX\x01\x01\xff\x00\x00\x00\x00\x09" + b"PNAM" * 9])
def test_a_damaged_multi_pack_index_stops_nobody(top: Path, damage: bytes) -> None:
    small(top, 3)
    (folder(top) / "multi-pack-index").write_bytes(damage)
    assert len(packs.joinable(top / ".git")) == 3


def test_indexes_of_the_first_version_are_read(top: Path) -> None:
    sh(top, "config", "pack.indexVersion", "1")
    made = small(top, 3)
    told = objects(top)
    assert {name for one in made for name in packs.names(one)} == told
    joining.at_once(top / ".git")
    assert_sound(top, told)
    assert len(packs.joinable(top / ".git")) == 1


def test_a_repository_with_longer_names(tmp_path: Path) -> None:
    top = tmp_path.resolve() / "longer"
    sh(tmp_path, "init", "-q", "--object-format=sha256", str(top))
    made = small(top, 3)
    sh(top, "hash-object", "-w", "--stdin", stdin="loose")
    told = objects(top)
    assert all(len(name) == 64 for name in packs.names(made[0]))
    joining.at_once(top / ".git")
    assert_sound(top, told)
    assert len(packs.joinable(top / ".git")) == 1


def test_a_partial_clone_fetches_nothing_for_it(top: Path, tmp_path: Path) -> None:
    sh(top, "config", "uploadpack.allowFilter", "true")
    for number in range(3):
        (top / f"file{number}").write_text(f"{number}\n")
        sh(top, "add", ".")
        sh(top, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "more")
    there = tmp_path / "partial"
    sh(tmp_path, "clone", "-q", "--no-checkout", "--filter=tree:0", f"file://{top}", str(there))
    promised = sorted(folder(there).glob("*.promisor"))
    small(there, 3)
    top.rename(tmp_path / "gone")
    joining.at_once(there / ".git")
    assert len(packs.joinable(there / ".git")) == 1
    assert promised
    assert sorted(folder(there).glob("*.promisor")) == promised


def test_a_limit_to_the_size_of_packs_does_not_split_them(top: Path) -> None:
    sh(top, "config", "pack.packSizeLimit", "1m")
    noise = [os.urandom(400_000).hex() for _ in range(4)]
    for text in noise:
        pack(top, text)
    told = objects(top)
    joining.at_once(top / ".git")
    assert_sound(top, told)
    assert len(packs.joinable(top / ".git")) == 1


def test_nothing_begins_while_a_git_takes_stock(top: Path) -> None:
    before = small(top, 4)
    with stock_taker(top):
        joining.at_once(top / ".git", SOON)
        assert sorted(folder(top).glob("*.pack")) == sorted(before)
    assert maintain.lock_of(top / ".git").read_bytes() == b""
    joining.at_once(top / ".git")
    assert not any(one.exists() for one in before)


def test_nothing_goes_while_a_git_takes_stock(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = small(top, 4)
    told, owner = objects(top), stock_taker(top)
    monkeypatch.setattr(joining, "sync", lambda _: owner.__enter__())
    joining.at_once(top / ".git", SOON)
    assert all(one.exists() for one in before)
    assert_tidy(top)
    owner.__exit__(None, None, None)
    monkeypatch.undo()
    joining.at_once(top / ".git")
    assert len(packs.joinable(top / ".git")) == 1
    assert_sound(top, told)


def test_who_comes_at_the_last_moment_finds_the_packs_where_they_were(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = small(top, 4)
    seen: list[bool] = []

    def look(common: Path) -> bool:
        seen.append(all(one.exists() for one in before))
        return not all(seen)  # somebody came while packs were out of sight

    monkeypatch.setattr(others, "taking_stock", look)
    joining.at_once(top / ".git", SOON)
    assert seen.count(False) == 1
    assert all(one.exists() for one in before)
    assert_tidy(top)


def test_a_writer_waits_for_no_join_that_waits_for_others(top: Path) -> None:
    small(top, 3)
    common, now = top / ".git", []

    def settled() -> bool:
        return maintain.is_joining(common) and maintain.lock_of(common).read_bytes() == maintain.WAITING

    with stock_taker(top):
        assert maintain.join_in_background(common)
        eventually(settled, what="waiting")
        now.append(len(packs.joinable(common)))
    eventually(lambda: not maintain.is_joining(common), what="joining")
    assert now == [3]
    assert len(packs.joinable(common)) == 1


def test_a_join_that_fails_is_not_tried_again_at_once(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintain, "PACKS", 2)
    common = top / ".git"
    broken = small(top, 3)[0]
    broken.chmod(0o644)
    broken.write_bytes(bytes(broken.stat().st_size))
    maintain.tend(common)
    eventually(lambda: maintain.lock_of(common).read_bytes() == maintain.FAILED, what="failing")
    eventually(lambda: not maintain.is_joining(common), what="ending")
    maintain.tend(common)
    assert not maintain.is_joining(common)
    assert_tidy(top)
    os.utime(maintain.lock_of(common), (1000, 1000))
    maintain.tend(common)
    assert maintain.is_joining(common)
    eventually(lambda: not maintain.is_joining(common), what="ending")


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
