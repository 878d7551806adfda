"""What wakes the daemon, on systems that tell of closed files (Linux) and on those that do not (macOS)."""

from pathlib import Path

import pytest
from support import eventually
from watchdog import events

from coord.daemon import sources


class Ear:
    def __init__(self, *, tells_closing: bool = True) -> None:
        self.wrote: list[tuple[str, bool]] = []
        self.moved = self.rung = 0
        heard = sources.Heard(ring=self._rung, moved=self._moved, wrote=lambda *told: self.wrote.append(told))
        self.handler = sources.Handler(Path("/farm"), heard, tells_closing=tells_closing)

    def _rung(self) -> None:
        self.rung += 1

    def _moved(self) -> None:
        self.moved += 1

    def hears(self, event: events.FileSystemEvent) -> "Ear":
        self.handler.on_any_event(event)
        return self


RECORD = "01KAJ3X5ZC9Q0V7T2D4M8N6P1R-hi.md"


@pytest.mark.parametrize(("tells_closing", "wrote"), [(True, []), (False, [("inbox/a/x.md", False)])])
def test_a_change_is_told_only_where_no_close_follows(tells_closing: bool, wrote: list[object]) -> None:
    ear = Ear(tells_closing=tells_closing).hears(events.FileModifiedEvent("/farm/inbox/a/x.md"))
    assert (ear.wrote, ear.moved, ear.rung) == (wrote, 0, 0)


def test_what_was_moved_to_a_mailbox_is_whole_and_what_was_closed_may_be_opened_again() -> None:
    ear = Ear().hears(events.FileClosedEvent("/farm/inbox/a/x.md"))
    ear.hears(events.FileMovedEvent("/farm/inbox/a/.x.swp", "/farm/inbox/a/y.md"))
    assert ear.wrote == [("inbox/a/x.md", False), ("inbox/a/y.md", True)]
    assert (ear.moved, ear.rung) == (0, 0)


def test_a_record_that_was_moved_is_looked_at_wherever_it_went() -> None:
    ear = Ear().hears(events.FileMovedEvent(f"/farm/inbox/a/{RECORD}", f"/farm/inbox/a/read/{RECORD}"))
    assert (ear.wrote, ear.moved, ear.rung) == ([], 1, 0)
    ear.hears(events.FileMovedEvent(f"/farm/inbox/a/{RECORD}", "/farm/inbox/a/mine.md"))
    assert (ear.wrote, ear.moved, ear.rung) == ([("inbox/a/mine.md", True)], 2, 0)


@pytest.mark.parametrize("key", [f"inbox/a/{RECORD}", "inbox/a/x.md~", "locks/x.yaml", "inbox/README.md"])
def test_any_other_file_only_wakes(key: str) -> None:
    ear = Ear().hears(events.FileClosedEvent(f"/farm/{key}"))
    assert (ear.wrote, ear.moved, ear.rung) == ([], 0, 1)


def test_a_claim_of_coords_own_wakes_nobody() -> None:
    ear = Ear().hears(events.FileMovedEvent("/farm/inbox/a/x.md", "/farm/inbox/a/x.md~0123abcd.taken"))
    assert (ear.wrote, ear.moved, ear.rung) == ([], 0, 0)


def test_real_files_are_heard(tmp_path: Path) -> None:
    for folder in ("inbox/a/read", "locks", "checkpoints"):
        (tmp_path / folder).mkdir(parents=True)
    wrote: list[tuple[str, bool]] = []
    moved: list[int] = []
    rung: list[int] = []
    heard = sources.Heard(
        ring=lambda: rung.append(1), moved=lambda: moved.append(1), wrote=lambda *told: wrote.append(told)
    )
    with sources.watching(tmp_path, heard):
        (tmp_path / "inbox/a/x.md").write_text("hello")
        eventually(lambda: ("inbox/a/x.md", False) in wrote, what="the close")
        (tmp_path / "inbox/a/x.md").rename(tmp_path / "inbox/a/y.md")
        eventually(lambda: ("inbox/a/y.md", True) in wrote, what="the move")
        (tmp_path / "inbox/a" / RECORD).write_text("hello")
        eventually(lambda: rung, what="the record")
        (tmp_path / "inbox/a" / RECORD).rename(tmp_path / "inbox/a/read" / RECORD)
        eventually(lambda: moved, what="the acknowledgement")
