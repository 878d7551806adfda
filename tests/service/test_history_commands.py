"""The log, and how things stood at an earlier moment, against days that pass in no time."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from coord.model.errors import NotFound, Usage
from coord.model.records import Change
from coord.service import history, locks, mail
from coord.service.clock import SystemClock
from coord.service.command import Prose
from coord.service.coord import Coord


class Calendar(SystemClock):
    """A wall clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=1)

    def now(self) -> datetime:
        return self.at

    def pass_(self, **length: float) -> None:
        self.at += timedelta(**length)


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


@pytest.fixture
def as_(repo: Path, calendar: Calendar) -> Callable[[str], Coord]:
    return lambda who: Coord.open(repo, who=who, clock=calendar)


def test_log_is_newest_first_and_has_ages(as_: Callable[[str], Coord], calendar: Calendar) -> None:
    mail.send(as_("backend"), ("frontend",), Prose("one"))
    calendar.pass_(hours=2)
    mail.send(as_("backend"), ("frontend",), Prose("two"))
    calendar.pass_(minutes=5)
    found = history.log(as_("owner"))
    assert [one.subject for one in found.events[:2]] == ["backend -> frontend: two", "backend -> frontend: one"]
    assert [one.age for one in found.events[:2]] == [timedelta(minutes=5), timedelta(hours=2, minutes=5)]
    assert found.events[-1].kind == "coord.initialised"
    assert not found.more
    assert len(found.events[0].commit) == 40


def test_log_filters(as_: Callable[[str], Coord], calendar: Calendar) -> None:
    mail.send(as_("backend"), ("frontend",), Prose("one"))
    calendar.pass_(hours=2)
    locks.acquire(as_("frontend"), ("web_app/**",))
    mail.read(as_("frontend"))
    calendar.pass_(minutes=1)

    def kinds(**words: str) -> list[str]:
        return [one.kind for one in history.log(as_("owner"), **words).events]  # type: ignore[arg-type]

    assert kinds(agent="Frontend") == ["mail.read", "lease.granted"]
    assert kinds(kind="mail") == ["mail.read", "mail.sent"]
    assert kinds(kind="mail.sent") == ["mail.sent"]
    assert kinds(kind="nothing") == []
    assert kinds(since="1h") == ["mail.read", "lease.granted"]
    assert kinds(since="1h ago", agent="backend") == []
    assert kinds(until="1h", kind="mail") == ["mail.sent"]
    assert kinds(since=(calendar.at - timedelta(hours=3)).isoformat(), kind="lease") == ["lease.granted"]


def test_log_says_when_there_is_more(as_: Callable[[str], Coord]) -> None:
    for number in range(3):
        mail.send(as_("backend"), ("frontend",), Prose(f"word {number}"))
    found = history.log(as_("owner"), limit=2)
    assert ([one.subject[-1] for one in found.events], found.more) == (["2", "1"], True)
    found = history.log(as_("owner"), limit=3, kind="mail")
    assert (len(found.events), found.more) == (3, False)
    for nothing in (0, -1):
        with pytest.raises(Usage, match=f"--limit {nothing} shows nothing"):
            history.log(as_("owner"), limit=nothing)


def test_log_refuses_what_is_no_time(as_: Callable[[str], Coord]) -> None:
    with pytest.raises(Usage, match="yesterday") as caught:
        history.log(as_("owner"), since="yesterday")
    assert "2h" in caught.value.hint


def test_history_shows_who_held_what_and_what_waited(as_: Callable[[str], Coord], calendar: Calendar) -> None:
    calendar.pass_(hours=1)
    locks.acquire(as_("backend"), ("apps_script/**",), ttl=timedelta(hours=1), note="chefs")
    mail.send(as_("backend"), ("frontend", "security"), Prose("please look"), priority="high")
    calendar.pass_(minutes=30)
    then = calendar.at
    calendar.pass_(minutes=10)
    mail.read(as_("frontend"))
    locks.release(as_("backend"))
    calendar.pass_(hours=5)

    found = history.at(as_("owner"), at=then.isoformat())
    assert (found.at, found.age) == (then, timedelta(hours=5, minutes=10))
    assert [(lock.scope, lock.holder, lock.note) for lock in found.leases] == [("apps_script/**", "backend", "chefs")]
    boxes = {box.mailbox: box for box in found.mailboxes}
    assert set(boxes) == {"frontend", "security"}
    (item,) = boxes["frontend"].items
    assert (item.subject, item.sender, item.priority, item.age) == (
        "please look",
        "backend",
        "high",
        timedelta(minutes=30),
    )
    assert found.last.kind == "mail.sent"
    assert history.at(as_("owner"), at="5h10m ago") == found

    now = history.at(as_("owner"), at="0")
    assert now.leases == ()
    assert [box.mailbox for box in now.mailboxes] == ["security"]


def test_a_lease_that_had_run_out_by_then_is_not_shown(as_: Callable[[str], Coord], calendar: Calendar) -> None:
    locks.acquire(as_("backend"), ("a.js",), ttl=timedelta(minutes=10))
    calendar.pass_(hours=1)
    assert history.at(as_("owner"), at="55m").leases != ()
    assert history.at(as_("owner"), at="5m").leases == ()


def test_a_full_mailbox_is_counted_and_cut(as_: Callable[[str], Coord], calendar: Calendar) -> None:
    backend = as_("backend")
    for number in range(23):
        mail.send(backend, ("frontend",), Prose(f"word {number:02}"))
    backend.settle()
    (box,) = history.at(as_("owner"), at="0").mailboxes
    assert (box.unread, len(box.items), box.left_out) == (23, 20, 3)
    assert box.items[0].subject == "word 00"


def test_history_before_the_beginning_and_after_the_end(as_: Callable[[str], Coord], calendar: Calendar) -> None:
    with pytest.raises(NotFound, match="begins after"):
        history.at(as_("owner"), at="2000-01-01")
    with pytest.raises(Usage, match="future"):
        history.at(as_("owner"), at=(calendar.at + timedelta(hours=1)).isoformat())


def test_what_cannot_be_read_is_named(repo: Path, as_: Callable[[str], Coord]) -> None:
    coord = as_("owner")
    key = "inbox/backend/01KAJ3X5ZC9Q0V7T2D4M8N6P1R-x.md"
    coord.record(coord.event("mail.sent", "broken", [Change(key, b"no front matter\n")]))
    coord.settle()
    assert history.at(as_("owner"), at="0").unreadable == (key,)
