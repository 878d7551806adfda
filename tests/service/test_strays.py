"""Files below `inbox/` that nobody takes for mail are named with what to do; empty ones are no mail yet."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import planted
import pytest
from byhand import ID, drop, message
from farming import Farm, old
from support import git

from coord.model import codec, keys
from coord.service import mail, verify
from coord.service.byhand import adopt, handwritten, strays
from coord.service.coord import Coord
from coord.service.doctor import command, patient

Open = Callable[..., Coord]


def found(coord: Coord) -> dict[str, tuple[str, str]]:
    return {one.key: (one.what, one.next) for one in strays.of(coord)}


def report(home: Path) -> command.Report:
    return command.doctor(patient.opened(home))


def test_each_is_told_where_it_should_lie_and_stays_as_it_is(
    repo: Path, coord_for: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted.for_nobody(Farm(repo, monkeypatch))
    drop(repo, "inbox/fronted/b.md", b"hello?\n")
    old(repo / "inbox/fronted/b.md")
    told = found(coord_for("owner"))
    assert "beside the mailboxes" in told["inbox/x.md"][0]
    assert told["inbox/ghost/a.md"][0] == "nobody here is called ghost"
    assert told["inbox/fronted/b.md"][1].startswith("did you mean frontend")
    assert "coord merge request" in told["inbox/merges/m.md"][1]
    assert told["inbox/backend/sub/s.md"][1] == "move it to inbox/backend/"
    assert "never sent" in told["inbox/owner/read/r.md"][0]
    assert len(told) == 6
    proven = verify.verify(coord_for("owner"))
    assert {one.key for one in proven.strays} == told.keys()
    command.doctor(patient.opened(repo), fix=True)
    assert all((repo / key).read_bytes() == b"hello?\n" for key in told)


def test_a_record_in_a_folder_of_nobody_is_named_while_it_is_unread(repo: Path, coord_for: Open) -> None:
    for key in (f"inbox/ghost/{ID}-hi.md", f"inbox/ghost/read/{ID[:-1]}X-hi.md"):
        drop(repo, key, codec.encode(message(id=keys.id_in(key), thread=ID)))
        old(repo / key)
    assert list(found(coord_for("owner"))) == [f"inbox/ghost/{ID}-hi.md"]


def test_what_is_on_its_way_hidden_behind_a_link_or_the_branchs_own_is_not_named(repo: Path, coord_for: Open) -> None:
    (repo / "inbox/x.md").write_text("just written\n")
    for key in ("inbox/.hidden.md", "inbox/y.md~", "inbox/backend/sub/.z", "inbox/README.md"):
        drop(repo, key, b"x")
        old(repo / key)
    (repo / "inbox/link.md").symlink_to(repo / "README.md")
    (repo / "inbox/elsewhere").symlink_to(repo / "web_app")
    git(repo, "add", "-f", "inbox/README.md")
    assert found(coord_for("owner")) == {}
    assert report(repo).findings == ()


@pytest.mark.parametrize("nothing", [b"", b" \n\t\n", b"\xef\xbb\xbf\r\n"], ids=["empty", "blank", "mark"])
def test_a_file_that_says_nothing_is_no_message_until_it_does(repo: Path, coord_for: Open, nothing: bytes) -> None:
    """As with `touch` first and an editor afterwards."""
    file = repo / "inbox/frontend/note.md"
    file.write_bytes(nothing)
    moment = time.time() - 60
    os.utime(file, (moment, moment))
    coord = coord_for("frontend")
    assert adopt.adopt_waiting(coord) == 0
    assert mail.list_(coord).unread == 0
    assert handwritten.waiting(coord) == ()
    assert file.read_bytes() == nothing
    assert found(coord) == {}, "whoever made it has some time"
    old(file)
    assert list(found(coord)) == ["inbox/frontend/note.md"]
    assert [(one.code, one.state) for one in report(repo).findings] == [("mail-says-nothing", "warning")]
    with file.open("ab") as more:
        more.write(b"now it says something\n")
    old(file)
    (item,) = mail.list_(coord).items
    assert item.message.body.endswith("now it says something\n")
    assert found(coord) == {}


def test_a_long_blank_one_is_taken_as_it_is(repo: Path, coord_for: Open) -> None:
    drop(repo, "inbox/frontend/long.md", b"\n" * 5000 + b"at the end\n")
    old(repo / "inbox/frontend/long.md")
    assert mail.list_(coord_for("frontend")).unread == 1
