"""Files, ledger and index agree, or it is said where not; what hands did becomes events, under their names."""

import os
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from coord.git import history
from coord.model import codec, keys
from coord.model.errors import Corrupt
from coord.model.records import Change, Checkpoint, Decision, Lock, MergeRequest, Message, Record
from coord.service import locks, mail, verify
from coord.service.command import Prose
from coord.service.coord import Coord
from coord.stores import oslock
from coord.stores.base import Stored
from coord.stores.files import FileStore

As = Callable[..., Coord]
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ID = "01KAJ3X5ZC9Q0V7T2D4M8N6P1R"


def sent(coord_for: As, text: str = "hello") -> str:
    """Send a message from backend to frontend and return its key."""
    coord = coord_for("backend")
    message = mail.send(coord, ("frontend",), Prose(text)).message
    coord.settle()
    return keys.message("frontend", message)


def events(coord: Coord, count: int = 1) -> list[tuple[str, str, str]]:
    found = list(history.entries(coord.git, newest_first=True, limit=count))
    return [(one.kind, one.agent, one.subject) for one in found]


def drop(home: Path, key: str, data: bytes) -> None:
    (home / key).parent.mkdir(parents=True, exist_ok=True)
    (home / key).write_bytes(data)


def message(**given: object) -> Message:
    fields = {
        "id": ID,
        "sender": "backend",
        "to": ("frontend",),
        "subject": "hi",
        "body": "hi\n",
        "sent_at": NOW,
        "thread": ID,
    }
    return Message(**{**fields, **given})  # type: ignore[arg-type]


def found(coord: Coord) -> list[tuple[str, str]]:
    return [(one.key, one.what) for one in verify.drift(coord)]


def settled(coord: Coord) -> int:
    """Reconcile, and prove that nothing is left."""
    count = verify.reconcile(coord, verify.drift(coord))
    assert verify.drift(coord) == ()
    return count


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


def test_moving_to_read_is_an_acknowledgement(repo: Path, coord_for: As) -> None:
    key = sent(coord_for)
    (repo / keys.as_read(key)).parent.mkdir(exist_ok=True)
    (repo / key).rename(repo / keys.as_read(key))
    coord = coord_for("owner")
    assert settled(coord) == 1
    assert events(coord) == [("mail.acked", "frontend", "frontend <- backend: hello")]
    (entry,) = history.entries(coord.git, newest_first=True, limit=1)
    assert entry.cause == (keys.id_in(key),)
    assert {(op, changed) for op, changed, _ in entry.changes} == {("D", key), ("A", keys.as_read(key))}
    assert (repo / keys.as_read(key)).is_file()
    assert not (repo / key).exists()


def test_moving_and_editing_at_once_is_still_an_acknowledgement(repo: Path, coord_for: As) -> None:
    key = sent(coord_for)
    drop(repo, keys.as_read(key), (repo / key).read_bytes() + b"seen\n")
    (repo / key).unlink()
    assert settled(coord_for("owner")) == 1
    assert events(coord_for("owner"))[0][:2] == ("mail.acked", "frontend")


def test_renaming_on_the_way_to_read_is_an_acknowledgement(repo: Path, coord_for: As) -> None:
    key = sent(coord_for)
    drop(repo, f"inbox/frontend/read/{keys.id_in(key)}-done.md", (repo / key).read_bytes())
    (repo / key).unlink()
    assert settled(coord_for("owner")) == 1
    assert events(coord_for("owner"))[0][:2] == ("mail.acked", "frontend")


def test_moving_back_or_elsewhere_is_a_move(repo: Path, coord_for: As) -> None:
    key = sent(coord_for)
    other = key.replace("frontend", "security", 1)
    drop(repo, other, (repo / key).read_bytes())
    (repo / key).unlink()
    coord = coord_for("owner")
    assert settled(coord) == 1
    assert events(coord) == [("mail.moved", "frontend", "frontend <- backend: hello")]
    mail.read(coord_for("security"))
    (repo / keys.as_read(other)).rename(repo / other)
    assert settled(coord) == 1
    assert events(coord)[0][:2] == ("mail.moved", "security")


def test_deleting_the_unread_one_of_two_copies_is_an_acknowledgement(repo: Path, coord_for: As) -> None:
    key = sent(coord_for)
    drop(repo, keys.as_read(key), (repo / key).read_bytes())
    coord = coord_for("owner")
    assert settled(coord) == 1
    (repo / key).unlink()
    assert settled(coord) == 1
    assert events(coord) == [("mail.acked", "frontend", "frontend <- backend: hello")]


def test_deleting_is_a_removal(repo: Path, coord_for: As) -> None:
    (repo / sent(coord_for)).unlink()
    coord = coord_for("owner")
    assert settled(coord) == 1
    assert events(coord) == [("mail.removed", "frontend", "frontend <- backend: hello")]


def test_editing_is_by_nobody_known(repo: Path, coord_for: As) -> None:
    key = sent(coord_for)
    with (repo / key).open("ab") as file:
        file.write(b"PS\n")
    coord = coord_for("owner")
    assert settled(coord) == 1
    assert events(coord) == [("mail.edited", "unknown", "backend -> frontend: hello")]
    assert (repo / key).read_bytes().endswith(b"PS\n")


RECORDS: list[tuple[Record, str, str]] = [
    (message(), "mail.restored", "backend"),
    (message(sender="stranger"), "mail.restored", "unknown"),
    (message(sender="owner"), "mail.restored", "owner"),
    (message(sender="coord"), "mail.restored", "coord"),
    (Lock(scope="a.js", holder="security", token=41, granted_at=NOW, expires_at=NOW), "lease.restored", "security"),
    (Checkpoint(id=ID, agent="backend", saved_at=NOW, title="t", body="b\n"), "checkpoint.restored", "backend"),
    (Decision(id=ID, made_by="security", decided_at=NOW, about="a", choice="c"), "decision.restored", "security"),
    (
        MergeRequest(id=ID, branch="x", into="main", head="0" * 40, agent="frontend", requested_at=NOW, title="t"),
        "merge.restored",
        "frontend",
    ),
]


def key_of(record: Record) -> str:
    match record:
        case Message():
            return keys.message("frontend", record)
        case Lock():
            return keys.lock(record)
        case Checkpoint():
            return keys.checkpoint(record)
        case Decision():
            return keys.decision(record)
        case MergeRequest():
            return keys.merge_request(record)


@pytest.mark.parametrize(("record", "kind", "agent"), RECORDS)
def test_a_record_that_appears_is_restored_under_its_author_and_gone_again_removed(
    repo: Path, coord_for: As, record: Record, kind: str, agent: str
) -> None:
    key = key_of(record)
    drop(repo, key, codec.encode(record))
    before = (repo / key).stat()
    coord = coord_for("owner")
    assert settled(coord) == 1
    assert events(coord)[0][:2] == (kind, agent)
    after = (repo / key).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    (repo / key).unlink()
    assert settled(coord) == 1
    removed = "frontend" if isinstance(record, Message) else agent
    assert events(coord)[0][:2] == (kind.replace("restored", "removed"), removed)


def test_a_restored_lease_keeps_its_token_from_being_given_again(repo: Path, coord_for: As) -> None:
    drop(repo, key_of(RECORDS[4][0]), codec.encode(RECORDS[4][0]))
    coord = coord_for("owner")
    settled(coord)
    (entry,) = history.entries(coord.git, newest_first=True, limit=1)
    assert entry.facts["Token"] == "41"


def test_dead_letters_are_kept_byte_for_byte(repo: Path, coord_for: As) -> None:
    drop(repo, "inbox/.dead/broken.bin", b"\x00\xff")
    coord = coord_for("owner")
    assert settled(coord) == 1
    assert events(coord) == [("mail.restored", "unknown", "inbox/.dead/broken.bin")]


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
        looks = verify.Looks(coord_for("owner"))
        for _ in range(25):
            assert verify.drift(coord_for("owner"), looks) == ()
    finally:
        stop.set()
        writer.join()
    assert faults == []


def test_what_changed_again_before_it_was_recorded_waits_for_the_next_look(repo: Path, coord_for: As) -> None:
    key = sent(coord_for)
    coord = coord_for("owner")
    data = (repo / key).read_bytes()
    (repo / key).write_bytes(data + b"one\n")
    seen = verify.drift(coord)
    (repo / key).write_bytes(data)
    assert verify.reconcile(coord, seen) == 0
    assert verify.drift(coord) == ()


def test_two_that_reconcile_record_it_once(repo: Path, coord_for: As) -> None:
    (repo / sent(coord_for)).unlink()
    coord = coord_for("owner")
    seen = verify.drift(coord)
    assert [verify.reconcile(coord, seen), verify.reconcile(coord_for("backend"), seen)] == [1, 0]


def test_a_lost_ledger_is_made_again_from_the_files(repo: Path, coord_for: As) -> None:
    wanted = {sent(coord_for, "one"), sent(coord_for, "two")}
    coord = coord_for("owner")
    subprocess.run(["git", "update-ref", "-d", coord.ledger.ref], cwd=repo, check=True)
    assert settled(coord) == 2
    assert set(history.tree(coord.git, coord.ledger.ref)) == wanted
    assert {agent for _, agent, _ in events(coord, 2)} == {"backend"}


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
    looks = verify.Looks(coord, tick=timedelta(seconds=-1))
    assert looks.files() == looks.files() == looks.tree()
    assert store.reads == 1
    with (repo / key).open("ab") as file:
        file.write(b"!")
    assert looks.files() != looks.tree()
    assert store.reads == 2


def test_what_changed_just_now_is_read_again_since_it_may_change_within_the_same_tick(coord_for: As) -> None:
    sent(coord_for)
    coord = coord_for("owner")
    store = coord.store = Counting(coord.home, coord.private)
    looks = verify.Looks(coord)
    assert looks.files() == looks.files()
    assert store.reads == 2


def test_a_wrong_row_of_the_index_is_named(coord_for: As) -> None:
    key = sent(coord_for)
    coord = coord_for("owner")
    assert verify.verify(coord).ok
    with closing(sqlite3.connect(coord.index.path)) as database, database:
        database.execute("UPDATE records SET blob = ? WHERE key = ?", ["f" * 40, key])
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
