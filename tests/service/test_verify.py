"""Files, ledger and index agree, or it is said where not."""

import os
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from byhand import ID, drop, message, sent

from coord.git import history
from coord.model import codec, keys
from coord.model.errors import Corrupt
from coord.model.records import Change
from coord.service import locks, mail, verify
from coord.service.command import Prose
from coord.service.coord import Coord
from coord.service.looks import Looks
from coord.stores import oslock
from coord.stores.base import Stored
from coord.stores.files import FileStore

As = Callable[..., Coord]


def found(coord: Coord) -> list[tuple[str, str]]:
    return [(one.key, one.what) for one in verify.drift(coord)]


def test_all_agree_after_ordinary_work(coord_for: As) -> None:
    key = sent(coord_for)
    locks.acquire(coord_for("backend"), ("apps_script/**",))
    proven = verify.verify(coord_for("owner"), deep=True)
    assert (proven.ok, proven.records, proven.deep) == (True, 2, True)
    assert proven.commit == coord_for("owner").ledger.tip()
    assert key


def test_each_kind_of_disagreement_is_named(repo: Path, coord_for: As) -> None:
    gone, changed = sent(coord_for, "one"), sent(coord_for, "two")
    fresh = keys.message("backend", message())
    (repo / gone).unlink()
    with (repo / changed).open("ab") as file:
        file.write(b"more\n")
    drop(repo, fresh, codec.encode(message()))
    drop(repo, "inbox/security/01KAJ3X5ZC9Q0V7T2D4M8N6P10-x.md", b"no front matter\n")
    with pytest.raises(Corrupt, match="4 records disagree") as caught:
        verify.verify(coord_for("owner"))
    assert set(caught.value.facts["findings"]) == {  # type: ignore[call-overload]
        f"{gone}: only in ledger",
        f"{changed}: differs",
        f"{fresh}: only in files",
        "inbox/security/01KAJ3X5ZC9Q0V7T2D4M8N6P10-x.md: unreadable",
    }
    assert "--commit" in caught.value.hint


def test_commit_records_and_then_agrees(repo: Path, coord_for: As) -> None:
    (repo / sent(coord_for)).unlink()
    proven = verify.verify(coord_for("owner"), commit=True)
    assert (proven.committed, proven.records) == (1, 0)
    assert verify.verify(coord_for("owner"), commit=True).committed == 0


def test_what_is_unreadable_or_too_large_stays_and_is_reported(repo: Path, coord_for: As) -> None:
    broken, large = f"inbox/frontend/{ID}-a.md", f"inbox/security/{ID}-b.md"
    drop(repo, broken, b"---\nid: [\n")
    drop(repo, large, codec.encode(message()) + b"x" * (1 << 20))
    coord = coord_for("owner")
    tip = coord.ledger.tip()
    assert found(coord) == [(broken, "unreadable"), (large, "too large")]
    assert verify.reconcile(coord, verify.drift(coord)) == 0
    assert coord.ledger.tip() == tip
    with pytest.raises(Corrupt) as caught:
        verify.verify(coord, commit=True)
    assert broken in caught.value.hint


def test_a_readable_record_that_was_broken_by_hand_is_not_committed(repo: Path, coord_for: As) -> None:
    key = sent(coord_for)
    (repo / key).write_bytes(b"oops\n")
    coord = coord_for("owner")
    assert found(coord) == [(key, "unreadable")]
    assert verify.reconcile(coord, verify.drift(coord)) == 0


def test_strangers_files_are_none_of_it(repo: Path, coord_for: As) -> None:
    drop(repo, "inbox/README.md", b"read me\n")
    drop(repo, "inbox/frontend/.note.md.swp", b"")
    drop(repo, "inbox/frontend/plain.md", b"written by hand, to be adopted\n")
    assert found(coord_for("owner")) == []


def test_other_files_on_the_ledgers_branch_are_none_of_it(coord_for: As) -> None:
    coord = coord_for("owner")
    event = coord.event("by.hand", "a file for people who look at the branch", [Change("README.md", b"read me\n")])
    coord.ledger.append([event], parent=coord.ledger.tip(), now=coord.now())
    assert verify.verify(coord).records == 0


def test_an_event_in_flight_is_no_disagreement(repo: Path, coord_for: As) -> None:
    """Noted, committed by somebody else, and not yet published: its writer, another process, lives."""
    coord = coord_for("backend")
    key = keys.message("frontend", message())
    event = coord.event("mail.sent", "backend -> frontend: hi", [Change(key, codec.encode(message()))])
    writer = oslock.process_of(os.getppid())
    assert writer is not None
    coord.journal.append(event, writer)
    coord.committer.settle()
    assert key in history.tree(coord.git, "coord/ledger")
    assert found(coord_for("owner")) == []
    coord.store.apply(event.changes)
    coord.journal.done(event.id)
    assert found(coord_for("owner")) == []


def test_verify_holds_while_others_write(repo: Path, coord_for: As) -> None:
    stop = threading.Event()
    faults: list[BaseException] = []

    def work() -> None:
        backend, frontend = Coord.open(repo, who="backend"), Coord.open(repo, who="frontend")
        try:
            while not stop.is_set():
                mail.send(backend, ("frontend",), Prose("busy"))
                mail.read(frontend)
                backend.settle()
        except BaseException as fault:
            faults.append(fault)

    writer = threading.Thread(target=work)
    writer.start()
    try:
        looks = Looks(coord_for("owner"))
        for _ in range(25):
            assert verify.drift(coord_for("owner"), looks) == ()
    finally:
        stop.set()
        writer.join()
    assert faults == []


class Counting(FileStore):
    """The store, counting its reads."""

    reads = 0

    def get(self, key: str) -> Stored | None:
        self.reads += 1
        return super().get(key)


def test_looking_again_reads_nothing_that_did_not_change(repo: Path, coord_for: As) -> None:
    key = sent(coord_for)
    coord = coord_for("owner")
    store = coord.store = Counting(coord.home, coord.private)
    looks = Looks(coord, tick=timedelta(seconds=-1))
    assert looks.compare() == looks.compare() == {}
    assert looks.files() == looks.tree()
    assert store.reads == 1
    with (repo / key).open("ab") as file:
        file.write(b"!")
    assert [one.what for one in looks.compare().values()] == ["differs"]
    assert store.reads == 2
    (repo / key).unlink()
    assert [one.what for one in looks.compare().values()] == ["only in ledger"]


def test_what_changed_just_now_is_read_again_since_it_may_change_within_the_same_tick(coord_for: As) -> None:
    sent(coord_for)
    coord = coord_for("owner")
    store = coord.store = Counting(coord.home, coord.private)
    looks = Looks(coord)
    assert looks.files() == looks.files()
    assert store.reads == 2


def test_a_wrong_row_of_the_index_is_named(coord_for: As) -> None:
    sent(coord_for)
    coord = coord_for("owner")
    assert verify.verify(coord).ok
    with closing(sqlite3.connect(coord.index.path)) as database, database:
        database.execute("UPDATE records SET blob = ?", [b"\xff" * 20])
    with pytest.raises(Corrupt, match="wrong in index") as caught:
        verify.verify(coord)
    assert "index.db" in caught.value.hint


def test_deep_finds_a_missing_object(repo: Path, coord_for: As) -> None:
    sent(coord_for)
    coord = coord_for("owner")
    line = f"100644 blob {'1' * 40}\tlost.md\n"
    tree = (
        subprocess.run(["git", "mktree", "--missing"], cwd=repo, input=line.encode(), check=True, capture_output=True)
        .stdout.decode()
        .strip()
    )
    tip = coord.ledger.tip() or ""
    lost = coord.git.text("commit-tree", tree, "-p", tip, "-m", "lost")
    back = coord.git.text("commit-tree", f"{tip}^{{tree}}", "-p", lost, "-m", "back")
    coord.git.run("update-ref", coord.ledger.ref, back)
    assert verify.verify(coord).ok
    with pytest.raises(Corrupt, match="not whole"):
        verify.verify(coord, deep=True)
