"""The promises of stores/base.py, kept by every store."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memorystore import MemoryStore

from coord.model.errors import Refused, TimedOut
from coord.model.records import Change
from coord.stores.base import Store
from coord.stores.files import FileStore

FUZZ = settings(derandomize=False, deadline=None, print_blob=True, max_examples=60)
NOT_KEYS = [
    "",
    "/inbox/a.md",
    "inbox//a.md",
    "inbox/",
    "inbox/../a.md",
    "inbox/./a.md",
    "../inbox/a.md",
    "README.md",
    ".git/config",
    "inbox/.git/config",
    "inbox/a/.hidden",
    "inbox/a/.dead",
    "inbox/.dead/.git",
    "Inbox/a.md",
    "inbox/a\0b.md",
    "locks/.dead/a",
]


def file_store(folder: Path) -> Store:
    (folder / "home").mkdir()
    return FileStore(folder / "home", folder / "private")


def memory_store(_folder: Path) -> Store:
    return MemoryStore()


@pytest.fixture(params=[file_store, memory_store], ids=["files", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    made: Store = request.param(tmp_path)
    return made


def put(store: Store, *keys: str, data: bytes = b"x") -> None:
    store.apply([Change(key, data) for key in keys])


def test_an_empty_store_holds_nothing(store: Store) -> None:
    assert store.get("inbox/backend/a.md") is None
    assert list(store.list("")) == list(store.list("inbox")) == list(store.list("inbox/backend")) == []


@pytest.mark.parametrize("data", [b"", b"hello\n", b"\r\n\0\xff", b"x" * 300_000])
def test_what_was_put_is_got_byte_for_byte(store: Store, data: bytes) -> None:
    put(store, "inbox/backend/a.md", data=data)
    found = store.get("inbox/backend/a.md")
    assert found is not None
    assert (found.key, found.data) == ("inbox/backend/a.md", data)


def test_a_removed_record_is_gone_and_removing_it_again_is_harmless(store: Store) -> None:
    put(store, "inbox/backend/a.md", "inbox/backend/b.md")
    for _ in range(2):
        store.apply([Change("inbox/backend/a.md", None), Change("inbox/nobody/a.md", None)])
        assert list(store.list("")) == ["inbox/backend/b.md"]
    assert store.get("inbox/backend/a.md") is None


def test_lists_are_whole_sorted_and_only_of_what_lies_below(store: Store) -> None:
    keys = ["inbox/.dead/x", "inbox/a-b/1.md", "inbox/a.md", "inbox/a/1.md", "inbox/a/read/0.md", "locks/z.yaml"]
    put(store, *reversed(keys))
    assert list(store.list("")) == sorted(keys)
    assert list(store.list("inbox")) == sorted(keys)[:-1]
    assert list(store.list("inbox/a")) == ["inbox/a/1.md", "inbox/a/read/0.md"]
    assert list(store.list("inbox/.dead")) == ["inbox/.dead/x"]
    assert list(store.list("inbox/a.md")) == []
    assert list(store.list("checkpoints")) == []


@pytest.mark.parametrize("key", NOT_KEYS)
def test_what_can_be_no_record_is_refused_before_anything_happens(store: Store, key: str) -> None:
    with pytest.raises(Refused):
        store.get(key)
    for data in (b"x", None):
        with pytest.raises(Refused):
            store.apply([Change("inbox/backend/a.md", b"x"), Change(key, data)], commit=pytest.fail)
    if key:
        with pytest.raises(Refused):
            list(store.list(key))
    assert list(store.list("")) == []


def test_commit_is_called_once_while_nothing_is_visible_yet(store: Store) -> None:
    seen: list[list[str]] = []
    changes = [Change("inbox/a/1.md", b"1"), Change("inbox/b/1.md", b"1")]
    store.apply(changes, commit=lambda: seen.append(list(store.list(""))))
    assert seen == [[]]
    assert list(store.list("")) == ["inbox/a/1.md", "inbox/b/1.md"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_commit_that_raises_leaves_nothing(store: Store, error: type[BaseException]) -> None:
    put(store, "inbox/a/1.md", data=b"old")

    def fail() -> None:
        raise error

    with pytest.raises(error):
        store.apply(
            [Change("inbox/a/1.md", b"new"), Change("inbox/new/2.md", b"2"), Change("inbox/a/1.md", None)], commit=fail
        )
    assert list(store.list("")) == ["inbox/a/1.md"]
    found = store.get("inbox/a/1.md")
    assert found is not None
    assert found.data == b"old"


@FUZZ
@given(
    st.lists(
        st.lists(
            st.builds(
                Change,
                st.sampled_from(["inbox/a/1.md", "inbox/a/2.md", "inbox/b/read/1.md", "locks/x.yaml"]),
                st.none() | st.binary(max_size=20),
            ),
            max_size=4,
        ),
        max_size=5,
    )
)
def test_any_sequence_of_changes_ends_as_in_a_dict_and_may_be_done_twice(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Change]]
) -> None:
    for make in (file_store, memory_store):
        store = make(tmp_path_factory.mktemp("store"))
        expected: dict[str, bytes | None] = {}
        for batch in batches:
            store.apply(batch)
            store.apply(batch)
            expected |= {change.key: change.data for change in batch}
        held = {key: data for key, data in expected.items() if data is not None}
        assert {found.key: found.data for key in store.list("") if (found := store.get(key))} == held


def test_a_watch_hears_of_changes_below_its_prefix_only(store: Store) -> None:
    with (
        store.watch("inbox/a") as near,
        store.watch("inbox") as above,
        store.watch("") as all_,
        store.watch("locks") as far,
    ):
        put(store, "inbox/ab/1.md")
        assert (near.wait(0), above.wait(0), all_.wait(0), far.wait(0)) == (False, True, True, False)
        put(store, "inbox/a/read/1.md")
        assert (near.wait(0), above.wait(0), all_.wait(0), far.wait(0)) == (True, True, True, False)
        store.apply([Change("inbox/a/read/1.md", None)])
        assert near.wait(0)
        assert not near.wait(0)


def test_a_watch_wakes_one_who_waits_when_the_change_can_be_seen(store: Store) -> None:
    with store.watch("inbox") as watch:
        worker = threading.Timer(0.03, put, [store, "inbox/a/1.md"])
        worker.start()
        begun = time.monotonic()
        assert watch.wait(10)
        assert time.monotonic() - begun < 5
        assert list(store.list("inbox")) == ["inbox/a/1.md"]
        worker.join()


def in_threads(work: Callable[[], None], number: int = 4) -> None:
    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_increments_under_the_guard_are_never_lost(store: Store) -> None:
    put(store, "locks/count.yaml", data=b"0")

    def work() -> None:
        for _ in range(15):
            with store.exclusive("count") as guard:
                assert guard.name == "count"
                found = store.get("locks/count.yaml")
                assert found is not None
                put(store, "locks/count.yaml", data=b"%d" % (int(found.data) + 1))

    in_threads(work)
    found = store.get("locks/count.yaml")
    assert found is not None
    assert found.data == b"60"


@pytest.mark.parametrize("name", ["x", "a/../b", "task:01", "ü", "n" * 500, ""])
def test_a_guard_that_is_held_times_out_for_others_and_other_names_are_free(store: Store, name: str) -> None:
    def try_to_enter() -> None:
        with pytest.raises(TimedOut, match="stayed busy"), store.exclusive(name, timeout=0.01):
            pass
        with store.exclusive(f"{name}+", timeout=0):
            pass

    with store.exclusive(name, timeout=0):
        in_threads(try_to_enter, 1)
    with store.exclusive(name, timeout=0):
        pass


def test_a_guard_is_freed_by_an_error_inside(store: Store) -> None:
    with pytest.raises(ValueError, match="oops"), store.exclusive("x"):
        raise ValueError("oops")
    with store.exclusive("x", timeout=0):
        pass
