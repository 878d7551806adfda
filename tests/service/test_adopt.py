"""Messages written by hand."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from support import eventually, git

from coord.model import keys
from coord.model.records import Event, Process
from coord.service import mail, verify
from coord.service.byhand import adopt, handwritten
from coord.service.command import Prose
from coord.service.coord import Coord
from coord.stores import claim

Open = Callable[..., Coord]


def drop(repo: Path, place: str, text: str | bytes) -> Path:
    """Write a file as a hand does, long enough ago to be whole."""
    path = repo / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


def test_a_bare_file_is_a_message(repo: Path, coord_for: Open) -> None:
    path = drop(repo, "inbox/frontend/note to you.md", "# Look at this\n\nplease\n")
    me = coord_for("frontend")
    (item,) = mail.list_(me).items
    assert (item.message.sender, item.message.subject) == ("unknown", "Look at this")
    assert item.message.body == "# Look at this\n\nplease\n"
    assert not path.exists()
    me.settle()
    assert "unknown -> frontend: Look at this" in git(repo, "log", "-1", "--format=%s", "coord/ledger")


def test_front_matter_is_read_generously(repo: Path, coord_for: Open) -> None:
    drop(repo, "inbox/frontend/a.md", "---\nFrom: Backend\nTO: security\nPriority: HIGH\ncolour: blue\n---\nbody\n")
    (item,) = mail.list_(coord_for("frontend")).items
    assert (item.message.sender, item.message.priority, item.message.to) == (
        "backend",
        "high",
        ("frontend", "security"),
    )
    assert item.message.extra["colour"] == "blue"
    assert mail.list_(coord_for("security")).unread == 1


def test_all_reaches_everybody_once_and_auto_whom_it_concerns(repo: Path, coord_for: Open) -> None:
    drop(repo, "inbox/all/a.md", "---\nfrom: backend\n---\nfor all\n")
    drop(repo, "inbox/auto/b.md", "---\nfrom: backend\n---\nweb_app/index.html looks odd\n")
    coord = coord_for("backend")
    assert adopt.adopt_waiting(coord) == 2
    assert mail.list_(coord_for("security")).unread == 1
    assert sorted(item.message.body for item in mail.list_(coord_for("frontend")).items) == [
        "for all\n",
        "web_app/index.html looks odd\n",
    ]
    assert mail.list_(coord).unread == 0
    assert handwritten.waiting(coord) == ()


def test_an_adoption_done_again_makes_the_same_message(repo: Path, coord_for: Open) -> None:
    coord = coord_for("frontend")
    for _ in range(2):
        drop(repo, "inbox/frontend/a.md", "same\n")
        adopt.adopt_waiting(coord)
    assert mail.list_(coord).unread == 1
    mail.read(coord)
    drop(repo, "inbox/frontend/a.md", "same\n")
    adopt.adopt_waiting(coord)
    assert mail.list_(coord).unread == 0


def test_an_unknown_recipient_bounces_to_the_sender_with_the_nearest_name(repo: Path, coord_for: Open) -> None:
    drop(repo, "inbox/all/x.md", "---\nfrom: backend\nto: fronted\n---\nhi\n")
    adopt.adopt_waiting(coord_for("owner"))
    (item,) = mail.list_(coord_for("backend")).items
    assert "did you mean frontend" in item.message.body
    (dead,) = [path for path in (repo / "inbox/.dead").iterdir() if not path.name.endswith(".why.md")]
    assert dead.read_text() == "---\nfrom: backend\nto: fronted\n---\nhi\n"


def test_what_cannot_be_read_is_kept_byte_for_byte(repo: Path, coord_for: Open) -> None:
    data = b"---\nfrom: [backend\n---\n\xff\xfe not text \x00"
    drop(repo, "inbox/frontend/bad.md", data)
    coord = coord_for("frontend")
    adopt.adopt_waiting(coord)
    coord.settle()
    (dead,) = [path for path in (repo / "inbox/.dead").iterdir() if not path.name.endswith(".why.md")]
    assert dead.read_bytes() == data
    assert "undeliverable: bad.md" in mail.list_(coord).items[0].message.subject
    assert f"inbox/.dead/{dead.name}" in git(repo, "ls-tree", "-r", "--name-only", "coord/ledger")


def test_files_under_way_links_and_the_branchs_own_are_left_alone(
    repo: Path, coord_for: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handwritten, "SETTLE_AFTER", timedelta(minutes=3))
    coord = coord_for("frontend")
    fresh = repo / "inbox/frontend/fresh.md"
    fresh.write_text("half")
    drop(repo, "inbox/frontend/.hidden.md", "x")
    drop(repo, "inbox/frontend/a.md.swp", "x")
    drop(repo, "inbox/frontend/b.md~", "x")
    (repo / "inbox/frontend/link.md").symlink_to("/etc/passwd")
    drop(repo, "inbox/frontend/GUIDE.md", "the branch's own")
    git(repo, "add", "-f", "inbox/frontend/GUIDE.md")
    adopt.adopt_waiting(coord)
    assert mail.list_(coord).unread == 0
    assert fresh.exists()
    assert (repo / "inbox/frontend/GUIDE.md").exists()


def test_a_message_larger_than_mail_is_kept_whole(repo: Path, coord_for: Open) -> None:
    drop(repo, "inbox/frontend/huge.md", b"x" * (3 << 20))
    adopt.adopt_waiting(coord_for("owner"))
    (dead,) = [path for path in (repo / "inbox/.dead").iterdir() if not path.name.endswith(".why.md")]
    assert dead.stat().st_size == 3 << 20
    assert verify.verify(coord_for("owner")).ok


def test_a_file_that_cannot_be_read_hides_no_others(
    repo: Path, coord_for: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = drop(repo, "inbox/frontend/a.md", "secret\n")
    drop(repo, "inbox/frontend/b.md", "hello\n")
    opened = os.open

    def refusing(path: str | Path, *args: int, **more: int) -> int:
        if "a.md" in str(path):  # what a missing permission does, for root too
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *args, **more)

    monkeypatch.setattr(os, "open", refusing)
    coord = coord_for("frontend")
    assert [item.message.body for item in mail.list_(coord).items] == ["hello\n"]
    monkeypatch.undo()
    assert mail.list_(coord).unread == 2
    assert not bad.exists()


@pytest.mark.parametrize(
    "name", [b"caf\xe9.md", b"git~1", b"a\nb.md", b"-rf", b"x" * 255, "ноты 🎶.md".encode(), b"a~b"]
)
@pytest.mark.parametrize("body", [b"hello\n", b"---\nto: [x\n---\n\xff\x00"])
def test_no_name_harms_anybody(repo: Path, coord_for: Open, name: bytes, body: bytes) -> None:
    drop(repo, "inbox/frontend/" + os.fsdecode(name), body)
    coord = coord_for("frontend")
    adopt.adopt_waiting(coord)
    coord.settle()
    (item,) = mail.list_(coord).items
    assert item.message.body == "hello\n" or "could not be delivered" in item.message.body
    assert verify.verify(coord).ok
    assert sorted(path.name for path in (repo / "inbox/frontend").iterdir()) == sorted(["read", Path(item.key).name])


@pytest.mark.parametrize("folder", [b"caf\xe9", b"git~1", b"a\nb", b"-rf"])
def test_a_file_in_a_folder_of_a_strange_name_goes_to_the_dead_letters(
    repo: Path, coord_for: Open, folder: bytes
) -> None:
    drop(repo, os.fsdecode(b"inbox/" + folder + b"/x.md"), "hello\n")
    coord = coord_for("owner")
    message = mail.send(coord, ("frontend",), Prose("hello")).message
    place = keys.message(os.fsdecode(folder), message)
    record = drop(repo, place, (repo / keys.message("frontend", message)).read_bytes())
    adopt.adopt_waiting(coord)
    coord.settle()
    assert len([path for path in (repo / "inbox/.dead").iterdir() if path.read_text() == "hello\n"]) == 1
    assert verify.verify(coord, commit=True).ok
    assert record.exists()


def test_what_is_still_open_for_writing_is_not_taken_half(repo: Path, coord_for: Open) -> None:
    coord = coord_for("frontend")
    path = drop(repo, "inbox/frontend/slow.md", "first half")
    with path.open("a") as writer:
        os.utime(path, (1_700_000_000, 1_700_000_000))
        adopt.adopt_waiting(coord)
        assert mail.list_(coord).unread == 0
        writer.write(", second half")
    eventually(lambda: mail.list_(coord).unread, what="taking it")
    assert mail.list_(coord).items[0].message.body == "first half, second half"


def test_what_is_written_to_the_same_name_meanwhile_is_another_message(
    repo: Path, coord_for: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    coord = coord_for("frontend")
    drop(repo, "inbox/frontend/a.md", "first\n")
    append = coord.journal.append

    def interrupted(event: Event, process: Process) -> None:
        drop(repo, "inbox/frontend/a.md", "second\n")
        append(event, process)

    monkeypatch.setattr(coord.journal, "append", interrupted)
    adopt.adopt_waiting(coord)
    monkeypatch.undo()
    assert sorted(item.message.body for item in mail.list_(coord).items) == ["first\n", "second\n"]


def test_a_claimed_file_whose_taker_died_is_taken_by_the_next(repo: Path, coord_for: Open) -> None:
    drop(repo, "inbox/frontend/a.md", "hello\n")
    key = claim.claim(repo, "inbox/frontend/a.md")
    assert key is not None and not (repo / "inbox/frontend/a.md").exists()
    coord = coord_for("frontend")
    assert [item.message.body for item in mail.list_(coord).items] == ["hello\n"]
    assert not (repo / key).exists()


def test_a_mailbox_that_is_a_link_is_left_alone(repo: Path, coord_for: Open, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.md").write_text("not mail")
    os.utime(outside / "x.md", (1, 1))
    (repo / "inbox/frontend/read").rmdir()
    (repo / "inbox/frontend").rmdir()
    (repo / "inbox/frontend").symlink_to(outside)
    adopt.adopt_waiting(coord_for("owner"), ("frontend",))
    assert [path.name for path in outside.iterdir()] == ["x.md"]


def test_several_at_once_take_each_file_once(repo: Path, coord_for: Open) -> None:
    for number in range(60):
        drop(repo, f"inbox/frontend/{number}.md", f"{number}\n")
    takers = [
        subprocess.Popen([sys.executable, "-m", "coord", "--repo", str(repo), "--as", "frontend", "mail", "list"])
        for _ in range(4)
    ]
    assert [taker.wait(60) for taker in takers] == [0] * 4
    coord = coord_for("frontend")
    assert sorted(int(item.message.body) for item in mail.list_(coord).items) == list(range(60))


@pytest.mark.parametrize("moved", [True, False])
def test_killed_beside_the_rename_whoever_can_mend_it_is_told(repo: Path, coord_for: Open, *, moved: bool) -> None:
    drop(repo, "inbox/frontend/huge.md", b"x" * (3 << 20))
    program = (
        "import os, sys; from pathlib import Path; from coord.service.byhand import adopt\n"
        "from coord.service.coord import Coord\n"
        f"rename = Path.rename\ndef dying(*names):\n    {moved} and rename(*names)\n    os._exit(9)\n"
        "with Coord.open(Path.cwd()) as coord:\n    Path.rename = dying\n    adopt.adopt_waiting(coord)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=repo, check=False).returncode == 9
    adopt.adopt_waiting(coord_for("owner"))
    assert [path.stat().st_size for path in (repo / "inbox/.dead").iterdir()] == [3 << 20]
    assert "too large: huge.md" in [item.message.subject for item in mail.list_(coord_for("frontend")).items]
