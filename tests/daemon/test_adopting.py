"""What hands write is taken in beside the daemon's looks: here none of them looks."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support import eventually, git

from coord.daemon import adopting, sources
from coord.daemon.adopting import Adopting
from coord.service import mail
from coord.service.byhand import handwritten
from coord.service.coord import Coord

Open = Callable[..., Coord]


@pytest.fixture
def rung() -> list[int]:
    return []


@pytest.fixture
def intake(repo: Path, coord_for: Open, rung: list[int]) -> Iterator[Adopting]:
    intake = Adopting(coord_for(), lambda: rung.append(1))
    with intake.going_on():
        yield intake


def write(repo: Path, key: str, text: str = "hello\n") -> Path:
    (repo / key).write_text(text)
    return repo / key


def unread(coord: Coord) -> list[str]:
    """Look without taking anything in."""
    return [key for key in coord.records("inbox/frontend") if "/read/" not in key]


def test_a_file_is_mail_before_anybody_looks(repo: Path, coord_for: Open, intake: Adopting, rung: list[int]) -> None:
    heard = sources.Heard(ring=lambda: None, moved=lambda: None, wrote=intake.wrote)
    coord = coord_for("frontend")
    with sources.watching(repo, heard):
        write(repo, "inbox/frontend/written.md")
        eventually(lambda: len(unread(coord)) == 1, what="taking in what was written")
        write(repo, "inbox/frontend/draft.tmp").rename(repo / "inbox/frontend/draft.md")
        eventually(lambda: len(unread(coord)) == 2, what="taking in what was renamed")
        write(repo, "elsewhere.md").rename(repo / "inbox/frontend/moved.md")
        eventually(lambda: len(unread(coord)) == 3, what="taking in what was moved here")
        blank = write(repo, "inbox/frontend/blank.md", "")
        blank.write_text("at last\n")
        eventually(lambda: len(unread(coord)) == 4, what="taking in what was blank at first")
    assert not rung
    assert [item.message.body for item in mail.list_(coord).items].count("hello\n") == 3


def test_a_file_rests_unless_it_was_moved_here(
    repo: Path, coord_for: Open, intake: Adopting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handwritten, "SETTLE_AFTER", timedelta(minutes=3))
    fresh = write(repo, "inbox/frontend/fresh.md")
    intake.wrote("inbox/frontend/fresh.md", False)
    write(repo, "inbox/frontend/moved.md")
    intake.wrote("inbox/frontend/moved.md", True)
    eventually(lambda: unread(coord_for("frontend")), what="taking in what was moved")
    assert fresh.exists()


def test_what_is_no_mail_stays(repo: Path, coord_for: Open, intake: Adopting, rung: list[int]) -> None:
    (repo / "inbox/frontend/link.md").symlink_to("/etc/passwd")
    (repo / "inbox/linked").symlink_to(repo / "web_app")
    kept = [
        write(repo, "inbox/frontend/GUIDE.md"),
        write(repo, "inbox/frontend/blank.md", " \n"),
        write(repo, "inbox/frontend/draft.md.swp"),
        write(repo, "inbox/linked/index.md"),
        write(repo, "inbox/README.md"),
        write(repo, "inbox/merges/note.md"),
    ]
    git(repo, "add", "-f", "inbox/frontend/GUIDE.md")
    for path in (*kept, repo / "inbox/frontend/link.md", repo / "inbox/frontend/gone.md"):
        intake.wrote(path.relative_to(repo).as_posix(), True)
    write(repo, "inbox/frontend/last.md")
    intake.wrote("inbox/frontend/last.md", True)
    eventually(lambda: unread(coord_for("frontend")), what="taking in the last one")
    assert all(path.is_file() for path in kept)
    assert not rung
    assert (repo / "inbox/frontend/link.md").is_symlink()


def test_what_cannot_be_taken_in_is_left_to_a_look(repo: Path, intake: Adopting, rung: list[int]) -> None:
    (repo / ".git/coord/guards/adopt.lock").unlink(missing_ok=True)
    (repo / ".git/coord/guards/adopt.lock").mkdir(parents=True)
    path = write(repo, "inbox/frontend/note.md")
    intake.wrote("inbox/frontend/note.md", True)
    eventually(lambda: rung, what="ringing")
    assert path.exists()


def test_a_flood_of_hints_is_left_to_a_look(coord_for: Open, rung: list[int]) -> None:
    intake = Adopting(coord_for(), lambda: rung.append(1))
    for number in range(adopting._MOST_HINTS + 3):
        intake.wrote(f"inbox/frontend/{number}.md", False)
    assert len(rung) == 3
