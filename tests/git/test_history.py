import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support import gits

from coord.git import history
from coord.git.history import Entry
from coord.git.ledger import REF, Ledger
from coord.git.repo import Git
from coord.model import ids
from coord.model.errors import Corrupt, Unavailable
from coord.model.records import Change, Event

NOW = datetime(2026, 11, 22, 12, 3, 11, 204_000, tzinfo=UTC)


def sh(cwd: Path, *args: str) -> str:
    return subprocess.run(["git", *args], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()


def event(*changes: Change, at: datetime = NOW, cause: Sequence[str] = (), **facts: str) -> Event:
    identifier = ids.ulid(at, os.urandom(10))
    return Event(
        id=identifier,
        kind="mail.sent",
        agent="backend",
        subject="backend -> frontend: hello",
        at=at,
        changes=changes,
        cause=tuple(cause),
        facts=facts,
    )


@pytest.fixture
def top(tmp_path: Path) -> Path:
    made = tmp_path.resolve() / "project"
    sh(tmp_path, "init", "-q", "-b", "main", str(made))
    sh(made, "config", "user.name", "Some One")
    sh(made, "config", "user.email", "one@example.invalid")
    return made


def append(top: Path, *events: Event) -> str:
    book = Ledger(Git(top))
    return book.append(events, parent=book.tip(), now=NOW + timedelta(hours=1))


def by_hand(top: Path, message: bytes, *, tree: str = "", parents: Sequence[str] | None = None) -> str:
    """Put a commit on the ledger that says exactly MESSAGE."""
    git = Git(top)
    above = [git.tip(REF) or ""] if parents is None else parents
    lines = [f"tree {tree or git.text('rev-parse', f'{above[0]}^{{tree}}')}", *(f"parent {one}" for one in above)]
    lines += [f"{role} So\x1b[31mme One <one@x> 1700000000 +0100" for role in ("author", "committer")]
    raw = "\n".join(lines).encode() + b"\n\n" + message
    made = git.run("hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=raw).out.decode().strip()
    sh(top, "update-ref", REF, made)
    return made


def read(top: Path) -> list[Entry]:
    return list(history.entries(Git(top)))


def test_an_entry_says_what_the_event_said(top: Path) -> None:
    told = event(Change("inbox/b/x.md", b"one"), cause=("01A", "01B"), Token="42", Mailbox="b")
    tip = append(top, told)
    blob = history.blob_id(b"one")
    assert read(top) == [
        Entry(
            tip, (), NOW, (NOW + timedelta(hours=1)).replace(microsecond=0), "backend", "mail.sent", told.id,
            told.subject, ("01A", "01B"), {"Token": "42", "Mailbox": "b"}, (("A", "inbox/b/x.md", blob),),
        )
    ]  # fmt: skip


def test_changes_name_what_was_added_changed_and_removed(top: Path) -> None:
    append(
        top,
        event(Change("inbox/b/x.md", b"one")),
        event(Change("inbox/b/x.md", b"two")),
        event(Change("inbox/b/x.md", None), Change("inbox/b/read/x.md", b"two")),
        event(),
    )
    one, two = history.blob_id(b"one"), history.blob_id(b"two")
    assert [sorted(entry.changes) for entry in read(top)] == [
        [("A", "inbox/b/x.md", one)],
        [("M", "inbox/b/x.md", two)],
        [("A", "inbox/b/read/x.md", two), ("D", "inbox/b/x.md", two)],
        [],
    ]
    assert [entry.changes for entry in history.entries(Git(top), with_changes=False)] == [()] * 4


def test_order_limit_and_range(top: Path) -> None:
    told = [event(at=NOW + timedelta(seconds=number)) for number in range(6)]
    first = append(top, told[0], told[1])
    last = append(top, *told[2:])
    names = [one.id for one in told]

    def which(**asked: object) -> list[str]:
        return [entry.id for entry in history.entries(Git(top), **asked)]  # type: ignore[arg-type]

    assert which() == names
    assert which(newest_first=True) == names[::-1]
    assert which(limit=2) == names[:2]
    assert which(newest_first=True, limit=2) == [names[5], names[4]]
    assert which(since=first) == names[2:]
    assert which(until=first) == names[:2]
    assert which(since=last) == which(limit=0) == []
    with pytest.raises(Unavailable):
        which(until="0" * 40)


def test_a_ledger_that_has_not_begun(top: Path) -> None:
    assert read(top) == []
    assert history.at_time(Git(top), NOW) is None


def test_settings_of_the_user_change_nothing(top: Path) -> None:
    told = [event(Change("inbox/a/x.md", b"x")), event(Change("inbox/a/x.md", None), Change("inbox/b/x.md", b"x"))]
    append(top, *(replace(one, subject="añadido") for one in told))
    before = read(top)
    for name, value in {
        "color.ui": "always", "log.showSignature": "true", "log.showRoot": "false", "diff.renames": "copies",
        "i18n.logOutputEncoding": "ISO-8859-1", "format.pretty": "oneline", "log.decorate": "full",
        "log.mailmap": "true", "core.abbrev": "4", "diff.noprefix": "true", "log.date": "relative",
        "log.follow": "true", "diff.relative": "true",
    }.items():  # fmt: skip
        sh(top, "config", name, value)
    assert read(top) == before
    assert [(entry.id, entry.subject) for entry in before] == [(one.id, "añadido") for one in told]


@pytest.mark.parametrize(
    "message",
    [
        b"", b"\n\n\n", b"\0", b"x\0Coord-Event: y", b"\xff\xfe\xfd", b":100644 100644 a b A\0inbox/x", b"a" * 70_000,
        b"\x1b]0;owned\x07", b"x\n\nCoord-Event: ", b"x\n\nCoord-Event: k\nCoord-Event: l\nCoord-Id: \\x00",
        b"commit 1234\nAuthor: x", b"x\r\n\r\nCoord-Event: k\r\n", b"\n" + b"f" * 40 + b"\n",
    ],
)  # fmt: skip
def test_messages_of_others_cannot_derange_the_reading(top: Path, message: bytes) -> None:
    one, two = event(Change("inbox/a/x.md", b"x")), event(Change("inbox/a/y.md", b"y"))
    append(top, one)
    foreign = by_hand(top, message)
    append(top, two)
    for newest_first in (False, True):
        found = list(history.entries(Git(top), newest_first=newest_first))
        before, middle, after = found[::-1] if newest_first else found
        assert (before.id, middle.commit, after.id) == (one.id, foreign, two.id)
        assert middle.changes == ()
        assert [change[1] for change in after.changes] == ["inbox/a/y.md"]
        assert not any(ord(letter) < 32 for letter in middle.subject)


def test_a_commit_by_others_says_who_made_it(top: Path) -> None:
    append(top, event())
    by_hand(top, b"tidied up\n\nby hand\n")
    found = read(top)[-1]
    assert (found.kind, found.id, found.agent, found.subject) == ("", "", history.OUTSIDE, "tidied up")
    assert found.at == datetime.fromtimestamp(1_700_000_000, UTC)
    assert found.facts["Author"] == "Some One <one@x>"


def test_paths_of_all_kinds_and_what_is_no_file(top: Path) -> None:
    git = Git(top)
    blob = git.run("hash-object", "-w", "--stdin", stdin=b"x").out.decode().strip()
    names = [b"new\nline", b"tab\t", b'quote"', b"back\\slash", b":100644", b"\xff\xfe", "é 日本".encode(), b" ", b"-x"]
    listed = b"".join(b"100644 blob %s\t%s\0" % (blob.encode(), name) for name in names)
    commit = append(top, event())
    listed += b"120000 blob %s\tlink\0" % blob.encode() + b"160000 commit %s\tmodule\0" % commit.encode()
    tree = git.run("mktree", "-z", stdin=listed).out.decode().strip()
    made = by_hand(top, b"x", tree=tree)
    expected = sorted(os.fsdecode(name) for name in names)
    assert sorted(key for op, key, _ in read(top)[-1].changes if op == "A") == expected
    assert history.tree(git, made) == dict.fromkeys(expected, blob)
    files = git.run("mktree", "-z", stdin=b"100644 blob %s\tlink\0" % blob.encode()).out.decode().strip()
    by_hand(top, b"the link is a file now", tree=files)
    assert ("A", "link", blob) in read(top)[-1].changes


def test_a_merge_by_hand_shows_what_it_brought(top: Path) -> None:
    base = append(top, event())
    ours = append(top, event(Change("inbox/a/x.md", b"x")))
    sh(top, "update-ref", REF, base)
    theirs = append(top, event(Change("inbox/b/y.md", b"y")))
    tree = Git(top).text("merge-tree", "--write-tree", ours, theirs)
    merged = by_hand(top, b"merged", tree=tree, parents=[ours, theirs])
    found = read(top)
    assert len(found) == 4
    assert found[-1].commit == merged
    assert [change[1] for change in found[-1].changes] == ["inbox/b/y.md"]


def test_blobs_come_in_order_whatever_they_hold(top: Path) -> None:
    git = Git(top)
    contents = [b"", b"\n", b"x" * 3_000_000, b"\0\1\2", b"abc blob 3\n", b"last", b"\n"]
    shas = [git.run("hash-object", "-w", "--stdin", stdin=content).out.decode().strip() for content in contents]
    assert shas == [history.blob_id(content) for content in contents]
    assert list(history.blobs(git, shas)) == contents
    assert list(history.blobs(git, [])) == []
    with pytest.raises(Corrupt, match="0" * 40):
        list(history.blobs(git, [shas[0], "0" * 40]))
    for _ in history.blobs(git, shas * 50):
        break


def test_ids_in_a_range(top: Path) -> None:
    git, told = Git(top), [event() for _ in range(4)]
    first = append(top, *told[:2])
    foreign = by_hand(top, b"x")
    last = append(top, *told[2:])
    everything = {one.id for one in told}
    assert history.ids_in(git, first, last) == {one.id for one in told[2:]}
    assert history.ids_in(git, last, last) == set()
    assert history.ids_in(git, None, last) == everything
    assert history.ids_in(git, last, foreign) == {one.id for one in told[:2]}
    assert history.ids_in(git, "0" * 40, last) == everything


def test_what_was_gained_takes_one_git_and_is_nothing_where_history_was_rewritten(top: Path) -> None:
    told = [event() for _ in range(4)]
    first, second, third = (append(top, one) for one in told[:3])
    with gits() as ran:
        found = history.gained(Git(top), first, third)
        assert found is not None
        assert [entry.id for entry in found] == [told[1].id, told[2].id]
    assert [words[0] for words in ran] == ["log"]
    for gone in ("0" * 40, third):  # a commit that is not there, and a ledger that was set back
        assert history.gained(Git(top), gone, second) is None
    sh(top, "update-ref", REF, first)
    other = append(top, told[3])
    assert history.gained(Git(top), third, other) is None
    merged = sh(top, "commit-tree", f"{third}^{{tree}}", "-p", other, "-p", third, "-m", "by hand")
    found = history.gained(Git(top), third, merged)  # where the first that is new does not follow, git is asked
    assert found is not None
    assert [entry.commit for entry in found] == [other, merged]


def test_is_ancestor(top: Path) -> None:
    git = Git(top)
    one = append(top, event())
    two = append(top, event())
    assert history.is_ancestor(git, one, two)
    assert history.is_ancestor(git, one, one)
    assert not history.is_ancestor(git, two, one)
    assert not history.is_ancestor(git, "0" * 40, one)


def test_at_time_follows_the_ledgers_order(top: Path) -> None:
    git = Git(top)
    seconds = (0, 10, 5, 20)
    commits = [append(top, event(at=NOW + timedelta(seconds=second))) for second in seconds]
    for second, expected in {
        -1: None,
        0: commits[0],
        4: commits[0],
        5: commits[2],
        12: commits[2],
        99: commits[3],
    }.items():
        assert history.at_time(git, NOW + timedelta(seconds=second)) == expected, second


def test_moments_keep_their_milliseconds(top: Path) -> None:
    before, after = event(at=NOW), event(at=NOW + timedelta(milliseconds=300))
    commit = append(top, before)
    append(top, after)
    assert [entry.at for entry in read(top)] == [before.at, after.at]
    assert history.at_time(Git(top), NOW + timedelta(milliseconds=299)) == commit
