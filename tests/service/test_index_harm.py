import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import ledgerbook
import pytest
from ledgerbook import Book, agrees

from coord.git.repo import Git
from coord.index import Index
from coord.model.errors import Unavailable
from coord.model.records import Change


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return ledgerbook.new(tmp_path)


def damage(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to look like one " * 100)


def shorten(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(5000)


def scribble(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)


def another_format(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 999")
    connection.close()


def no_tables(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript("DROP TABLE events; DROP TABLE records")
    connection.close()


@pytest.mark.parametrize("harm", [damage, shorten, scribble, another_format, no_tables, Path.unlink])
@pytest.mark.parametrize("again", [True, False], ids=["reopened", "open"])
def test_a_damaged_file_is_made_again(book: Book, harm: Callable[[Path], None], again: bool) -> None:
    for number in range(30):
        book.append(book.event(Change(f"locks/{number}.yaml", b"x" * 300)))
    index = book.index(patience=0.5)
    index.sync()
    if again:
        index.close()
    else:
        sqlite3.connect(book.path).execute("PRAGMA wal_checkpoint(TRUNCATE)").connection.close()
    harm(book.path)
    book.append(book.event(Change("locks/new.yaml", b"x")))
    index.sync()
    assert len(index.entries()) == 31
    assert len(index.live("locks")) == 31
    agrees(book, index)
    index.close()


def test_a_file_somebody_keeps_locked_is_set_aside(book: Book) -> None:
    book.append(book.event(Change("locks/a.yaml", b"x")))
    index = book.index(patience=0.2)
    index.sync()
    holder = sqlite3.connect(book.path)
    holder.execute("BEGIN IMMEDIATE")
    book.append(book.event(Change("locks/b.yaml", b"x")))
    assert index.sync() in (0, 2)
    assert sorted(index.live("locks")) == ["locks/a.yaml", "locks/b.yaml"]
    holder.rollback()
    holder.close()
    assert book.path.with_name("index.db.damaged").exists()
    index.close()


def test_a_place_that_cannot_be_written_is_named(book: Book) -> None:
    book.append(book.event())
    book.path.parent.mkdir(parents=True)
    book.path.mkdir()
    with pytest.raises(Unavailable, match=r"index\.db"):
        book.index(patience=0.1).sync()


SYNCER = """
import sys
from pathlib import Path
from coord.git.repo import Git
from coord.index import Index
index, rounds = Index(Path(".git/coord/index.db"), Git(Path.cwd())), int(sys.argv[1])
gained = sum(index.sync() for _ in range(rounds))
print(gained, len(index.entries()))
"""


def test_many_processes_share_one_index(book: Book) -> None:
    book.append(book.event())
    command = [sys.executable, "-c", SYNCER, "300"]
    syncers = [subprocess.Popen(command, cwd=book.top, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for number in range(20):
        book.append(*(book.event(Change(f"locks/{number}-{one}.yaml", b"x")) for one in range(5)))
    said = [syncer.communicate()[0].split() for syncer in syncers]
    assert [syncer.returncode for syncer in syncers] == [0] * 4
    index = book.index()
    last = index.sync()
    assert sum(int(gained) for gained, _ in said) + last == 101
    assert len(index.entries()) == 101
    assert not list(book.path.parent.glob("*.damaged*"))
    agrees(book, index)
    index.close()


def test_all_may_make_the_file_at_once(book: Book) -> None:
    book.append(book.event())
    for turn in range(15):
        path, together = book.path.with_name(f"{turn}.db"), threading.Barrier(8)

        def use(path: Path = path, together: threading.Barrier = together) -> int:
            index = Index(path, book.git)
            together.wait()
            try:
                index.sync()
                return len(index.entries())
            finally:
                index.close()

        with ThreadPoolExecutor(8) as pool:
            assert [task.result() for task in [pool.submit(use) for _ in range(8)]] == [1] * 8
        assert not list(path.parent.glob("*.damaged*"))


def test_waiting_for_a_slower_look_never_goes_back(book: Book) -> None:
    """Another process reads on between our first look at the ledger and our turn to write."""
    old = book.append(book.event(Token="1"))
    new = book.append(book.event(Token="2"))
    book.index().sync()

    class Late(Git):
        looks = 0

        def peek(self, common: Path, ref: str) -> str | None:
            self.looks += 1
            if self.looks == 1:
                return old
            with closing(sqlite3.connect(book.path, timeout=0)) as other, pytest.raises(sqlite3.OperationalError):
                other.execute("BEGIN IMMEDIATE")  # it is our turn, nobody else's
            return super().peek(common, ref)

    index = Index(book.path, Late(book.top))
    assert index.sync() == 0
    assert [entry.commit for entry in index.entries()] == [old, new]
    index.close()


def test_a_process_killed_while_it_reads_leaves_a_sound_index(book: Book) -> None:
    book.append(*(book.event(Change(f"locks/{number}.yaml", b"x")) for number in range(800)))
    for part in range(6):
        syncer = subprocess.Popen([sys.executable, "-c", SYNCER, "1"], cwd=book.top, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not book.path.exists() and syncer.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(part * 0.02)
        syncer.kill()
        syncer.wait()
    index = book.index()
    index.sync()
    assert len(index.entries()) == len(index.live("locks")) == 800
    agrees(book, index)
    index.close()
