"""What only the file store can get wrong: planted links, full disks, killed writers."""

import os
import random
import re
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coord.model.errors import Corrupt, Unavailable
from coord.model.records import Change
from coord.stores.files import FileStore

WRITER = """
import sys
from pathlib import Path
from coord.model.records import Change
from coord.stores.files import FileStore
store, me = FileStore(Path(sys.argv[1]), Path(sys.argv[2])), sys.argv[3]
for number in range(1_000_000):
    body = (f"{me} {number} " * 200).encode()
    store.apply(
        [Change(f"inbox/{box}/{me}-{number:07}.md", body) for box in ("one", "two")]
        + [Change(f"inbox/one/{me}-{number - 5:07}.md", None), Change(f"locks/{me}.yaml", body)]
    )
    print(number, flush=True)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def private(tmp_path: Path) -> Path:
    return tmp_path / "private"


@pytest.fixture
def store(home: Path, private: Path) -> FileStore:
    return FileStore(home, private)


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@contextmanager
def limited(kind: int, soft: int) -> Iterator[None]:
    before, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (before, hard))


# ---- planted things ----


def test_a_link_in_a_records_place_is_neither_read_nor_written_through(store: FileStore, home: Path) -> None:
    outside = home.parent / "passwd"
    outside.write_text("root")
    (home / "inbox/backend").mkdir(parents=True)
    planted = home / "inbox/backend/x.md"
    planted.symlink_to(outside)
    assert list(store.list("")) == []
    assert store.get("inbox/backend/x.md") is None
    store.apply([Change("inbox/backend/x.md", b"mail")])
    assert outside.read_text() == "root"
    assert not planted.is_symlink()
    assert planted.read_bytes() == b"mail"
    planted.unlink()
    planted.symlink_to(outside)
    store.apply([Change("inbox/backend/x.md", None)])
    assert outside.exists()
    assert not planted.is_symlink()


@pytest.mark.parametrize("key", ["inbox/backend/x.md", "inbox/backend/read/x.md", "inbox/x.md"])
def test_a_link_in_a_folders_place_is_refused_before_the_commit(store: FileStore, home: Path, key: str) -> None:
    outside = home.parent / "outside"
    (outside / "read").mkdir(parents=True)
    (outside / "x.md").write_text("private")
    (outside / "read/x.md").write_text("private")
    planted = home / "inbox" if key == "inbox/x.md" else home / "inbox/backend"
    planted.parent.mkdir(exist_ok=True)
    planted.symlink_to(outside)
    assert list(store.list("")) == list(store.list("inbox/backend")) == []
    with pytest.raises(Corrupt, match=re.escape(str(planted))) as caught:
        store.get(key)
    assert caught.value.hint
    for data in (b"mail", None):
        with pytest.raises(Corrupt):
            store.apply([Change("locks/new.yaml", b"1"), Change(key, data)], commit=pytest.fail)
    assert files_in(outside) == ["read/x.md", "x.md"]
    assert (outside / "x.md").read_text() == "private"
    assert not (home / "locks").exists()


def test_pipes_folders_and_files_in_the_wrong_place_hang_nobody(store: FileStore, home: Path) -> None:
    (home / "inbox/backend").mkdir(parents=True)
    os.mkfifo(home / "inbox/backend/pipe.md")
    (home / "inbox/backend/folder.md").mkdir()
    (home / "inbox/file").write_text("stray")
    assert store.get("inbox/backend/pipe.md") is None
    assert store.get("inbox/backend/folder.md") is None
    with pytest.raises(Corrupt):
        store.get("inbox/file/x.md")
    assert list(store.list("inbox")) == ["inbox/file"]
    with pytest.raises(Corrupt, match=r"folder\.md is a folder"):
        store.apply([Change("inbox/backend/folder.md", b"x")], commit=pytest.fail)
    with pytest.raises(Corrupt):
        store.apply([Change("inbox/file/x.md", b"x")], commit=pytest.fail)
    store.apply([Change("inbox/backend/pipe.md", b"x")])
    assert (home / "inbox/backend/pipe.md").read_bytes() == b"x"


def test_what_editors_and_git_leave_about_is_not_listed(store: FileStore, home: Path) -> None:
    for name in (
        "inbox/a/.x.md.swp",
        "inbox/a/.git/config",
        "inbox/.tmp/x",
        "inbox/.dead/y",
        "inbox/a/ok.md",
        "other/z",
    ):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("")
    assert list(store.list("")) == ["inbox/.dead/y", "inbox/a/ok.md"]


def test_names_that_are_no_text_are_found_read_and_removed(store: FileStore, home: Path) -> None:
    (home / "inbox/a").mkdir(parents=True)
    try:
        (home / os.fsdecode(b"inbox/a/\xff\n.md")).write_text("hi")
    except OSError:
        pytest.skip("this file system only takes UTF-8 names")
    [key] = store.list("inbox")
    found = store.get(key)
    assert found is not None
    assert found.data == b"hi"
    store.apply([Change(key, None)])
    assert list(store.list("")) == []


# ---- what is written ----


def test_files_are_readable_and_nothing_else_is_left(store: FileStore, home: Path, private: Path) -> None:
    store.apply([Change("inbox/a/1.md", b"1"), Change("inbox/a/1.md", b"2"), Change("inbox/b/1.md", None)])
    assert stat.S_IMODE((home / "inbox/a/1.md").stat().st_mode) == 0o644 & ~_umask()
    assert (home / "inbox/a/1.md").read_bytes() == b"2"
    assert files_in(home) == ["inbox/a/1.md"]
    assert files_in(private) == []


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_folder_that_is_made_for_nothing_is_taken_back(store: FileStore, home: Path) -> None:
    (home / "inbox").mkdir()

    def fail() -> None:
        (home / "inbox/other").mkdir()  # somebody else's, meanwhile
        raise ValueError

    with pytest.raises(ValueError):
        store.apply([Change("inbox/new/read/1.md", b"x"), Change("locks/1.yaml", b"x")], commit=fail)
    assert os.listdir(home) == ["inbox"]
    assert os.listdir(home / "inbox") == ["other"]


def test_a_folder_or_a_staged_file_that_is_taken_away_meanwhile_is_made_again(
    store: FileStore, home: Path, private: Path
) -> None:
    def clear() -> None:
        (home / "inbox/new").rmdir()
        for leftover in (private / "tmp").iterdir():
            leftover.unlink()
        (private / "tmp").rmdir()

    store.apply([Change("inbox/new/1.md", b"x")], commit=clear)
    assert (home / "inbox/new/1.md").read_bytes() == b"x"


def test_a_private_folder_on_another_file_system_works_too(home: Path) -> None:
    shared_memory = Path("/dev/shm")
    if not shared_memory.is_dir() or shared_memory.stat().st_dev == home.stat().st_dev:
        pytest.skip("no second file system here")
    with tempfile.TemporaryDirectory(dir=shared_memory) as elsewhere:
        store = FileStore(home, Path(elsewhere))
        store.apply([Change("inbox/a/1.md", b"1"), Change("inbox/a/2.md", b"2")])
        store.apply([Change("inbox/a/1.md", b"one"), Change("inbox/a/2.md", None)])
        assert files_in(home) == ["inbox/a/1.md"]
        assert (home / "inbox/a/1.md").read_bytes() == b"one"
        assert files_in(Path(elsewhere)) == []


# ---- no room, no right ----


def test_no_room_leaves_all_as_it_was(store: FileStore, home: Path, private: Path) -> None:
    store.apply([Change("inbox/a/1.md", b"old")])
    with limited(resource.RLIMIT_FSIZE, 1000), pytest.raises(Unavailable, match=r"inbox/b/2\.md") as caught:
        store.apply(
            [Change("inbox/a/1.md", b"new"), Change("inbox/b/2.md", b"x" * 2000)],
            commit=pytest.fail,
        )
    assert caught.value.hint
    assert files_in(home) == ["inbox/a/1.md"]
    assert (home / "inbox/a/1.md").read_bytes() == b"old"
    assert not (home / "inbox/b").exists()
    assert files_in(private) == []
    store.apply([Change("inbox/b/2.md", b"x" * 2000)])


def test_no_more_open_files_is_said_and_leaves_nothing(store: FileStore, home: Path, private: Path) -> None:
    store.apply([Change("inbox/a/1.md", b"old")])
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    for more in range(3):
        with limited(resource.RLIMIT_NOFILE, free + more), pytest.raises(Unavailable) as caught:
            store.apply([Change("inbox/a/1.md", b"new"), Change("inbox/b/1.md", b"new")], commit=lambda: None)
            store.get("inbox/a/1.md")
            raise Unavailable("enough", hint="ulimit -n")
        assert "ulimit -n" in caught.value.hint
    assert files_in(private) == []


def test_no_right_to_write_is_said_and_leaves_nothing() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home, private = Path(folder) / "home", Path(folder) / "private"
        (home / "inbox/a").mkdir(parents=True)
        (private / "tmp").mkdir(parents=True)
        (private / "tmp").chmod(0o777)
        Path(folder).chmod(0o755)
        (home / "inbox/a").chmod(0o555)
        store = FileStore(home, private)
        child = os.fork()
        if child == 0:
            if os.geteuid() == 0:
                os.setuid(65_534)  # nothing is forbidden to root
            try:
                store.apply([Change("inbox/a/b/2.md", b"new")], commit=lambda: os._exit(2))
            except Unavailable as error:
                os._exit(0 if "inbox/a/b/2.md" in error.message and "right" in error.hint else 3)
            os._exit(4)
        assert os.waitpid(child, 0)[1] == 0
        assert files_in(Path(folder)) == []
        (home / "inbox/a").chmod(0o755)


def test_a_home_that_is_gone_is_said(store: FileStore, home: Path) -> None:
    home.rmdir()
    assert store.get("inbox/a/1.md") is None
    assert list(store.list("")) == []
    with pytest.raises(Unavailable, match="inbox/a/1"):
        store.apply([Change("inbox/a/1.md", b"x")])


# ---- killed writers ----


def test_killed_writers_lose_and_tear_nothing_and_the_sweep_clears_what_they_left(
    store: FileStore, home: Path, private: Path
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    leftovers = 0
    for round_ in range(8):
        names = [f"w{round_}{letter}" for letter in "ab"]
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, home, private, name], stdout=subprocess.PIPE, text=True)
            for name in names
        ]
        for writer in writers:
            assert writer.stdout is not None
            writer.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.06))  # when the kill comes, not what it waits for
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
        for name, writer in zip(names, writers, strict=True):
            rest, _ = writer.communicate()
            acknowledged = max((int(number) for number in re.findall(r"(\d+)\n", rest)), default=0)
            for number in range(acknowledged + 1):
                found = store.get(f"inbox/two/{name}-{number:07}.md")
                assert found is not None, f"{name} {number} was acknowledged and is lost"
            assert sum(key.startswith(f"inbox/one/{name}") for key in store.list("inbox/one")) <= 6
        leftovers += len(files_in(private / "tmp"))
        store.sweep()
        assert files_in(private / "tmp") == []
    for key in store.list(""):
        found = store.get(key)
        assert found is not None
        writer_and_number = b" ".join(found.data.split(b" ")[:2])
        assert found.data == (writer_and_number + b" ") * 200, f"{key} is torn"
    print(f"{leftovers} temporary files were left by the killed")


def test_the_sweep_touches_nothing_of_the_living_nor_of_strangers(store: FileStore, private: Path) -> None:
    seen: list[str] = []

    def while_staged() -> None:
        (private / "tmp/notes.txt").write_text("mine")
        (private / "tmp/1~x~nowhere~00").write_text("from another machine")
        assert store.sweep() == 0
        seen.extend(files_in(private / "tmp"))

    store.apply([Change("inbox/a/1.md", b"x")], commit=while_staged)
    assert len(seen) == 3
    assert store.get("inbox/a/1.md") is not None
    assert files_in(private / "tmp") == ["1~x~nowhere~00", "notes.txt"]


def test_the_sweep_finds_what_was_staged_beside_the_records(store: FileStore, home: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", "from coord.stores import files; print(files._temporary_name())"],
        capture_output=True,
        text=True,
        check=True,
    )
    (home / "inbox/a").mkdir(parents=True)
    (home / f"inbox/a/.{child.stdout.strip()}").write_text("x")
    assert store.sweep() == 1
    assert files_in(home) == []
