"""What hands did in the folders becomes events, under the names of those whose it is."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from byhand import ID, NOW, drop, message, sent

from coord.git import history
from coord.model import codec, keys
from coord.model.records import Checkpoint, Decision, Lock, MergeRequest, Message, Record
from coord.service import mail, verify
from coord.service.coord import Coord
from coord.stores.journal import Journal

As = Callable[..., Coord]


def events(coord: Coord, count: int = 1) -> list[tuple[str, str, str]]:
    found = list(history.entries(coord.git, newest_first=True, limit=count))
    return [(one.kind, one.agent, one.subject) for one in found]


def settled(coord: Coord) -> int:
    """Reconcile, and prove that nothing is left."""
    count = verify.reconcile(coord, verify.drift(coord))
    assert verify.drift(coord) == ()
    return count


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


def test_what_hands_write_while_it_is_noted_what_they_did_before_stays(repo: Path, coord_for: As) -> None:
    key = sent(coord_for)
    coord, before = coord_for("owner"), (repo / key).read_bytes()

    class Interrupted(Journal):
        def done(self, event_id: str) -> None:
            drop(repo, key, before + b"twice\n")
            coord_for("owner").committer.settle()  # as another thread of this process may
            super().done(event_id)

    drop(repo, key, before + b"once\n")
    coord.journal = Interrupted(coord.private / "journal")
    assert verify.reconcile(coord, verify.drift(coord)) == 1
    assert (repo / key).read_bytes() == before + b"twice\n"


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
