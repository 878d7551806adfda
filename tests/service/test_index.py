import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import ledgerbook
import pytest
from ledgerbook import Book, agrees
from support import git as sh
from support import gits

from coord.git import history
from coord.git.ledger import REF
from coord.model import codec, ids, keys
from coord.model.errors import Corrupt
from coord.model.records import Change


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return ledgerbook.new(tmp_path)


def test_an_empty_ledger_is_an_empty_index(book: Book) -> None:
    index = book.index()
    assert index.sync() == 0
    assert index.entries() == []
    assert index.live("inbox") == {}
    assert index.max_token() == 0
    assert index.find("01") == index.find("") == []
    index.close()


def test_one_thread_after_another_may_ask(book: Book) -> None:
    index = book.index()
    with ThreadPoolExecutor(1) as other:
        assert other.submit(index.sync).result() == 0
        book.append(book.event())
        assert index.sync() == 1  # while the thread that opened it still lives
        assert len(other.submit(index.entries).result()) == 1
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
    assert found == list(history.entries(book.git))
    agrees(book, index)
    index.close()


def test_live_records_and_since_when(book: Book) -> None:
    message = book.message()
    key = book.send(message)
    data = codec.encode(message)
    index = book.index()
    index.sync()
    sent_at = index.live_since("inbox/b")[key]
    assert index.live_since("inbox/*/read") == index.live_since("inbox") == {}
    acked = book.event(Change(key, None), Change(keys.as_read(key), data))
    book.append(acked)
    index.sync()
    assert list(index.live("inbox")) == list(index.live("inbox/b/read")) == [keys.as_read(key)]
    assert index.live_since("inbox/*/read") == {keys.as_read(key): acked.at}
    assert index.live_since("inbox/b") == {}
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


def test_what_is_new_takes_one_git_and_threads_are_read_by_whoever_asks(book: Book) -> None:
    root = book.message()
    book.send(root)
    index = book.index()
    index.sync()
    answer = book.message(thread=root.id)
    book.send(answer)
    with gits() as ran:
        assert index.sync() == 1
    assert [words[0] for words in ran] == ["log"]
    with gits() as ran:
        for _ in range(2):
            assert [one for one, _ in index.thread(root.id)] == [root.id, answer.id]
    assert [words[0] for words in ran] == ["cat-file"], "what was read is kept"
    index.close()


def test_threads_are_told_where_the_index_cannot_be_written(book: Book) -> None:
    root = book.message()
    answer = book.message(thread=root.id)
    for message in (root, answer):
        book.send(message)
    index = book.index()
    index.sync()
    index.entries()
    index._open().conn.execute("PRAGMA query_only = ON")
    assert [one for one, _ in index.thread(root.id)] == [root.id, answer.id]
    index.close()


def test_a_thread_may_be_called_anything(book: Book) -> None:
    names = ("week 48", "half \U0001f600", "01kaj3x5", "0" * 27)
    sent = [book.message(thread=name) for name in names for _ in range(2)]
    for message in sent:
        book.send(message)
    index = book.index()
    index.sync()
    for number, name in enumerate(names):
        assert [found for found, _ in index.thread(name)] == [one.id for one in sent[2 * number : 2 * number + 2]]
    assert index.thread(sent[0].id) == index.thread("") == []
    index.close()


def test_ids_are_found_by_every_beginning_and_ending(book: Book) -> None:
    last = ids.ALPHABET[-1]
    made = [f"7{last * 25}", f"{'0' * 25}1", f"0{last * 25}", f"1{'0' * 24}{last}", "01KAJ3X5ZC9Q0V7T2D4M8N6P1R"]
    book.append(book.event(*(Change(f"checkpoints/a/{one}-x.md", one.encode()) for one in made)))
    index = book.index()
    index.sync()
    for one in made:
        for part in {one[:end] for end in range(1, 27)} | {one[start:] for start in range(26)}:
            wanted = {other for other in made if other.startswith(part) or other.endswith(part)}
            assert {keys.id_in(key) for key, _ in index.find(part)} == wanted
    for part in (f"{made[0]}0", f"8{last * 25}", "8", "\u0660", "I", made[0].lower()):
        assert index.find(part) == []
    index.close()


def test_the_index_holds_no_text_that_git_has(book: Book) -> None:
    word = "a subject that is as long as subjects mostly are"
    sent = [book.message(word) for _ in range(400)]
    book.append(*(book.event(Change(keys.message("b", one), codec.encode(one))) for one in sent))
    index = book.index()
    index.sync()
    index.close()
    data = book.path.read_bytes()
    assert len(data) / len(sent) < 450  # a dozen tables' first pages among them
    assert word.encode() not in data
    assert sent[0].id.encode() not in data


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


def test_a_missing_blob_is_corruption(book: Book) -> None:
    with pytest.raises(Corrupt, match="missing"):
        book.index().content("0" * 40)


def test_nothing_new_costs_no_process(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    book.append(book.event(Change("locks/a.yaml", b"x")))
    index = book.index()
    index.sync()
    sh(book.top, "pack-refs", "--all")
    monkeypatch.setenv("PATH", "/nowhere")
    assert [index.sync() for _ in range(3)] == [0, 0, 0]
    index.close()
