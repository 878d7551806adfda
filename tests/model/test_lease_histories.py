"""Random histories of leases, judged by rules written a second time."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from coord.model import leases
from coord.model.errors import LeaseHeld
from coord.model.leases import Ask
from coord.model.records import Lock, Mode, Process
from coord.model.scope import Form

PLAIN = Form()
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOLDERS = ("a", "b", "c", "d")
SCOPES = ("x", "x/1", "x/2", "y", "y/1", "**")
holders, scopes = st.sampled_from(HOLDERS), st.lists(st.sampled_from(SCOPES), min_size=1, max_size=2, unique=True)
modes: st.SearchStrategy[Mode] = st.sampled_from(["exclusive", "shared"])


thorough = settings(deadline=None, print_blob=True, derandomize=False, max_examples=300)


def ask(holder: str, *scopes: str, mode: Mode, ticket: int, bound_to: Process | None = None) -> Ask:
    return Ask(
        ticket=f"{ticket:026}",
        holder=holder,
        scopes=scopes,
        mode=mode,
        asked_at=NOW,
        process=None,
        bound_to=bound_to,
    )


def lock(holder: str, scope: str, token: int, mode: Mode, process: Process | None = None) -> Lock:
    until = NOW + MINUTE
    return Lock(scope=scope, holder=holder, token=token, granted_at=NOW, expires_at=until, mode=mode, process=process)


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
            over = old.expires_at <= self.now
            rivals: list[Lock | Ask] = [*leases.live(self.held, self.now), *self.queue] if over else []
            refused = any(collide(old, rival) for rival in rivals)
            try:
                new = leases.renew(
                    self.held, self.queue, holder, old.scope, ttl=5 * MINUTE, now=self.now, token=None, form=PLAIN
                )
            except LeaseHeld:
                assert refused
            else:
                assert not refused, "overtook a waiter"
                assert new == replace(old, expires_at=max(old.expires_at, self.now + 5 * MINUTE))
                self.held[self.held.index(old)] = new

    def sweep(self) -> None:
        for gone in leases.expired(self.held, self.now):
            self.held.remove(gone)

    def serve(self) -> None:
        for one in sorted(self.queue, key=lambda each: each.ticket):
            if not leases.blockers(self.held, self.queue, one, PLAIN, self.now):
                self.queue.remove(one)
                self.grant(one, 5)

    def look_again(self) -> None:
        for one in list(self.queue):
            if leases.circle(self.held, self.queue, one, PLAIN, self.now):
                self.queue.remove(one)

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
@given(st.lists(steps, min_size=12, max_size=40))
def test_no_history_lets_two_in_gives_a_token_twice_or_overtakes(history: list[tuple[str, ...]]) -> None:
    book = History()
    for name, *arguments in history:
        getattr(book, name)(*arguments)
        book.check()


@thorough
@given(st.lists(steps, min_size=12, max_size=30))
def test_a_queue_without_circles_is_served_to_its_end(history: list[tuple[str, ...]]) -> None:
    book = History()
    for name, *arguments in history:
        getattr(book, name)(*arguments)
    for _ in range(len(book.queue) + 1):
        waiting = {one.holder for one in book.queue}
        for holder in HOLDERS:
            if holder not in waiting:
                book.release(holder)
        book.serve()
        book.look_again()
    assert not book.queue, "somebody waits for ever"


processes = st.sampled_from([None, *(Process(pid=pid, started_at="1", boot="b") for pid in (1, 2))])
asks = st.builds(
    lambda holder, wanted, mode, ticket, bound_to: ask(holder, *wanted, mode=mode, ticket=ticket, bound_to=bound_to),
    holders,
    scopes,
    modes,
    st.integers(1, 1000),
    processes,
)
books = st.lists(st.tuples(holders, st.sampled_from(SCOPES[:5]), modes, processes), max_size=5)


def edges(held: Sequence[Lock], waiting: Sequence[Ask], one: Ask) -> set[str]:
    """The tickets that must be served before ONE can be, where leases go only when their holders wait no more."""
    standing = [each for each in held if collide(each, one)]
    through = {
        other.ticket
        for other in waiting
        for each in standing
        if other.holder == each.holder
        and (other.bound_to is None or each.process is None or other.bound_to == each.process)
    }
    mine = [each for each in held if each.holder == one.holder and (each.mode == "exclusive" or one.mode == "shared")]
    fresh = tuple(scope for scope in one.scopes if not any(below(scope, each.scope) for each in mine))
    earlier = [each for each in waiting if each.ticket < one.ticket]
    return through | {each.ticket for each in earlier if collide(each, replace(one, scopes=fresh))}


@thorough
@given(books, st.lists(asks, max_size=6, unique_by=lambda one: one.ticket), asks)
def test_a_circle_is_found_exactly_where_a_plain_search_finds_one(
    book: list[tuple[str, str, Mode, Process | None]], queue: list[Ask], new: Ask
) -> None:
    held = [lock(holder, scope, token, mode, process) for token, (holder, scope, mode, process) in enumerate(book)]
    waiting = [one for one in queue if one.ticket != new.ticket] + [new]
    graph = {one.ticket: edges(held, waiting, one) for one in waiting}
    holder_of = {one.ticket: one.holder for one in waiting}
    # All shortest walks at once: the sets of tickets that so many steps can reach.
    reached, steps = [{new.ticket}], 0
    while steps < len(waiting) and (steps == 0 or new.ticket not in reached[-1]):
        reached.append({ticket for at in reached[-1] for ticket in graph[at]})
        steps += 1
    found = leases.circle(held, queue, new, PLAIN, NOW)
    assert bool(found) == (new.ticket in reached[-1])
    if found:
        assert len(found) == steps + 1
        assert found[0] == found[-1] == new.holder
        assert all(name in {holder_of[ticket] for ticket in level} for name, level in zip(found, reached, strict=True))
