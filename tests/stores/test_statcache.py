"""What was read is read again where it may be another, and only there."""

import os
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import tiers
from support import eventually

from coord.stores import statcache
from coord.stores.statcache import StatCache

TEXTS = ("one", "two", "six", "three", "seven")


class Reader:
    """Reads files below a folder and counts how often."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.times = 0

    def __call__(self, key: str) -> str | None:
        self.times += 1
        try:
            return (self.home / key).read_text()
        except FileNotFoundError:
            return None


def act(path: Path, rng: random.Random) -> None:
    """Do something to a file: write into it, put another in its place, with the same times, or take it away."""
    text = rng.choice(TEXTS)
    match rng.randrange(4):
        case 0:
            path.unlink(missing_ok=True)
        case 1:
            path.with_suffix(".new").write_text(text)
            path.with_suffix(".new").replace(path)
        case _:
            before = path.stat() if path.exists() else None
            path.write_text(text)
            if before is not None and rng.random() < 0.5:
                os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def play(folder: Path, seed: int, acts: int) -> None:
    rng, read, cache = random.Random(seed), Reader(folder), StatCache[str](str(folder))
    for _ in range(acts):
        if rng.random() < 0.5:
            act(folder / "a", rng)
        assert cache.get("a", read) == Reader(folder)("a")


def test_whatever_happens_to_a_file_what_it_holds_now_is_returned(tmp_path: Path) -> None:
    play(tmp_path, tiers.seed(), tiers.rounds(1_000, 100_000))


@pytest.mark.parametrize("left_out", range(1, 5))
def test_a_look_that_leaves_something_out_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_out: int
) -> None:
    """Inode, size and time of writing can all be the same after a change: only the inode's own time tells."""
    monkeypatch.setattr(statcache, "_is_settled", lambda _found, _looked_at: True)
    monkeypatch.setattr(statcache, "short", lambda *facts: hash(facts[:-left_out]))
    with pytest.raises(AssertionError):
        play(tmp_path, tiers.seed(), 20_000)


def test_what_stays_as_it_is_is_not_read_again(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    read, cache = Reader(tmp_path), StatCache[str](str(tmp_path))

    def settled() -> bool:
        before = read.times
        assert cache.get("a", read) == "one"
        return read.times == before

    eventually(settled, what="believing a file that nobody touches")
    assert settled()
    (tmp_path / "a").write_text("two")
    assert cache.get("a", read) == "two"


def test_where_only_whole_seconds_are_kept_a_file_is_believed_later(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("one")
    found = path.stat()
    times = (*found[:7], 1_000, 1_000, 1_000)
    extra = {"st_mtime": 1_000.0, "st_ctime": 1_000.0, "st_mtime_ns": 1_000 * 10**9, "st_ctime_ns": 1_000 * 10**9}
    whole = os.stat_result(times, extra)
    assert not statcache._is_settled(whole, 1_001.5)
    assert statcache._is_settled(whole, 1_002.5)


def test_what_nobody_can_read_is_not_read_again_either(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    times = 0
    cache = StatCache[str](str(tmp_path))

    def read(_key: str) -> str | None:
        nonlocal times
        times += 1
        return None

    def settled() -> bool:
        before = times
        assert cache.get("a", read) is None
        return times == before

    eventually(settled, what="believing a file that says nothing")


def test_what_is_trusted_is_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    read, cache = Reader(tmp_path), StatCache[str](str(tmp_path))
    assert cache.get("a", read) == "one"
    (tmp_path / "a").write_text("two")
    assert cache.get("a", read, trusted=True) == "one"
    cache.keep(())
    assert cache.get("a", read, trusted=True) == "two"


class Meddled(str):
    """A key that lets another thread go first, once its cache has seen what it knows of it."""

    __slots__ = ("meddle",)
    meddle: Callable[[], None]

    def __format__(self, spec: str) -> str:
        self.meddle()
        return super().__format__(spec)


def test_what_another_thread_finds_meanwhile_is_not_taken_for_what_was_known(tmp_path: Path) -> None:
    path, read, cache = tmp_path / "a", Reader(tmp_path), StatCache[str](str(tmp_path))

    def change(text: str) -> None:
        path.write_text(text)
        eventually(partial(is_known, text), within=10, what="a file that is settled")

    def is_known(text: str) -> bool:
        before = read.times
        return cache.get("a", read) == text and read.times == before

    change("one")
    key = Meddled("a")
    key.meddle = partial(change, "two")
    assert cache.get(key, read) == "two"
