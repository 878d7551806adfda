"""Each way of syncing runs here, whatever the system: the capability is an argument."""

import errno
import fcntl
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from coord.model.errors import Unavailable
from coord.stores import durable

REFUSED_HERE = 0x7FFF
HARMLESS = fcntl.F_GETFD


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_where_there_is_a_full_sync_it_is_used_instead_of_fsync(pipe: tuple[int, int]) -> None:
    durable.sync_file(pipe[1], full_sync=HARMLESS)  # fsync refuses a pipe
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        durable.sync_file(pipe[1], full_sync=None)


def test_a_file_system_that_refuses_the_full_sync_gets_an_fsync(tmp_path: Path, pipe: tuple[int, int]) -> None:
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        durable.sync_file(pipe[1], full_sync=REFUSED_HERE)
    with open(tmp_path / "a", "wb") as file:
        durable.sync_file(file.fileno(), full_sync=REFUSED_HERE)


def test_data_is_synced_by_the_best_there_is(tmp_path: Path) -> None:
    called: list[int] = []
    with open(tmp_path / "a", "wb") as file:
        durable.sync_data(file.fileno(), data_sync=called.append)
        assert called == [file.fileno()]
        durable.sync_data(file.fileno(), data_sync=None)
        durable.sync_data(file.fileno())
    durable.sync_folder(tmp_path)


def test_folders_are_made_down_to_the_last_and_found_again(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "c"
    durable.make_folder(deep)
    durable.make_folder(deep)
    assert deep.is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        durable.make_folder(tmp_path / "file")


def test_replacing_leaves_the_old_bytes_when_there_is_no_room(tmp_path: Path) -> None:
    path = tmp_path / "private" / "state.json"
    path.parent.mkdir()
    durable.replace(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(Unavailable, match="write the state") as caught, durable.faults("write the state"):
            durable.replace(path, b"x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "ulimit -f" in caught.value.hint
    assert path.read_bytes() == b"old"
    durable.replace(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["state.json"]


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "disk space"), (errno.EMFILE, "ulimit -n"), (errno.EROFS, "read-only"), (errno.EXDEV, "cause")],
)
def test_a_fault_says_what_was_being_done_and_what_to_do_next(number: int, words: str) -> None:
    with pytest.raises(Unavailable, match="cannot open the moon") as caught, durable.faults("open the moon"):
        raise OSError(number, os.strerror(number))
    assert words in caught.value.hint
    assert os.strerror(number) in caught.value.message
    assert caught.value.facts == {"errno": number}
