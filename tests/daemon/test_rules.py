"""The daemon's rules: pure, so each case is a View and what should follow."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from coord.config.schema import Agent, Config
from coord.daemon.plan import (
    Adopt,
    Aged,
    Discard,
    Dropped,
    ExpireLease,
    Forward,
    FreeDead,
    Merge,
    Read,
    Reconcile,
    Reguard,
    Remind,
    Repack,
    Retire,
    Ruled,
    Settled,
    Trim,
    View,
    Waiting,
)
from coord.daemon.rules.deliver import deliver
from coord.daemon.rules.expire import expire
from coord.daemon.rules.keep import keep
from coord.daemon.rules.listed import RULES
from coord.daemon.rules.merge import merge
from coord.daemon.rules.sweep import sweep
from coord.daemon.rules.tidy import tidy
from coord.model.records import Lock, MergeRequest, MergeState, Priority

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CONFIG = Config(agents=(Agent(name="backend"), Agent(name="lead")), coordinator="lead")


def view(**what: object) -> View:
    return View(now=NOW, config=CONFIG, **what)  # type: ignore[arg-type]  # each test names real fields


def lock(ends: timedelta, token: int = 1) -> Lock:
    return Lock(scope="a.py", holder="backend", token=token, granted_at=NOW - timedelta(hours=1), expires_at=NOW + ends)


def waiting(
    age: timedelta,
    priority: Priority = "normal",
    *,
    mailbox: str = "backend",
    sender: str = "lead",
    expires_at: datetime | None = None,
    reminded: int = 0,
) -> Waiting:
    key = f"inbox/{mailbox}/01KAJ3X5ZC9Q0V7T2D4M8N6P1R-s.md"
    return Waiting(key, mailbox, sender, priority, NOW - age, expires_at, reminded)


def request(identifier: str, state: MergeState = "queued") -> MergeRequest:
    return MergeRequest(
        id=identifier, branch="b", into="main", head="0", agent="backend", requested_at=NOW, title="t", state=state
    )


def test_a_quiet_world_asks_for_nothing() -> None:
    assert [action for rule in RULES for action in rule(view())] == []


def test_only_whole_files_are_adopted() -> None:
    seen = view(
        dropped=(Dropped("inbox/backend/a.md", 0.0), Dropped("inbox/backend/b.md", 0.004)), shared=("inbox/all/x",)
    )
    assert deliver(seen) == [Adopt("inbox/backend/a.md"), Forward("inbox/all/x")]


def test_leases_expire_at_their_time_and_not_before() -> None:
    seen = view(locks=(lock(timedelta(0), 1), lock(timedelta(seconds=1), 2), lock(-timedelta(days=3), 3)))
    assert expire(seen) == [ExpireLease("a.py", 1), ExpireLease("a.py", 3)]


def test_an_unsteady_clock_reaps_nothing_but_the_dead() -> None:
    seen = view(
        steady=False, locks=(lock(-timedelta(days=3)),), dead_holders=(7,), unread=(waiting(timedelta(days=9)),)
    )
    assert expire(seen) == [FreeDead((7,))]
    assert sweep(seen) == []


def test_read_mail_leaves_after_its_retention() -> None:
    old, young = Read("inbox/backend/read/a.md", NOW - timedelta(days=7)), Read("b", NOW - timedelta(days=6))
    assert sweep(view(read=(old, young))) == [Retire((old.key,), "read")]


def test_expired_mail_is_retired_and_not_chased() -> None:
    gone = waiting(timedelta(days=9), expires_at=NOW)
    assert sweep(view(unread=(gone,))) == [Retire((gone.key,), "expired")]


def test_unread_mail_is_told_of_level_by_level_and_each_once() -> None:
    def told(age: timedelta, reminded: int, mailbox: str = "backend") -> list[tuple[str, int]]:
        actions = sweep(view(unread=(waiting(age, mailbox=mailbox, reminded=reminded),)))
        return [(action.to, action.level) for action in actions if isinstance(action, Remind)]

    assert told(timedelta(hours=23), 0) == []
    assert told(timedelta(hours=25), 0) == [("backend", 1)]
    assert told(timedelta(hours=25), 1) == []
    assert told(timedelta(hours=49), 1) == [("lead", 2)]
    assert told(timedelta(hours=73), 2) == [("owner", 3)]
    assert told(timedelta(days=30), 3) == []
    assert told(timedelta(hours=49), 1, mailbox="lead") == [("owner", 2)]
    assert told(timedelta(days=30), 0, mailbox="owner") == []


def test_urgent_mail_is_chased_sooner_and_coords_own_never() -> None:
    assert sweep(view(unread=(waiting(timedelta(minutes=16), "urgent"),))) != []
    assert sweep(view(unread=(waiting(timedelta(days=30), sender="coord"),))) == []


def test_the_queue_of_each_branch_goes_on() -> None:
    waiting = (request("A", "testing"), request("B"), replace(request("C"), into="other"))
    assert merge(view(merges=waiting)) == [Merge("main"), Merge("other")]


def test_upkeep() -> None:
    seen = view(drifted=True, fragmented=True, unguarded=("pre-push",))
    assert keep(seen) == [Reconcile(), Repack(), Reguard(("pre-push",))]


def settled(**what: tuple[Aged, ...] | tuple[Ruled, ...]) -> View:
    return view(settled=Settled(**what))  # type: ignore[arg-type]  # each test names real fields


def test_dead_letters_and_logs_leave_after_their_retention() -> None:
    old, young = Aged("inbox/.dead/a.md", NOW - timedelta(days=30)), Aged("inbox/.dead/b.md", NOW - timedelta(days=29))
    assert tidy(settled(dead=(old, young))) == [Retire((old.name,), "dead letter")]
    assert tidy(settled(logs=(old, young))) == [Discard((old.name,))]


def test_beyond_their_number_the_oldest_closed_decisions_leave_and_open_ones_stay() -> None:
    many = tuple(Ruled(f"d{number}", open=number < 3) for number in range(204))
    assert tidy(settled(decisions=many)) == [Retire(("d3", "d4", "d5", "d6"), "settled")]
    assert tidy(settled(decisions=many[4:])) == []
    assert tidy(settled(decisions=tuple(Ruled(f"d{number}", open=True) for number in range(300)))) == []


def test_a_long_log_of_the_daemon_begins_anew() -> None:
    assert tidy(view(settled=Settled(told=8 << 20))) == []
    assert tidy(view(settled=Settled(told=(8 << 20) + 1))) == [Trim()]


def test_an_unsteady_clock_tidies_nothing() -> None:
    old = (Aged("a", NOW - timedelta(days=300)),)
    assert tidy(View(now=NOW, config=CONFIG, steady=False, settled=Settled(old, (), old))) == []
