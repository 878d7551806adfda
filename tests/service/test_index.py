import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from coord.git.ledger import REF, Ledger
from coord.git.repo import Git
from coord.index import Index
from coord.model import codec, ids, keys
from coord.model.errors import Corrupt, Unavailable
from coord.model.records import Change, Event, Message

NOW = datetime(2026, 11, 22, 12, 3, 11, 204_000, tzinfo=UTC)


def sh(cwd: Path, *args: str) -> str:
    return subprocess.run(["git", *args], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()


class Book:
    """A repository with a ledger, and short words to write in it."""

    def __init__(self, top: Path) -> None:
        self.top, self.git = top, Git(top)
        self.ledger = Ledger(self.git)
        self.path = top / ".git" / "coord" / "index.db"
        self.clock = NOW

    def index(self, patience: float = 30.0) -> Index:
        return Index(self.path, self.git, patience=patience)

    def message(self, subject: str = "hello", *, thread: str = "") -> Message:
        self.clock += timedelta(milliseconds=1500)
        identifier = ids.ulid(self.clock, os.urandom(10))
        return Message(
            id=identifier, sender="a", to=("b",), subject=subject, body="x", sent_at=self.clock, thread=thread
        )

    def event(self, *changes: Change, kind: str = "mail.sent", agent: str = "backend", **facts: str) -> Event:
        self.clock += timedelta(milliseconds=1500)
        identifier = ids.ulid(self.clock, os.urandom(10))
        return Event(
            id=identifier,
            kind=kind,
            agent=agent,
            subject="s",
            at=self.clock,
            changes=changes,
            facts=facts,
            cause=("c",),
        )

    def append(self, *events: Event) -> str:
        return self.ledger.append(events, parent=self.ledger.tip(), now=self.clock)

    def send(self, message: Message, box: str = "b") -> str:
        key = keys.message(box, message)
        self.append(self.event(Change(key, codec.encode(message))))
        return key


@pytest.fixture
def book(tmp_path: Path) -> Book:
    sh(tmp_path, "init", "-q", "-b", "main", "farm")
    return Book(tmp_path.resolve() / "farm")


def agrees(book: Book, index: Index) -> None:
    """The index that grew says the same as one made from nothing."""
    fresh = Index(book.path.with_name("fresh.db"), book.git)
    fresh.sync()
    try:
        assert index.entries() == fresh.entries()
        assert index.max_token() == fresh.max_token()
        for folder in keys.FOLDERS:
            assert index.live(folder) == fresh.live(folder)
        for entry in fresh.entries():
            assert sorted(index.find(entry.id)) == sorted(fresh.find(entry.id))
    finally:
        fresh.close()
        fresh.path.unlink()


def test_an_empty_ledger_is_an_empty_index(book: Book) -> None:
    index = book.index()
    assert index.sync() == 0
    assert index.entries() == []
    assert index.live("inbox") == {}
    assert index.max_token() == 0
    assert index.find("01") == index.find("") == []
    index.close()


def test_entries_come_back_as_the_ledger_has_them(book: Book) -> None:
    one = book.event(Change("inbox/b/x.md", b"1"), Mailbox="b")
    two = book.event(kind="lease.granted", agent="frontend", Token="41")
    three = book.event(Change("inbox/b/x.md", None), kind="mail.acked")
    book.append(one, two)
    index = book.index()
    assert index.sync() == 2
    book.append(three)
    assert index.sync() == 1
    assert index.sync() == 0
    found = index.entries()
    assert [entry.id for entry in found] == [one.id, two.id, three.id]
    assert [entry.at for entry in found] == [one.at, two.at, three.at]
    assert (found[0].facts, found[0].cause, found[0].subject) == ({"Mailbox": "b"}, ("c",), "s")
    assert [(op, key) for op, key, _ in found[0].changes + found[2].changes] == [
        ("A", "inbox/b/x.md"),
        ("D", "inbox/b/x.md"),
    ]

    def which(**asked: object) -> list[str]:
        return [entry.id for entry in index.entries(**asked)]  # type: ignore[arg-type]

    assert which(newest_first=True, limit=2) == [three.id, two.id]
    assert which(limit=1) == [one.id]
    assert which(agent="frontend") == which(kind="lease") == which(kind="lease.granted") == [two.id]
    assert which(kind="mail", agent="backend") == [one.id, three.id]
    assert which(since=two.at) == [two.id, three.id]
    assert which(until=two.at) == [one.id, two.id]
    assert which(since=two.at, until=two.at) == [two.id]
    assert which(kind="%") == which(agent="' OR 1") == which(limit=0) == []
    assert index.max_token() == 41
    agrees(book, index)
    index.close()


def test_live_records_and_since_when(book: Book) -> None:
    message = book.message()
    key = book.send(message)
    data = codec.encode(message)
    index = book.index()
    index.sync()
    sent_at = index.live_since("inbox")[key]
    acked = book.event(Change(key, None), Change(keys.as_read(key), data))
    book.append(acked)
    index.sync()
    assert list(index.live("inbox")) == list(index.live("inbox/b/read")) == [keys.as_read(key)]
    assert index.live_since("inbox") == {keys.as_read(key): acked.at}
    assert sent_at < acked.at
    assert index.live("inbox/b/re") == index.live("locks") == {}
    assert index.content(index.live("inbox")[keys.as_read(key)]) == data
    agrees(book, index)
    index.close()


def test_a_retired_record_is_found_by_either_end_of_its_id(book: Book) -> None:
    message = book.message()
    key = book.send(message)
    book.append(book.event(Change(key, None), kind="mail.retired"))
    index = book.index()
    index.sync()
    assert index.live("inbox") == {}
    for part in (message.id, message.id[:12], message.id[-6:]):
        assert [found for found, _ in index.find(part)] == [key]
        ((identifier, blob),) = index.find_message(part)
        assert codec.decode_message(index.content(blob), identifier) == message
    assert index.messages_ending(message.id[-6:]) == index.find_message(message.id)
    assert index.messages_ending(message.id[:6]) == []
    for part in ("%", "_", "'", "ZZZ", message.id.lower(), message.id[3:9], ""):
        assert index.find(part) == index.find_message(part) == []
    index.close()


def test_find_names_what_was_seen_last_last(book: Book) -> None:
    message = book.message()
    first = book.send(message, "b")
    second = book.send(message, "a")
    book.append(book.event(Change(first, None)))
    index = book.index()
    index.sync()
    assert [key for key, _ in index.find(message.id)] == [second, first]
    index.close()


def test_threads(book: Book) -> None:
    root = book.message()
    answers = [book.message(thread=root.id) for _ in range(3)]
    other = book.message()
    for message in (answers[1], root, other, answers[0], answers[2]):
        book.send(message)
    index = book.index()
    index.sync()
    assert [identifier for identifier, _ in index.thread(root.id)] == [root.id, *(answer.id for answer in answers)]
    assert [identifier for identifier, _ in index.thread(other.id)] == [other.id]
    moved = codec.encode(replace(answers[0], thread=other.id))
    book.append(book.event(Change(keys.message("b", answers[0]), moved)))
    index.sync()
    assert [identifier for identifier, _ in index.thread(other.id)] == sorted((other.id, answers[0].id))
    index.close()


def test_what_is_no_message_is_no_hindrance(book: Book) -> None:
    identifier = book.message().id
    names = (
        f"inbox/b/{identifier}-x.md",
        f"inbox/merges/{identifier}-x.md",
        "inbox/.dead/x",
        "locks/a.yaml",
        "README.md",
    )
    book.append(book.event(*(Change(name, b"\xff\0 no record") for name in names)))
    index = book.index()
    index.sync()
    assert sorted(index.live("inbox")) == sorted(names[:3])
    assert [found for found, _ in index.find_message(identifier)] == [identifier]
    assert index.thread(identifier) == index.find_message(identifier)
    index.close()


def test_hostile_commits_by_others(book: Book) -> None:
    book.append(book.event(Token="9" * 400), book.event(Token="-5"), book.event(Token="٣"), book.event(Token="7"))
    half = "\\ud800"
    names = ("Event", "Id", "Agent", "Cause", "Token")
    forged = "x\n\n" + "".join(f"Coord-{name}: {half}\n" for name in names)
    for message, date in (
        (forged, "1 +0000"),
        ("by hand\x1b[31m", "253402300800 +0000"),
        ("", "99999999999999999 +0000"),
    ):
        tip = book.ledger.tip()
        tree = sh(book.top, "rev-parse", f"{tip}^{{tree}}")
        text = f"tree {tree}\nparent {tip}\nauthor \x1b[31m <x> {date}\ncommitter c <c> {date}\n\n{message}"
        made = book.git.run("hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=text.encode()).out
        sh(book.top, "update-ref", REF, made.decode().strip())
    index = book.index()
    assert index.sync() == 7
    assert index.max_token() == 7
    assert [entry.agent for entry in index.entries(agent="git")] == ["git", "git"]
    assert not any("\x1b" in entry.subject + entry.facts.get("Author", "") for entry in index.entries())
    agrees(book, index)
    index.close()


def test_keys_that_are_no_text(book: Book) -> None:
    key = os.fsdecode(b"inbox/.dead/\xff\xfe.md")
    book.append(book.event(Change(key, b"x")))
    index = book.index()
    index.sync()
    assert list(index.live("inbox")) == [key]
    assert index.entries()[0].changes[0][1] == key
    index.close()


def test_a_rewritten_ledger_is_read_from_its_beginning(book: Book) -> None:
    kept = book.event(Change("locks/a.yaml", b"1"))
    first = book.append(kept)
    book.append(book.event(Change("locks/b.yaml", b"2"), Token="9"))
    index = book.index()
    index.sync()
    sh(book.top, "update-ref", REF, first)
    index.sync()
    assert [entry.id for entry in index.entries()] == [kept.id]
    assert list(index.live("locks")) == ["locks/a.yaml"]
    assert index.max_token() == 0
    sh(book.top, "update-ref", "-d", REF)
    index.sync()
    assert index.entries() == []
    assert index.live("locks") == {}
    index.close()


def test_a_merge_by_hand_tells_what_is_live(book: Book) -> None:
    base = book.append(book.event(Change("locks/a.yaml", b"1"), Change("locks/b.yaml", b"1")))
    ours = book.append(book.event(Change("locks/a.yaml", None)))
    sh(book.top, "update-ref", REF, base)
    theirs = book.append(book.event(Change("locks/a.yaml", b"2")), book.event(Change("locks/c.yaml", b"3")))
    sh(book.top, "update-ref", REF, ours)
    index = book.index()
    index.sync()
    tree = sh(book.top, "rev-parse", f"{ours}^{{tree}}")
    merged = sh(
        book.top, "-c", "user.name=o", "-c", "user.email=o@o", "commit-tree", tree, "-p", ours, "-p", theirs, "-m", "m"
    )
    sh(book.top, "update-ref", REF, merged)
    index.sync()
    assert list(index.live("locks")) == ["locks/b.yaml"]
    agrees(book, index)
    index.close()


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


def test_a_missing_blob_is_corruption(book: Book) -> None:
    with pytest.raises(Corrupt, match="missing"):
        book.index().content("0" * 40)


def test_nothing_new_costs_no_process(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    book.append(book.event(Change("locks/a.yaml", b"x")))
    index = book.index()
    index.sync()
    sh(book.top, "pack-refs", "--all")
    monkeypatch.setenv("PATH", "/nowhere")
    began = time.perf_counter()
    for _ in range(100):
        assert index.sync() == 0
    assert time.perf_counter() - began < 1
    index.close()


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


def test_waiting_for_a_slower_look_never_goes_back(book: Book) -> None:
    """Another process reads on between our first look at the ledger and our turn to write."""
    old = book.append(book.event(Token="1"))
    new = book.append(book.event(Token="2"))
    book.index().sync()

    class Late(Git):
        looks = 0

        def peek(self, common: Path, ref: str) -> str | None:
            self.looks += 1
            return old if self.looks == 1 else super().peek(common, ref)

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
