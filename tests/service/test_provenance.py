"""What no command sent shows as written by hand, whoever it says that it is from; what one sent never does."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from byhand import ID, drop, message, sent
from support import git

from coord.faces import render
from coord.faces.page import Line, Table
from coord.model import codec, keys, quoting
from coord.service import checkpoints, mail, setup, verify
from coord.service.command import Prose
from coord.service.coord import Coord

Open = Callable[..., Coord]
FORGED = keys.message("frontend", message())


def marked(coord: Coord, *, read: bool = True) -> dict[str, bool]:
    found = mail.list_(coord, read=read).items
    return {one.key: one.message.extra.get(quoting.WRITTEN) == quoting.BY_HAND for one in found}


def head(result: object) -> str:
    (first, *_) = [block.text for block in render.blocks(result) if isinstance(block, Line)]
    return first


@pytest.mark.parametrize("who", ["owner", "backend", "coord"])
def test_a_record_put_there_by_hand_says_so_on_every_page(repo: Path, coord_for: Open, who: str) -> None:
    drop(repo, FORGED, codec.encode(message(sender=who)))
    key = sent(coord_for)
    coord = coord_for("frontend")
    assert marked(coord) == {FORGED: True, key: False}
    (table,) = [block for block in render.blocks(mail.list_(coord)) if isinstance(block, Table)]
    assert [row[2] for row in table.rows] == [f"{who} (by hand)", "backend"]
    assert head(mail.show(coord, ID)).startswith(f"from {who} (by hand, says the file) to frontend")
    assert f"from {who} (by hand, says the file)" in checkpoints.restore(coord).text
    assert head(mail.read(coord)).startswith(f"from {who} (by hand, says the file) to frontend")


def test_it_still_says_so_when_it_was_read_recorded_or_acknowledged(repo: Path, coord_for: Open) -> None:
    body = "line\r\nbreaks \ttoo\n\n"
    forged = {
        "read": message(body=body),
        "recorded": message(id=f"{ID[:-1]}X", ack="required"),
        "placed among the read": message(id=f"{ID[:-1]}Y"),
    }
    drop(repo, keys.message("frontend", forged["read"]), codec.encode(forged["read"]))
    coord = coord_for("frontend")
    (item,) = mail.read(coord).items
    assert item.message.body == body
    drop(repo, keys.message("frontend", forged["recorded"]), codec.encode(forged["recorded"]))
    drop(repo, keys.as_read(keys.message("frontend", forged["placed among the read"])), codec.encode(forged["read"]))
    verify.verify(coord, commit=True)
    assert list(marked(coord).values()) == [True] * 3
    mail.ack(coord, (forged["recorded"].id,))
    coord.settle()
    shutil.rmtree(repo / ".git/coord")
    assert list(marked(coord_for("frontend")).values()) == [True] * 3
    assert mail.show(coord_for("frontend"), ID).message.body == body
    assert verify.verify(coord_for("owner")).ok


def test_another_text_under_a_senders_name_says_so(repo: Path, coord_for: Open) -> None:
    one, two = sent(coord_for, "one"), sent(coord_for, "two")
    edited = (repo / one).read_bytes().replace(b"one\n", b"another\n")
    (repo / one).write_bytes(edited)
    (repo / keys.as_read(two)).parent.mkdir(exist_ok=True)
    (repo / keys.as_read(two)).write_bytes((repo / two).read_bytes() + b"and more\n")
    (repo / two).unlink()
    coord = coord_for("frontend")
    assert marked(coord) == {one: True, keys.as_read(two): True}
    verify.verify(coord, commit=True)
    assert marked(coord)[one]


def test_what_was_sent_never_says_so(repo: Path, coord_for: Open, tmp_path: Path) -> None:
    """Not committed yet, committed and not indexed, indexed, read, moved to `read/` by hand, without a journal, cloned."""
    backend, coord = coord_for("backend"), coord_for("frontend")
    for number in range(3):
        mail.send(backend, ("frontend", "security"), Prose(f"number {number}\n"))
        assert not any(marked(coord).values())
    backend.settle()
    assert not any(marked(coord).values())
    first, second, _ = marked(coord)
    mail.read(coord, (keys.id_in(first) or "",))
    (repo / second).rename(repo / keys.as_read(second))
    assert not any(marked(coord).values())
    verify.verify(coord, commit=True)
    for lost in ("journal", ""):
        shutil.rmtree(repo / ".git/coord" / lost)
        assert list(marked(coord_for("frontend")).values()) == [False] * 3
    coord_for("frontend").settle()
    git(tmp_path, "clone", "-q", str(repo), "clone")
    setup.init(tmp_path / "clone")
    assert list(marked(coord_for("frontend", tmp_path / "clone")).values()) == [False] * 3


def test_where_the_ledger_cannot_be_read_nobody_is_accused(repo: Path, coord_for: Open) -> None:
    key = sent(coord_for)
    shutil.rmtree(repo / ".git/coord/journal")
    (repo / ".git/refs/heads/coord/ledger").write_text(f"{git(repo, 'rev-parse', 'main:README.md')}\n")
    assert marked(coord_for("frontend")) == {key: False}
