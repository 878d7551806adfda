"""Joining packs: what is chosen, what is left alone, and when it waits."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from packing import assert_sound, assert_tidy, folder, is_loose, objects, pack, sh, small
from support import eventually

from coord.git import joining, maintain, others, packs

SOON = 0.1


@pytest.fixture
def top(tmp_path: Path) -> Path:
    made = tmp_path.resolve() / "project"
    sh(tmp_path, "init", "-q", "-b", "main", str(made))
    return made


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


@pytest.mark.parametrize("name", ["a:b", 'a"b', "a\\b", "a b", "a\nb", '"a"'])
def test_any_name_of_a_folder_will_do(tmp_path: Path, name: str) -> None:
    top = tmp_path.resolve() / name
    top.mkdir()
    sh(top, "init", "-q")
    small(top, 3)
    told = objects(top)
    joining.at_once(top / ".git")
    assert len(packs.joinable(top / ".git")) == 1
    assert_sound(top, told)


def test_nothing_half_written_is_where_others_look(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(top, 3)
    before, seen = set((top / ".git/objects").rglob("*")), list[set[Path]]()
    names = packs.names

    def looking(one: Path) -> list[str]:
        if one.parent != folder(top):
            seen.append(set((top / ".git/objects").rglob("*")))
        return names(one)

    monkeypatch.setattr(packs, "names", looking)
    joining.at_once(top / ".git")
    assert seen == [before]


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
