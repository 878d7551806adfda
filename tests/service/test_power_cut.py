"""What a power cut undoes is done again: the note outlives it, and whoever comes first after the start heals."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support import git

from coord.model.records import Change
from coord.service import locks, mail
from coord.service.command import Prose
from coord.service.coord import Coord
from coord.stores import oslock
from coord.stores.files import FileStore
from coord.stores.framing import frame, unframe

Open = Callable[..., Coord]

pytestmark = pytest.mark.skipif(not oslock.knows_boots(), reason="this system does not name its boots")


def power_cut(repo: Path) -> None:
    """Make all that was written so far the work of an earlier boot of this machine."""
    private = repo / ".git" / "coord"
    now = oslock.me().boot
    earlier = f"{'1' if now[0] == '0' else '0'}{now[1:]}"
    for segment in (private / "journal").glob("*.log"):
        found = unframe(segment.read_bytes(), final=True)
        segment.write_bytes(b"".join(frame(text.replace(now, earlier)) for _, text in found.texts))
    for guard in [*(private / "guards").glob("*.lock"), private / "healed"]:
        guard.write_bytes(guard.read_bytes().replace(now.encode(), earlier.encode()))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(b"\0" * 90),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_message_that_was_acknowledged_is_whole_again(
    repo: Path, coord_for: Open, damage: Callable[[Path], object]
) -> None:
    sent = mail.send(coord_for("backend"), ("frontend",), Prose("the sheet moved"))
    (path,) = (repo / "inbox" / "frontend").glob(f"{sent.message.id}*")
    whole = path.read_bytes()
    power_cut(repo)
    damage(path)
    Coord.open(repo)
    assert path.read_bytes() == whole
    assert git(repo, "show", f"coord/ledger:inbox/frontend/{path.name}").encode() == whole.rstrip()


def test_what_a_later_event_replaced_stays_replaced(repo: Path, coord_for: Open) -> None:
    coord = coord_for("backend")
    (taken,) = locks.acquire(coord, ("apps_script/**",)).locks
    locks.release(coord, ("apps_script/**",))
    mail.send(coord_for("security"), ("frontend",), Prose("read me"))
    frontend = coord_for("frontend")
    mail.read(frontend)
    power_cut(repo)
    (path,) = (repo / "inbox" / "frontend" / "read").glob("*.md")
    path.rename(repo / "inbox" / "frontend" / path.name)
    fresh = Coord.open(repo, who="frontend")
    assert locks.list_(fresh).locks == ()
    assert mail.list_(fresh).items == ()
    assert path.is_file()
    assert taken.token < locks.acquire(fresh, ("apps_script/**",)).locks[0].token


def test_a_start_without_news_is_not_held_up(repo: Path, coord_for: Open) -> None:
    coord = coord_for("backend")
    mail.send(coord, ("frontend",), Prose("all is committed"))
    coord.settle()
    power_cut(repo)
    tip = coord.ledger.tip()
    fresh = Coord.open(repo)
    assert fresh.left is None
    assert fresh.ledger.tip() == tip


def test_a_fault_while_healing_hides_nothing_that_can_be_read(repo: Path, coord_for: Open) -> None:
    mail.send(coord_for("backend"), ("frontend",), Prose("still here"))
    power_cut(repo)
    (repo / ".git" / "coord" / "journal" / "state.json").write_text("{")
    fresh = Coord.open(repo, who="frontend")
    assert "state.json" in str(fresh.left)
    assert [item.message.body.strip() for item in mail.list_(fresh).items] == ["still here"]
    (repo / ".git" / "coord" / "journal" / "state.json").unlink()


@pytest.mark.parametrize("defers", [True, False])
def test_only_where_a_reboot_can_be_told_are_files_synced_later(
    repo: Path, defers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    store = FileStore(repo, repo / ".git/coord", defers=defers)
    store.apply([Change("inbox/frontend/old.md", b"makes the folder")])
    with monkeypatch.context() as seen:
        seen.setattr(os, "fsync", synced.append)
        seen.setattr(os, "fdatasync", synced.append)
        store.apply([Change("inbox/frontend/new.md", b"x")], commit=lambda: None)
    assert bool(synced) is not defers
    assert oslock.Processes().knows_boots()
    assert not oslock.Processes(proc=repo / "nothing").knows_boots()


def test_a_fault_after_the_note_is_no_refusal(repo: Path, coord_for: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    coord = coord_for("backend")

    def failing(*_args: object, **_options: object) -> None:
        raise OSError(errno.EIO, "the disk failed")

    with monkeypatch.context() as faulty:
        faulty.setattr(os, "rename", failing)
        sent = mail.send(coord, ("frontend",), Prose("it stands"))
    assert "cannot write" in str(coord.left)
    coord.settle()
    frontend = coord_for("frontend")
    assert [item.message.id for item in mail.list_(frontend).items] == [sent.message.id]
    assert git(repo, "log", "--format=%s", "coord/ledger").count("it stands") == 1
