"""Is there one order of all that was asked, true to real time, in which leases behave as they should?

A search after Wing and Gong, with Lowe's memory of the configurations seen: an operation may come
next if no other that is left had ended before it began. Time is part of the model: each point lies
within its operation, and points only rise. Of all the points an operation could have, the earliest
serves every later one best, so each step has one successor and only the order is searched.

The model is written a second time on purpose: scopes are sets of paths, and nothing is imported
from the product. All times are milliseconds of one monotonic clock.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

Kind = Literal["acquire", "renew", "release", "expire", "enter", "leave"]
# What rounding to milliseconds and reading two clocks one after the other may put between model and product.
SLACK = 4.0
_MOST_NODES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """What somebody asked, when it was asked and answered, and the answer.

    `ticket` is the place in the queue that an `acquire` was granted from, or that was entered or
    left; `tokens` and `names` are those of whoever stood in the way.
    """

    holder: str
    kind: Kind
    scope: str
    invoked: float
    returned: float
    answer: str
    token: int = 0
    ttl: float = 0.0
    ticket: str = ""
    got: int = 0
    until: float = 0.0
    tokens: frozenset[int] = frozenset()
    names: frozenset[str] = frozenset()

    @property
    def likely(self) -> float:
        """The moment at which it probably took effect."""
        return self.until - self.ttl if self.until else self.returned


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease in the model's book."""

    holder: str
    scope: str
    token: int
    until: float


class Place(NamedTuple):
    """A place in the queue."""

    ticket: str
    holder: str
    scope: str


@dataclass(frozen=True, slots=True)
class State:
    """The book: leases also past their time until somebody takes them away, and who waits, in order."""

    now: float = float("-inf")
    last: int = 0
    leases: frozenset[Lease] = frozenset()
    queue: tuple[Place, ...] = ()


class Impossible(Exception):
    """The answer cannot have come from this state."""


@dataclass
class Model:
    """Leases on scopes, each of which stands for a set of paths."""

    paths: Mapping[str, frozenset[str]]
    leaving: dict[str, float] = field(default_factory=dict)
    _now: float = field(default=0.0, init=False)
    _end: float = field(default=0.0, init=False)

    def step(self, state: State, op: Op) -> State:
        """Return the state after OP; raises Impossible where its answer is wrong in STATE."""
        # When somebody enters or leaves the queue says nothing of the moment that others, or it, decided
        # for: who is inside the guard reads the clock first, may then be kept from going on, reads the
        # queue, and enters it in the end; and to leave it takes no guard.
        self._now = state.now if op.kind in ("enter", "leave") else max(state.now, op.invoked)
        self._end = op.returned + SLACK
        judge: Callable[[State, Op], State] | None = getattr(self, f"_{op.kind}_{op.answer}", None)
        _must(judge, "no such answer")
        assert judge is not None
        after = judge(state, op)
        return replace(after, now=self._now)

    # ---- taking ----

    def _acquire_granted(self, state: State, op: Op) -> State:
        own = self._own(state, op)
        gone = self._rivals(state, op)
        for lease in gone:
            self._over(lease)
        if not self._covered(state, op):
            _must(not self._firm(self._before(state, op), op), "somebody waits for it")
        if own is not None and op.got == own.token:
            self._alive(own)
            self._lasts(op, own.until)
        else:
            if own is not None:
                self._over(own)
            _must(op.got > state.last, "the token does not rise")
            self._lasts(op, float("-inf"))
        kept = state.leases - gone - ({own} if own else set())
        new = Lease(op.holder, op.scope, op.got, op.until)
        return replace(state, last=max(state.last, op.got), leases=kept | {new})

    def _acquire_refused(self, state: State, op: Op) -> State:
        before = self._before(state, op)
        # Who holds all of it already waits for no waiter; whether it still does may be in doubt.
        firm = [] if self._covered(state, op) else self._firm(before, op)
        self._named(state, op, firm, [] if self._held_well(state, op) else before)
        return state

    def _enter_done(self, state: State, op: Op) -> State:
        running = [lease for lease in self._rivals(state, op) if self._now < lease.until + SLACK]
        _must(running or self._before(state, op), "nothing stands in the way")
        return replace(state, queue=(*state.queue, Place(op.ticket, op.holder, op.scope)))

    def _leave_done(self, state: State, op: Op) -> State:
        return replace(state, queue=tuple(one for one in state.queue if one.ticket != op.ticket))

    # ---- keeping and giving back ----

    def _renew_renewed(self, state: State, op: Op) -> State:
        own = self._own(state, op)
        _must(own is not None and op.got == op.token == own.token, "not the lease it was")
        assert own is not None
        if self._now >= own.until + SLACK:
            _must(not self._firm(self._waiting(state, op), op), "past its time, and somebody waits for it")
        self._lasts(op, own.until)
        return replace(state, leases=state.leases - {own} | {replace(own, until=op.until)})

    def _renew_refused(self, state: State, op: Op) -> State:
        own = self._own(state, op)
        _must(own is not None and own.token == op.token, "there is no such lease")
        assert own is not None
        self._over(own)
        waiting = self._waiting(state, op)
        self._named(state, op, self._firm(waiting, op), waiting)
        return state

    def _release_released(self, state: State, op: Op) -> State:
        own = self._own(state, op)
        _must(own is not None and op.got == op.token == own.token, "not the lease it was")
        assert own is not None
        return replace(state, leases=state.leases - {own})

    def _missing(self, state: State, op: Op) -> State:
        _must(self._own(state, op) is None, "it is there")
        return state

    def _stale(self, state: State, op: Op) -> State:
        own = self._own(state, op)
        _must(own is not None and own.token != op.token, "the token is the lease's")
        return state

    _renew_missing = _release_missing = _missing
    _renew_stale = _release_stale = _stale

    def _expire_expired(self, state: State, op: Op) -> State:
        found = self._by_token(state, op)
        _must(found is not None, "there is no such lease")
        assert found is not None
        self._over(found)
        return replace(state, leases=state.leases - {found})

    def _expire_kept(self, state: State, op: Op) -> State:
        found = self._by_token(state, op)
        if found is not None:
            self._alive(found)
        return state

    # ---- looking ----

    def _own(self, state: State, op: Op) -> Lease | None:
        return next((one for one in state.leases if (one.holder, one.scope) == (op.holder, op.scope)), None)

    def _by_token(self, state: State, op: Op) -> Lease | None:
        return next((one for one in state.leases if (one.scope, one.token) == (op.scope, op.token)), None)

    def _meet(self, one: str, other: str) -> bool:
        return not self.paths[one].isdisjoint(self.paths[other])

    def _rivals(self, state: State, op: Op) -> frozenset[Lease]:
        return frozenset(one for one in state.leases if one.holder != op.holder and self._meet(one.scope, op.scope))

    def _waiting(self, state: State, op: Op) -> list[Place]:
        return [one for one in state.queue if one.holder != op.holder and self._meet(one.scope, op.scope)]

    def _before(self, state: State, op: Op) -> list[Place]:
        place = next((at for at, one in enumerate(state.queue) if one.ticket == op.ticket), len(state.queue))
        return self._waiting(replace(state, queue=state.queue[:place]), op)

    def _firm(self, waiting: Sequence[Place], op: Op) -> list[Place]:
        """Leave out who leaves before OP is over: places are read one by one, and leaving takes no guard."""
        return [one for one in waiting if self.leaving.get(one.ticket, float("inf")) > op.returned]

    def _covering(self, state: State, op: Op) -> Iterator[Lease]:
        return (
            one for one in state.leases if one.holder == op.holder and self.paths[one.scope] >= self.paths[op.scope]
        )

    def _covered(self, state: State, op: Op) -> bool:
        """Whether the asker may hold all of it already, so that no waiter delays it."""
        return any(self._now < one.until + SLACK for one in self._covering(state, op))

    def _held_well(self, state: State, op: Op) -> bool:
        """Whether it holds all of it beyond doubt: until the operation was over."""
        return any(op.returned + SLACK < one.until for one in self._covering(state, op))

    # ---- saying when ----

    def _alive(self, lease: Lease) -> None:
        _must(self._now < lease.until + SLACK, "past its time")

    def _over(self, lease: Lease) -> None:
        self._not_before(lease.until - SLACK)

    def _not_before(self, moment: float) -> None:
        self._now = max(self._now, moment)
        _must(self._now <= self._end, "too early")

    def _lasts(self, op: Op, before: float) -> None:
        """Take from the answer when it was given: it lasts so long from then, or as long as BEFORE if that is more."""
        _must(op.until >= before - SLACK, "shorter than it was")
        if op.until > before + SLACK:
            given = op.until - op.ttl
            _must(given >= self._now - SLACK, "lasts too short")
            self._not_before(given - SLACK)

    def _named(self, state: State, op: Op, firm: Sequence[Place], all_: Sequence[Place]) -> None:
        """Check who is said to stand in the way: the leases that run, those who wait, and perhaps who leaves just now."""
        rivals = self._rivals(state, op)
        _must(op.tokens <= {one.token for one in rivals}, "names a lease that is not there")
        for one in rivals:
            if one.token in op.tokens:
                self._alive(one)
            else:
                self._over(one)
        holders = {one.holder for one in rivals if one.token in op.tokens}
        _must(bool(op.names), "names nobody")
        _must(op.names >= holders | {one.holder for one in firm}, "leaves out somebody who stands in the way")
        _must(op.names <= holders | {one.holder for one in all_}, "names somebody who does not stand in the way")


def _must(holds: object, why: str) -> None:
    if not holds:
        raise Impossible(why)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an order was found; if not, the longest beginning of one, and what could not follow it and why."""

    holds: bool
    order: tuple[int, ...]
    stuck: tuple[tuple[Op, str], ...] = ()
    nodes: int = 0


def check(ops: Sequence[Op], model: Model) -> Verdict:
    """Search for an order of OPS, which may come in any."""
    ops = sorted(ops, key=lambda op: op.invoked)
    model = replace(model, leaving={op.ticket: op.invoked for op in ops if op.kind == "leave"})
    seen: dict[tuple[object, ...], float] = {}
    start = State()
    path: list[int] = []
    stack = [(0, 0, start, _next(ops, 0, 0))]
    best: tuple[tuple[int, ...], State, int, int] = ((), start, 0, 0)
    nodes = 0
    while stack:
        first, done, state, candidates = stack[-1]
        if first == len(ops):
            return Verdict(True, tuple(path), nodes=nodes)
        chosen = next(candidates, None)
        if chosen is None:
            stack.pop()
            if path:
                path.pop()
            continue
        nodes += 1
        if nodes > _MOST_NODES:
            raise RuntimeError(f"undecided after {nodes} steps")
        try:
            after = model.step(state, ops[chosen])
        except Impossible:
            continue
        first, done = _without(first, done, chosen)
        key = (first, done, after.last, after.leases, after.queue)
        if seen.get(key, float("inf")) <= after.now:
            continue
        seen[key] = after.now
        path.append(chosen)
        stack.append((first, done, after, _next(ops, first, done)))
        if len(path) > len(best[0]):
            best = (tuple(path), after, first, done)
    order, state, first, done = best
    return Verdict(False, order, tuple(_why(ops, model, state, first, done)), nodes)


def _next(ops: Sequence[Op], first: int, done: int) -> Iterator[int]:
    """Yield what may come next, the likeliest first; DONE has a bit for each operation from FIRST on."""
    found: list[int] = []
    ends = float("inf")
    for at in range(first, len(ops)):
        if ops[at].invoked > ends:
            break
        if not done >> (at - first) & 1:
            found.append(at)
            ends = min(ends, ops[at].returned)
    return iter(sorted((at for at in found if ops[at].invoked <= ends), key=lambda at: ops[at].likely))


def _without(first: int, done: int, chosen: int) -> tuple[int, int]:
    done |= 1 << (chosen - first)
    while done & 1:
        first, done = first + 1, done >> 1
    return first, done


def _why(ops: Sequence[Op], model: Model, state: State, first: int, done: int) -> Iterator[tuple[Op, str]]:
    for at in _next(ops, first, done):
        try:
            model.step(state, ops[at])
        except Impossible as fault:
            yield ops[at], str(fault)
