"""What wakes the daemon, on systems that tell of closed files (Linux) and on those that do not (macOS)."""

from pathlib import Path

import pytest
from support import eventually
from watchdog import events

from coord.daemon import sources


class Heard:
    def __init__(self, *, tells_closing: bool) -> None:
        self.moved: list[str] = []
        self.rung = 0
        self.handler = sources.Handler(Path("/farm"), self.moved.append, self._rung, tells_closing=tells_closing)

    def _rung(self) -> None:
        self.rung += 1


@pytest.mark.parametrize(("tells_closing", "rung"), [(True, 0), (False, 1)])
def test_a_change_wakes_only_where_no_close_follows(tells_closing: bool, rung: int) -> None:
    heard = Heard(tells_closing=tells_closing)
    heard.handler.on_any_event(events.FileModifiedEvent("/farm/inbox/a/x.md"))
    assert (heard.moved, heard.rung) == ([], rung)


def test_a_moved_file_is_whole_and_a_closed_one_may_be_opened_again() -> None:
    heard = Heard(tells_closing=True)
    heard.handler.on_any_event(events.FileClosedEvent("/farm/inbox/a/x.md"))
    heard.handler.on_any_event(events.FileMovedEvent("/farm/inbox/a/y.md", "/farm/inbox/a/read/y.md"))
    assert (heard.moved, heard.rung) == (["inbox/a/read/y.md"], 2)


def test_a_claim_of_coords_own_wakes_nobody() -> None:
    heard = Heard(tells_closing=True)
    heard.handler.on_any_event(events.FileMovedEvent("/farm/inbox/a/x.md", "/farm/inbox/a/x.md~0123abcd.taken"))
    assert (heard.moved, heard.rung) == ([], 0)


def test_real_files_are_heard(tmp_path: Path) -> None:
    for folder in ("inbox/a", "locks", "checkpoints"):
        (tmp_path / folder).mkdir(parents=True)
    moved: list[str] = []
    rung: list[int] = []
    with sources.watching(tmp_path, moved=moved.append, ring=lambda: rung.append(1)):
        (tmp_path / "inbox/a/x.md").write_text("hello")
        eventually(lambda: rung, what="the close")
        (tmp_path / "inbox/a/x.md").rename(tmp_path / "inbox/a/y.md")
        eventually(lambda: "inbox/a/y.md" in moved, what="the move")
