"""Leases: the examples a person can check, then random histories against rules written a second time."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
thorough = settings(deadline=None, print_blob=True, derandomize=False, max_examples=300)


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
        "b holds apps/* until 2026-11-22T12:30:00Z (fixing it); c shares apps until 2026-11-22T12:30:00Z"
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


def renew(held: Sequence[Lock], holder: str, scope: str, token: int | None = None) -> Lock:
    return leases.renew(held, holder, scope, TTL, NOW, token, PLAIN)


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


# ---- random histories, judged by rules of their own ----

HOLDERS = ("a", "b", "c", "d")
SCOPES = ("x", "x/1", "x/2", "y", "y/1", "**")
holders, scopes = st.sampled_from(HOLDERS), st.lists(st.sampled_from(SCOPES), min_size=1, max_size=2, unique=True)
modes: st.SearchStrategy[Mode] = st.sampled_from(["exclusive", "shared"])


def below(a: str, b: str) -> bool:
    return b == "**" or f"{a}/".startswith(f"{b}/")


def collide(a: Lock | Ask, b: Lock | Ask) -> bool:
    if a.holder == b.holder or a.mode == b.mode == "shared":
        return False
    ours, theirs = (((one.scope,) if isinstance(one, Lock) else one.scopes) for one in (a, b))
    return any(below(x, y) or below(y, x) for x in ours for y in theirs)


@dataclass
class History:
    """A book of leases as a service would keep it, with every promise checked after each step."""

    now: datetime = NOW
    tickets: int = 0
    held: list[Lock] = field(default_factory=list)
    queue: list[Ask] = field(default_factory=list)
    tokens: list[int] = field(default_factory=lambda: [0])

    def ask(self, holder: str, wanted: Sequence[str], mode: Mode, ttl: int) -> None:
        self.tickets += 1
        new = ask(holder, *wanted, mode=mode, ticket=self.tickets)
        if leases.blockers(self.held, self.queue, new, PLAIN, self.now):
            if leases.circle(self.held, self.queue, new, PLAIN, self.now):
                return
            self.queue.append(new)
        else:
            self.grant(new, ttl)

    def grant(self, one: Ask, ttl: int) -> None:
        had = [mine for mine in leases.live(self.held, self.now) if mine.holder == one.holder]
        overtaken = [other for other in self.queue if other.ticket < one.ticket and collide(other, one)]
        for other in overtaken:
            fresh = [
                scope
                for scope in one.scopes
                if not any(below(scope, mine.scope) and mine.mode in (one.mode, "exclusive") for mine in had)
            ]
            assert not fresh or not collide(other, replace(one, scopes=tuple(fresh))), "overtook a waiter"
        granted = leases.grant(
            self.held, one, ttl=ttl * MINUTE, now=self.now, token=self.tokens[-1], note="", form=PLAIN
        )
        gone = (*granted.replaced, *granted.expired)
        known = {each.token for each in self.held}
        self.held = [each for each in self.held if each not in gone]
        for each in granted.locks:
            self.held = [old for old in self.held if old.token != each.token]
            if each.token not in known:
                assert each.token > self.tokens[-1], "a token given twice, or out of order"
                self.tokens.append(each.token)
        self.held += granted.locks

    def release(self, holder: str) -> None:
        for gone in leases.release(self.held, holder, (), None, PLAIN):
            self.held.remove(gone)
            follower = leases.next_in_line(self.held, self.queue, gone, PLAIN, self.now)
            if follower:
                assert not [each for each in leases.live(self.held, self.now) if collide(each, follower)], (
                    "woken for nothing"
                )

    def renew(self, holder: str) -> None:
        for old in [each for each in self.held if each.holder == holder]:
            new = leases.renew(self.held, holder, old.scope, 5 * MINUTE, self.now, None, PLAIN)
            assert new.token == old.token
            self.held[self.held.index(old)] = new

    def sweep(self) -> None:
        for gone in leases.expired(self.held, self.now):
            self.held.remove(gone)

    def serve(self) -> None:
        for one in sorted(self.queue, key=lambda each: each.ticket):
            if not leases.blockers(self.held, self.queue, one, PLAIN, self.now):
                self.queue.remove(one)
                self.grant(one, 5)

    def pass_time(self, minutes: int) -> None:
        self.now += minutes * MINUTE

    def check(self) -> None:
        pairs = [(a, b) for i, a in enumerate(self.held) for b in self.held[:i]]
        assert not [pair for pair in pairs if collide(*pair)], "two hold what only one may"
        assert len({each.token for each in self.held}) == len(self.held)
        assert len({(each.holder, each.scope) for each in self.held}) == len(self.held)


steps: st.SearchStrategy[tuple[str, ...]] = st.one_of(
    st.tuples(st.just("ask"), holders, scopes, modes, st.integers(1, 9)),
    st.tuples(st.sampled_from(["release", "renew"]), holders),
    st.tuples(st.sampled_from(["serve", "sweep"])),
    st.tuples(st.just("pass_time"), st.integers(1, 8)),
)


@thorough
@given(st.lists(steps, max_size=40))
def test_no_history_lets_two_in_gives_a_token_twice_or_overtakes(history: list[tuple[str, ...]]) -> None:
    book = History()
    for name, *arguments in history:
        getattr(book, name)(*arguments)
        book.check()


@thorough
@given(st.lists(steps.filter(lambda step: step[0] != "renew"), max_size=30))
def test_a_queue_without_circles_is_served_to_its_end(history: list[tuple[str, ...]]) -> None:
    # Renewing what had expired can close a circle that no ask closes: whoever waits asks again, and sees it.
    book = History()
    for name, *arguments in history:
        getattr(book, name)(*arguments)
    for _ in range(len(book.queue) + 1):
        waiting = {one.holder for one in book.queue}
        for holder in HOLDERS:
            if holder not in waiting:
                book.release(holder)
        book.serve()
    assert not book.queue, "somebody waits for ever"


asks = st.builds(
    lambda holder, wanted, mode, ticket: ask(holder, *wanted, mode=mode, ticket=ticket),
    holders,
    scopes,
    modes,
    st.integers(1, 1000),
)
books = st.lists(st.tuples(holders, st.sampled_from(SCOPES[:5]), modes), max_size=5)


def edges(held: Sequence[Lock], waiting: Sequence[Ask], one: Ask) -> set[str]:
    names = {each.holder for each in held if collide(each, one)}
    mine = [each for each in held if each.holder == one.holder and (each.mode == "exclusive" or one.mode == "shared")]
    fresh = tuple(scope for scope in one.scopes if not any(below(scope, each.scope) for each in mine))
    earlier = [each for each in waiting if each.ticket < one.ticket]
    return names | {each.holder for each in earlier if collide(each, replace(one, scopes=fresh))}


@thorough
@given(books, st.lists(asks, max_size=6, unique_by=lambda one: one.ticket), asks)
def test_a_circle_is_found_exactly_where_a_plain_search_finds_one(
    book: list[tuple[str, str, Mode]], queue: list[Ask], new: Ask
) -> None:
    held = [lock(holder, scope, token, mode=mode) for token, (holder, scope, mode) in enumerate(book)]
    waiting = [one for one in queue if one.ticket != new.ticket] + [new]
    graph: dict[str, set[str]] = {holder: set() for holder in HOLDERS}
    for one in waiting:
        graph[one.holder] |= edges(held, waiting, one)
    first = edges(held, waiting, new)
    reachable = set(first)
    for _ in HOLDERS:
        reachable |= {name for at in reachable for name in graph[at]}
    found = leases.circle(held, queue, new, PLAIN, NOW)
    assert bool(found) == (new.holder in reachable)
    if found:
        assert found[0] == found[-1] == new.holder
        assert found[1] in first
        assert all(after in graph[before] for before, after in itertools.pairwise(found[1:]))
        assert len(set(found)) == len(found) - 1
