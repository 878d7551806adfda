"""Histories of leases made from the rules alone, and ways to spoil one so that no order explains it."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from leasing import FILES, SCOPES
from linearizable import SLACK, Op

from coord.model import leases
from coord.model.errors import LeaseHeld, NotFound, StaleToken
from coord.model.leases import Ask
from coord.model.records import Lock
from coord.model.scope import Form

START = datetime(2026, 11, 22, 12, tzinfo=UTC)
FORM = Form(is_file=lambda path: path in FILES)
HOLDERS = ("a", "b", "c", "d")
# How long between two operations, and how far each reaches to both sides of its moment.
_STEP, _REACH = 20, 8


@dataclass
class Simulation:
    """A book of leases that one thing after the other happens to; `ops` is the history."""

    chance: random.Random
    at: float = 1000.0
    held: list[Lock] = field(default_factory=list)
    queue: list[Ask] = field(default_factory=list)
    last: int = 0
    ops: list[Op] = field(default_factory=list)

    @property
    def now(self) -> datetime:
        """The moment as the rules want it."""
        return START + timedelta(milliseconds=self.at)

    def go_on(self) -> None:
        """Let one thing happen."""
        self.at += _STEP
        deed = self.chance.choice(("acquire",) * 4 + ("renew", "release", "expire", "enter", "leave", "serve"))
        mine = self.chance.choice(self.held) if self.held else None
        if deed == "acquire" or mine is None:
            ask = self._ask(f"{len(self.ops):026}")
            if ask.holder not in {other.holder for other in self.queue}:
                self._acquire(ask, "")
        elif deed == "enter":
            ask = self._ask(f"{len(self.ops):026}")
            free = ask.holder not in {other.holder for other in self.queue}
            if free and leases.blockers(self.held, self.queue, ask, FORM, self.now):
                self.queue.append(ask)
                self._note("enter", ask.holder, ask.scopes[0], "done", ticket=ask.ticket)
        elif deed in ("leave", "serve"):
            ready = [one for one in self.queue if not leases.blockers(self.held, self.queue, one, FORM, self.now)]
            if ready:
                self._acquire(ready[0], ready[0].ticket)
                self.at += _STEP
            leaving = ready or (self.queue if deed == "leave" else [])
            for one in leaving[:1]:
                self.queue.remove(one)
                self._note("leave", one.holder, one.scopes[0], "done", ticket=one.ticket)
        else:
            token = mine.token if self.chance.random() < 0.8 else max(1, mine.token - 1)
            holder = mine.holder if self.chance.random() < 0.9 else self.chance.choice(HOLDERS)
            getattr(self, f"_{deed}")(mine, holder, token)

    def _ask(self, ticket: str) -> Ask:
        holder, scope = self.chance.choice(HOLDERS), self.chance.choice(SCOPES)
        return Ask(ticket=ticket, holder=holder, scopes=(scope,), mode="exclusive", asked_at=self.now, process=None)

    def _acquire(self, ask: Ask, ticket: str) -> None:
        ttl = self.chance.choice((60, 150, 600))
        standing = leases.blockers(self.held, self.queue, ask, FORM, self.now)
        if standing:
            self._refused("acquire", ask.holder, ask.scopes[0], 0, leases.refusal(standing, self.now))
            return
        span = timedelta(milliseconds=ttl)
        granted = leases.grant(self.held, ask, ttl=span, now=self.now, token=self.last, form=FORM)
        (lock,) = granted.locks
        gone = (*granted.replaced, *granted.expired)
        self.held = [one for one in self.held if one not in gone and one.token != lock.token] + [lock]
        self.last = max(self.last, lock.token)
        self._note(
            "acquire",
            ask.holder,
            ask.scopes[0],
            "granted",
            ttl=ttl,
            got=lock.token,
            until=self._when(lock),
            ticket=ticket,
        )

    def _renew(self, lock: Lock, holder: str, token: int) -> None:
        ttl = self.chance.choice((60, 150, 600))
        span = timedelta(milliseconds=ttl)
        try:
            new = leases.renew(
                self.held, self.queue, holder, lock.scope, ttl=span, now=self.now, token=token, form=FORM
            )
        except LeaseHeld as held:
            self._refused("renew", holder, lock.scope, token, held)
        except (NotFound, StaleToken) as fault:
            self._note("renew", holder, lock.scope, _absence(fault), token=token)
        else:
            self.held = [new if one.token == new.token else one for one in self.held]
            until = self._when(new)
            self._note("renew", holder, lock.scope, "renewed", token=token, ttl=ttl, got=token, until=until)

    def _release(self, lock: Lock, holder: str, token: int) -> None:
        try:
            (gone,) = leases.release(self.held, holder, (lock.scope,), token, FORM)
        except (NotFound, StaleToken) as fault:
            self._note("release", holder, lock.scope, _absence(fault), token=token)
        else:
            self.held.remove(gone)
            self._note("release", holder, lock.scope, "released", token=token, got=token)

    def _expire(self, lock: Lock, _holder: str, _token: int) -> None:
        over = lock in leases.expired(self.held, self.now)
        if over:
            self.held.remove(lock)
        self._note("expire", "daemon", lock.scope, "expired" if over else "kept", token=lock.token)

    def _when(self, lock: Lock) -> float:
        return (lock.expires_at - START).total_seconds() * 1000

    def _refused(self, kind: str, holder: str, scope: str, token: int, held: LeaseHeld) -> None:
        tokens, names = (frozenset(held.facts[name]) for name in ("tokens", "holders"))  # type: ignore[call-overload]  # tuples both
        self._note(kind, holder, scope, "refused", token=token, tokens=tokens, names=names)

    def _note(self, kind: str, holder: str, scope: str, answer: str, **rest: object) -> None:
        began, ended = (self.at + side * self.chance.uniform(0, _REACH) for side in (-1, 1))
        self.ops.append(
            Op(kind=kind, holder=holder, scope=scope, answer=answer, invoked=began, returned=ended, **rest)  # type: ignore[arg-type]  # as the fields are
        )


def _absence(fault: NotFound | StaleToken) -> str:
    return "missing" if isinstance(fault, NotFound) else "stale"


def simulated(seed: int, steps: int) -> list[Op]:
    """Make a history that behaves."""
    simulation = Simulation(random.Random(seed))
    for _ in range(steps):
        simulation.go_on()
    return simulation.ops


# ---- spoiling ----

Spoil = Callable[[Op, Sequence[Op]], Sequence[Op] | None]
SPOILED: dict[str, Spoil] = {}


def spoiling(spoil: Spoil) -> Spoil:
    """List a way to spoil a history under its name: what to put in the place of one operation, None where it does not fit."""
    SPOILED[spoil.__name__] = spoil
    return spoil


def anew(op: Op, before: Sequence[Op]) -> bool:
    """Tell whether OP was granted a lease that was not there before."""
    return op.answer == "granted" and all(one.got != op.got for one in before)


def end_of(token: int, before: Sequence[Op]) -> float:
    """Return when the lease with TOKEN was to end, as was said last."""
    return next((one.until for one in reversed(before) if one.got == token and one.until), 0.0)


@spoiling
def a_token_is_given_again(op: Op, before: Sequence[Op]) -> Sequence[Op] | None:
    earlier = [one.got for one in before if one.answer == "granted" and one.got < op.got]
    return [replace(op, got=earlier[-1])] if anew(op, before) and earlier else None


@spoiling
def a_token_falls(op: Op, before: Sequence[Op]) -> Sequence[Op] | None:
    return [replace(op, got=0)] if anew(op, before) and before else None


@spoiling
def a_lease_held_already_gets_a_new_token(op: Op, before: Sequence[Op]) -> Sequence[Op] | None:
    return [replace(op, got=op.got + 1000)] if op.answer == "granted" and not anew(op, before) else None


@spoiling
def who_was_refused_got_it(op: Op, _before: Sequence[Op]) -> Sequence[Op] | None:
    if op.kind != "acquire" or op.answer != "refused":
        return None
    return [replace(op, answer="granted", got=9999, ttl=60, until=op.returned + 60, tokens=frozenset())]


@spoiling
def who_got_it_was_refused(op: Op, before: Sequence[Op]) -> Sequence[Op] | None:
    return [replace(op, answer="refused", got=0, until=0, names=frozenset({"d"}))] if anew(op, before) else None


@spoiling
def a_refusal_names_nobody(op: Op, _before: Sequence[Op]) -> Sequence[Op] | None:
    return [replace(op, names=frozenset(), tokens=frozenset())] if op.answer == "refused" else None


@spoiling
def a_refusal_names_a_stranger(op: Op, _before: Sequence[Op]) -> Sequence[Op] | None:
    return [replace(op, names=op.names | {"nobody"})] if op.answer == "refused" else None


@spoiling
def a_refusal_names_an_older_token(op: Op, _before: Sequence[Op]) -> Sequence[Op] | None:
    return [replace(op, tokens=frozenset(one - 1000 for one in op.tokens))] if op.tokens else None


@spoiling
def a_refusal_leaves_out_a_lease(op: Op, _before: Sequence[Op]) -> Sequence[Op] | None:
    return [replace(op, tokens=frozenset(sorted(op.tokens)[1:]))] if op.tokens else None


@spoiling
def what_was_stale_is_renewed(op: Op, _before: Sequence[Op]) -> Sequence[Op] | None:
    if op.kind != "renew" or op.answer not in ("stale", "missing"):
        return None
    return [replace(op, answer="renewed", got=op.token, ttl=60, until=op.returned + 60)]


@spoiling
def a_renewal_brings_another_token(op: Op, _before: Sequence[Op]) -> Sequence[Op] | None:
    return [replace(op, got=op.got + 1)] if op.answer == "renewed" else None


@spoiling
def a_renewal_lasts_shorter_than_it_should(op: Op, before: Sequence[Op]) -> Sequence[Op] | None:
    shorter = op.until - 40
    told = op.answer == "renewed" and abs(shorter - end_of(op.got, before)) > 2 * SLACK
    return [replace(op, until=shorter)] if told else None


@spoiling
def a_grant_lasts_longer_than_it_should(op: Op, before: Sequence[Op]) -> Sequence[Op] | None:
    return [replace(op, until=op.until + 40)] if anew(op, before) else None


@spoiling
def a_grant_lasts_shorter_than_it_should(op: Op, before: Sequence[Op]) -> Sequence[Op] | None:
    return [replace(op, until=op.until - 40)] if anew(op, before) else None


@spoiling
def a_live_lease_is_not_found(op: Op, _before: Sequence[Op]) -> Sequence[Op] | None:
    return [replace(op, answer="missing", got=0, until=0)] if op.answer in ("renewed", "released") else None


@spoiling
def another_holder_releases_it(op: Op, _before: Sequence[Op]) -> Sequence[Op] | None:
    return [replace(op, holder="stranger")] if op.answer == "released" else None


@spoiling
def it_is_released_twice(op: Op, _before: Sequence[Op]) -> Sequence[Op] | None:
    return [op, replace(op, invoked=op.returned + 0.1, returned=op.returned + 0.2)] if op.answer == "released" else None


@spoiling
def a_live_lease_is_expired(op: Op, _before: Sequence[Op]) -> Sequence[Op] | None:
    return [replace(op, answer="expired")] if op.answer == "kept" else None


@spoiling
def it_is_expired_twice(op: Op, _before: Sequence[Op]) -> Sequence[Op] | None:
    return [op, replace(op, invoked=op.returned + 0.1, returned=op.returned + 0.2)] if op.answer == "expired" else None


@spoiling
def a_lease_past_its_time_is_kept(op: Op, before: Sequence[Op]) -> Sequence[Op] | None:
    long_over = op.answer == "expired" and end_of(op.token, before) < op.invoked - SLACK
    return [replace(op, answer="kept")] if long_over else None


@spoiling
def it_is_granted_while_it_is_held(op: Op, before: Sequence[Op]) -> Sequence[Op] | None:
    if not anew(op, before):
        return None
    began = op.returned + 0.1
    thief = replace(op, holder="thief", got=op.got + 0, invoked=began, returned=began + 0.2, ticket="")
    return [op, replace(thief, got=op.got + 1000, until=began + thief.ttl)]


@spoiling
def somebody_queues_for_what_is_free(op: Op, before: Sequence[Op]) -> Sequence[Op] | None:
    holding = any(one.holder == op.holder and one.until > op.invoked - SLACK for one in before)
    if op.ticket or holding or not anew(op, before):
        return None
    ahead = replace(op, holder="stranger", kind="enter", answer="done", ticket="x", got=0, until=0)
    return [replace(ahead, invoked=op.invoked - 0.2, returned=op.invoked - 0.1), op]


@spoiling
def it_is_asked_later_than_it_was_answered(op: Op, before: Sequence[Op]) -> Sequence[Op] | None:
    return [replace(op, invoked=op.invoked + 100, returned=op.returned + 100)] if anew(op, before) else None


def spoiled(name: str, seed: int, steps: int) -> list[Op]:
    """Spoil a history in the way NAME, at one place where that fits; of the first seed that has one."""
    while True:
        ops = simulated(seed, steps)
        fitting = [at for at, op in enumerate(ops) if SPOILED[name](op, ops[:at]) is not None]
        if fitting:
            at = random.Random(seed).choice(fitting)
            return [*ops[:at], *(SPOILED[name](ops[at], ops[:at]) or ()), *ops[at + 1 :]]
        seed += 1_000_000
