"""Leases: the examples a person can check."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from coord.model import leases
from coord.model.errors import LeaseHeld, NotFound, StaleToken
from coord.model.leases import Ask, Granted
from coord.model.records import Lock, Mode, Process
from coord.model.scope import Form

PLAIN = Form()
MAC = Form(fold_case=True, compose=True)
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TTL = 30 * MINUTE
SHELL = Process(pid=4711, started_at="1", boot="b")


def ask(holder: str, *scopes: str, mode: Mode = "exclusive", ticket: int = 100) -> Ask:
    return Ask(ticket=f"{ticket:026}", holder=holder, scopes=scopes, mode=mode, asked_at=NOW, process=SHELL)


def lock(
    holder: str, scope: str, token: int, *, mode: Mode = "exclusive", left: timedelta = TTL, note: str = ""
) -> Lock:
    return Lock(
        scope=scope,
        holder=holder,
        token=token,
        granted_at=NOW - MINUTE,
        expires_at=NOW + left,
        mode=mode,
        note=note,
        extra={"x": "kept"},
    )


def grant(held: Sequence[Lock], wanted: Ask, token: int = 50, note: str = "", form: Form = PLAIN) -> Granted:
    return leases.grant(held, wanted, ttl=TTL, now=NOW, token=token, note=note, form=form)


def blockers(held: Sequence[Lock], queue: Sequence[Ask], wanted: Ask, form: Form = PLAIN) -> tuple[Lock | Ask, ...]:
    return leases.blockers(held, queue, wanted, form, NOW)


# ---- what stands in the way ----


def test_a_lease_at_its_last_moment_has_expired() -> None:
    over, running = lock("a", "x", 1, left=timedelta(0)), lock("a", "y", 2, left=timedelta(microseconds=1))
    assert leases.live((over, running), NOW) == (running,)
    assert leases.expired((over, running), NOW) == (over,)


def test_overlapping_live_leases_of_others_block() -> None:
    theirs, apart, over = lock("a", "apps/**", 1), lock("a", "web", 2), lock("a", "apps", 3, left=-MINUTE)
    assert blockers((theirs, apart, over), (), ask("b", "apps/x.js")) == (theirs,)
    assert blockers((theirs,), (), ask("a", "apps/x.js")) == ()
    assert blockers((theirs,), (), ask("b", "APPS/x.js")) == ()
    assert blockers((theirs,), (), ask("b", "APPS/x.js"), MAC) == (theirs,)


def test_sharing_blocks_nobody_who_shares() -> None:
    shared = lock("a", "apps", 1, mode="shared")
    assert blockers((shared,), (), ask("b", "apps", mode="shared")) == ()
    assert blockers((shared,), (), ask("b", "apps")) == (shared,)


def test_nobody_overtakes_a_waiter_whose_ask_conflicts() -> None:
    first, second, later = ask("a", "x", "y", ticket=1), ask("b", "y", ticket=2), ask("c", "y", ticket=9)
    assert blockers((), (later, second, first), ask("d", "y/z", ticket=5)) == (first, second)
    assert blockers((), (first,), ask("a", "x", ticket=5)) == ()
    assert blockers((), (first,), ask("d", "z", ticket=5)) == ()
    sharing = ask("a", "x", mode="shared", ticket=1)
    assert blockers((), (sharing,), ask("d", "x", mode="shared", ticket=5)) == ()


def test_a_waiter_delays_nothing_that_the_asker_holds_already() -> None:
    waiter = ask("b", "apps/x.js", ticket=1)
    mine = lock("a", "apps", 1)
    assert blockers((mine,), (waiter,), ask("a", "apps/x.js")) == ()
    assert blockers((mine,), (waiter,), ask("a", "apps", mode="shared")) == ()
    assert blockers((mine,), (waiter,), ask("a", "**")) == (waiter,)
    sharing = replace(mine, mode="shared")
    assert blockers((sharing,), (waiter,), ask("a", "apps", mode="shared")) == ()
    assert blockers((sharing,), (waiter,), ask("a", "apps")) == (waiter,)
    assert blockers((replace(mine, expires_at=NOW),), (waiter,), ask("a", "apps")) == (waiter,)


# ---- granting ----


def test_grant_gives_each_scope_the_next_token() -> None:
    granted = grant((), ask("a", "x", "y", "x"), token=7, note="why")
    assert [(one.scope, one.token, one.expires_at, one.note) for one in granted.locks] == [
        ("x", 8, NOW + TTL, "why"),
        ("y", 9, NOW + TTL, "why"),
    ]
    assert (granted.replaced, granted.expired) == ((), ())
    assert granted.locks[0].process is None


def test_a_token_is_never_given_twice_even_when_the_last_one_was_forgotten() -> None:
    assert grant((lock("b", "far", 90),), ask("a", "x"), token=3).locks[0].token == 91


def test_several_scopes_are_granted_together_or_not_at_all() -> None:
    with pytest.raises(LeaseHeld):
        grant((lock("b", "y", 1),), ask("a", "x", "y"))


def test_taking_it_again_extends_it_and_keeps_token_start_and_note() -> None:
    mine = lock("a", "x", 5, left=MINUTE, note="first")
    (again,) = grant((mine,), ask("a", "x")).locks
    assert again == replace(mine, expires_at=NOW + TTL)
    (noted,) = grant((replace(mine, expires_at=NOW + 2 * TTL),), ask("a", "x"), note="second").locks
    assert (noted.expires_at, noted.note) == (NOW + 2 * TTL, "second")
    owned = leases.grant((mine,), ask("a", "x"), ttl=TTL, now=NOW, token=9, process=SHELL, form=PLAIN)
    assert owned.locks[0].process == SHELL
    assert grant(owned.locks, ask("a", "x")).locks[0].process == SHELL


def test_an_own_lease_that_ran_out_is_replaced_with_a_new_token() -> None:
    old = lock("a", "x", 5, left=-MINUTE)
    granted = grant((old,), ask("a", "x"))
    assert (granted.locks[0].token, granted.replaced, granted.expired) == (51, (old,), ())


def test_upgrading_gives_a_new_token_and_waits_for_others_who_share() -> None:
    mine, theirs = lock("a", "x", 5, mode="shared"), lock("b", "x/y", 6, mode="shared")
    granted = grant((mine,), ask("a", "x"))
    assert (granted.locks[0].token, granted.locks[0].mode, granted.replaced) == (51, "exclusive", (mine,))
    with pytest.raises(LeaseHeld, match="b shares x/y"):
        grant((mine, theirs), ask("a", "x"))


def test_who_holds_exclusively_and_asks_to_share_keeps_what_it_has() -> None:
    (kept,) = grant((lock("a", "x", 5),), ask("a", "x", mode="shared")).locks
    assert (kept.token, kept.mode) == (5, "exclusive")


def test_a_scope_in_another_letter_case_is_the_same_lease_where_case_is_folded() -> None:
    mine = lock("a", "Apps", 5)
    (kept,) = grant((mine,), ask("a", "apps", "APPS"), form=MAC).locks
    assert (kept.scope, kept.token) == ("Apps", 5)
    shared = replace(mine, mode="shared")
    upgraded = grant((shared,), ask("a", "apps"), form=MAC)
    assert (upgraded.locks[0].scope, upgraded.locks[0].token, upgraded.replaced) == ("Apps", 51, (shared,))
    assert grant((mine,), ask("a", "apps")).locks[0].token == 51


def test_expired_leases_of_others_in_the_way_are_named() -> None:
    theirs, apart = lock("b", "apps/x", 1, left=-MINUTE), lock("b", "web", 2, left=-MINUTE)
    assert grant((theirs, apart), ask("a", "apps")).expired == (theirs,)


def test_the_refusal_says_who_holds_what_until_when_why_and_what_to_do() -> None:
    held = (lock("b", "apps/*", 4, note="fixing\n\x1b[31mit"), lock("c", "apps", 6, mode="shared"))
    with pytest.raises(LeaseHeld) as caught:
        grant(held, ask("a", "apps/x.js"))
    assert caught.value.message == (
        "b holds apps/* until 2026-11-22T12:30:00Z (“fixing it”); c shares apps until 2026-11-22T12:30:00Z"
    )
    assert "--wait 10m" in caught.value.hint
    assert "`coord mail send b` or `coord mail send c`" in caught.value.hint
    assert caught.value.facts == {
        "holders": ("b", "c"),
        "scopes": ("apps/*", "apps"),
        "tokens": (4, 6),
        "expires_at": ("2026-11-22T12:30:00Z", "2026-11-22T12:30:00Z"),
        "wait": "30m",
    }


def test_the_refusal_for_a_waiter_says_since_when_it_waits() -> None:
    error = leases.refusal((ask("b", "x", "y"),), NOW)
    assert error.message == "b has waited for x, y since 2026-11-22T12:00:00Z"
    assert error.facts["tokens"] == ()


# ---- renewing and releasing ----


def renew(held: Sequence[Lock], holder: str, scope: str, token: int | None = None, queue: Sequence[Ask] = ()) -> Lock:
    return leases.renew(held, queue, holder, scope, ttl=TTL, now=NOW, token=token, form=PLAIN)


def test_renewing_extends_and_never_shortens() -> None:
    mine = lock("a", "x", 5, left=MINUTE)
    assert renew((mine,), "a", "x", 5) == replace(mine, expires_at=NOW + TTL)
    long = lock("a", "x", 5, left=2 * TTL)
    assert renew((long,), "a", "x") == long


def test_an_expired_lease_that_nobody_took_may_be_renewed() -> None:
    mine = lock("a", "x", 5, left=-MINUTE)
    assert renew((mine, lock("b", "y", 6)), "a", "x").token == 5
    with pytest.raises(LeaseHeld, match="b holds"):
        renew((mine, lock("b", "**", 6)), "a", "x")


def test_renewing_an_expired_lease_does_not_overtake_who_waits_for_it() -> None:
    mine, waiter = lock("a", "x", 5, left=-MINUTE), ask("b", "y", "x/1")
    with pytest.raises(LeaseHeld, match="b has waited for y, x/1 since"):
        renew((mine,), "a", "x", queue=(waiter,))
    assert renew((mine,), "a", "x", queue=(ask("b", "y"), ask("a", "x"))).token == 5
    assert renew((replace(mine, mode="shared"),), "a", "x", queue=(ask("b", "x", mode="shared"),)).token == 5
    assert renew((replace(mine, expires_at=NOW + MINUTE),), "a", "x", queue=(waiter,)).expires_at == NOW + TTL


def test_renewing_what_passed_on_says_who_has_it_now() -> None:
    with pytest.raises(NotFound, match="a holds no lease on x; b holds x until") as caught:
        renew((lock("b", "x", 6),), "a", "x", 5)
    assert caught.value.hint
    with pytest.raises(StaleToken, match="has token 6, not 5"):
        renew((lock("a", "x", 6),), "a", "x", 5)


def test_releasing_names_or_all_or_by_token() -> None:
    x, y, theirs = lock("a", "x", 1), lock("a", "y", 2, left=-MINUTE), lock("b", "z", 3)
    held = (x, y, theirs)
    assert leases.release(held, "a", ("y", "y"), None, PLAIN) == (y,)
    assert leases.release(held, "a", (), None, PLAIN) == (x, y)
    assert leases.release(held, "a", (), 2, PLAIN) == (y,)
    assert leases.release(held, "c", (), None, PLAIN) == ()
    with pytest.raises(StaleToken):
        leases.release(held, "a", ("x",), 2, PLAIN)
    with pytest.raises(StaleToken):
        leases.release(held, "a", (), 3, PLAIN)
    with pytest.raises(NotFound, match="b holds z"):
        leases.release(held, "a", ("z",), None, PLAIN)


@pytest.mark.parametrize(
    ("scopes", "meant", "near"),
    [
        (("web/index.html", "apps/users.js"), "apps/user.js", "apps/users.js"),
        (("apps/**", "apps/x.jsx/y"), "apps/x.js", "apps/**"),
        (("q",), "x", "q"),
    ],
)
def test_a_scope_that_is_not_held_brings_the_nearest_one_that_is(scopes: Sequence[str], meant: str, near: str) -> None:
    held = [lock("a", scope, token) for token, scope in enumerate(scopes)]
    with pytest.raises(NotFound) as caught:
        leases.release(held, "a", (meant,), None, PLAIN)
    assert caught.value.hint == f"did you mean {near}?"


def test_who_holds_nothing_is_pointed_to_the_list() -> None:
    with pytest.raises(NotFound) as caught:
        leases.release((), "a", ("x",), None, PLAIN)
    assert caught.value.hint == "see `coord lock list`"


# ---- the queue ----


def test_next_in_line_is_the_first_whom_nothing_else_blocks() -> None:
    freed, other = lock("a", "x", 1), lock("b", "y", 2)
    stuck, able, later = ask("c", "x/1", "y", ticket=1), ask("d", "x/2", ticket=2), ask("e", "x", ticket=3)
    queue = (later, able, stuck)
    assert leases.next_in_line((freed, other), queue, freed, PLAIN, NOW) == able
    assert leases.next_in_line((other,), queue, freed, PLAIN, NOW) == able
    assert leases.next_in_line((freed,), queue, freed, PLAIN, NOW) == stuck
    assert leases.next_in_line((freed, other), (stuck, later), freed, PLAIN, NOW) is None
    assert leases.next_in_line((freed,), (ask("c", "far"),), freed, PLAIN, NOW) is None


def test_a_circle_of_two() -> None:
    held = (lock("a", "x", 1), lock("b", "y", 2))
    queue = (ask("b", "x", ticket=1),)
    assert leases.circle(held, queue, ask("a", "y", ticket=2), PLAIN, NOW) == ("a", "b", "a")
    assert leases.circle(held, (), ask("a", "y", ticket=2), PLAIN, NOW) == ()
    assert leases.circle(held, queue, ask("c", "y", ticket=2), PLAIN, NOW) == ()


def test_a_circle_through_a_place_in_the_queue() -> None:
    held = (lock("a", "x", 1),)
    queue = (ask("b", "x", "y", ticket=1),)
    assert leases.circle(held, queue, ask("a", "y", ticket=2), PLAIN, NOW) == ("a", "b", "a")
    assert leases.circle(held, queue, ask("a", "x", ticket=2), PLAIN, NOW) == ()


def test_two_who_share_and_both_upgrade_close_a_circle() -> None:
    held = (lock("a", "x", 1, mode="shared"), lock("b", "x", 2, mode="shared"))
    assert leases.circle(held, (ask("b", "x", ticket=1),), ask("a", "x", ticket=2), PLAIN, NOW) == ("a", "b", "a")


def test_one_agents_two_waiters_with_another_between_are_no_circle() -> None:
    held = (lock("c", "x", 1), lock("b", "y", 2))
    queue = (ask("a", "x", ticket=1), ask("b", "x", ticket=2))
    assert leases.circle(held, queue, ask("a", "x", ticket=3), PLAIN, NOW) == ()
    granted = (lock("a", "x", 3), lock("b", "y", 2))
    assert leases.circle(granted, queue[1:], ask("a", "y", ticket=3), PLAIN, NOW) == ("a", "b", "a")


def test_a_lease_of_one_process_does_not_wait_for_what_another_process_asks() -> None:
    here, there = SHELL, replace(SHELL, pid=4712)
    held = (replace(lock("a", "x", 1), process=here), lock("b", "y", 2))
    queue = (ask("b", "x", ticket=1),)
    wanted = ask("a", "y", ticket=2)
    assert leases.circle(held, queue, replace(wanted, bound_to=there), PLAIN, NOW) == ()
    assert leases.circle(held, queue, replace(wanted, bound_to=here), PLAIN, NOW) == ("a", "b", "a")
    assert leases.circle(held, queue, wanted, PLAIN, NOW) == ("a", "b", "a")


def test_what_had_not_expired_before_a_jump_lasts_until_its_end() -> None:
    over, short, long = lock("a", "x", 1, left=-MINUTE), lock("b", "y", 2, left=MINUTE), lock("c", "z", 3)
    assert leases.spared((over, short, long), NOW, NOW + 2 * MINUTE) == (
        over,
        replace(short, expires_at=NOW + 2 * MINUTE),
        long,
    )
