"""What wakes the daemon, on systems that tell of closed files (Linux) and on those that do not (macOS)."""

from pathlib import Path

import pytest
from support import eventually
from watchdog import events

from coord.daemon import sources


class Heard:
    def __init__(self, *, tells_closing: bool) -> None:
        self.closed: list[str] = []
        self.moved = self.rung = 0
        self.handler = sources.Handler(
            Path("/farm"), self.closed.append, self._moved, self._rung, tells_closing=tells_closing
        )

    def _moved(self) -> None:
        self.moved += 1

    def _rung(self) -> None:
        self.rung += 1


@pytest.mark.parametrize(("tells_closing", "rung"), [(True, 0), (False, 1)])
def test_a_change_wakes_only_where_no_close_follows(tells_closing: bool, rung: int) -> None:
    heard = Heard(tells_closing=tells_closing)
    heard.handler.on_any_event(events.FileModifiedEvent("/farm/inbox/a/x.md"))
    assert (heard.closed, heard.rung) == ([], rung)


def test_a_closed_file_is_whole_and_a_moved_one_too() -> None:
    heard = Heard(tells_closing=True)
    heard.handler.on_any_event(events.FileClosedEvent("/farm/inbox/a/x.md"))
    heard.handler.on_any_event(events.FileMovedEvent("/farm/inbox/a/y.md", "/farm/inbox/a/read/y.md"))
    assert heard.closed == ["inbox/a/x.md", "inbox/a/read/y.md"]
    assert (heard.moved, heard.rung) == (1, 2)


def test_real_files_are_heard(tmp_path: Path) -> None:
    for folder in ("inbox/a", "locks", "checkpoints"):
        (tmp_path / folder).mkdir(parents=True)
    closed: list[str] = []
    rung: list[int] = []
    with sources.watching(tmp_path, closed=closed.append, moved=lambda: None, ring=lambda: rung.append(1)):
        (tmp_path / "inbox/a/x.md").write_text("hello")
        eventually(lambda: "inbox/a/x.md" in closed and rung, what="the close")
