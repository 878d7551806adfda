"""Faults planted in leases, by name; called in the process that forks the workers."""

# ruff: noqa: ARG005 - a stand-in is given what the real one is given
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from coord.model import leases
from coord.model.leases import Ask
from coord.model.records import Lock
from coord.model.scope import same
from coord.service import leasebook
from coord.service.coord import Coord
from coord.service.leasebook import Book
from coord.stores import oslock
from coord.stores.base import Guard

Mutant = Callable[[], None]
PLANTED: dict[str, Mutant] = {}
_SOON = timedelta(milliseconds=40)
_KEPT: list[object] = []


def planted(mutant: Mutant) -> Mutant:
    """List a fault under its name."""
    PLANTED[mutant.__name__] = mutant
    return mutant


def put(owner: object, name: str, make: Callable[[Any], object]) -> None:
    """Put in the place of what OWNER has under NAME what MAKE makes of it."""
    setattr(owner, name, make(getattr(owner, name)))


# ---- tokens ----


@planted
def tokens_are_reused() -> None:
    put(Book, "_last_token", lambda real: lambda book: max((lock.token for lock in book.held), default=0))


@planted
def tokens_are_drawn_at_random() -> None:
    put(Book, "_last_token", lambda real: lambda book: random.randrange(10**6))


@planted
def taking_it_again_brings_a_new_token() -> None:
    def anew(real: Any) -> object:
        def grant(held: Sequence[Lock], ask: Ask, **rest: Any) -> object:
            own = [one for one in held if one.holder == ask.holder and one.scope in ask.scopes]
            return replace(real([one for one in held if one not in own], ask, **rest), replaced=tuple(own))

        return grant

    put(leases, "grant", anew)


@planted
def any_token_will_do() -> None:
    put(leases, "_held_by", lambda real: lambda held, holder, scope, token, form: real(held, holder, scope, None, form))


@planted
def anybody_may_release() -> None:
    put(
        leases,
        "release",
        lambda real: lambda held, holder, scopes, token, form: tuple(one for one in held if one.scope in scopes),
    )


# ---- scopes ----


@planted
def globs_are_not_compared() -> None:
    put(
        leases,
        "overlap",
        lambda real: lambda a, b, form: same(a, b, form) or ("*" not in a + b and real(a, b, form)),
    )


@planted
def only_the_same_scope_counts() -> None:
    put(leases, "overlap", lambda real: same)


@planted
def ones_own_lease_stands_in_the_way() -> None:
    put(leases, "_conflict", lambda real: lambda one, other: True)


# ---- time ----


@planted
def a_taken_lease_stays_and_is_renewed_with_its_old_token() -> None:
    put(leases, "grant", lambda real: lambda *given, **rest: replace(real(*given, **rest), expired=()))
    put(
        leases,
        "renew",
        lambda real: (
            lambda held, queue, holder, scope, **rest: real(
                [one for one in held if one.holder == holder], (), holder, scope, **rest
            )
        ),
    )


@planted
def leases_are_taken_before_they_expire() -> None:
    put(leases, "live", lambda real: lambda held, now: real(held, now + _SOON))


@planted
def leases_are_expired_before_their_time() -> None:
    put(leases, "expired", lambda real: lambda held, now: real(held, now + timedelta(seconds=1)))


@planted
def leases_never_expire() -> None:
    put(leases, "live", lambda real: lambda held, now: tuple(held))


@planted
def a_renewal_is_not_written() -> None:
    put(
        Book,
        "renew",
        lambda real: (
            lambda book, holder, scopes, *, ttl, token: tuple(
                leases.renew(
                    book.held, book.queue, holder, one, ttl=ttl, now=book.now, token=token, form=book.coord.form
                )
                for one in scopes
            )
        ),
    )


@planted
def a_release_is_not_written() -> None:
    put(
        Book,
        "release",
        lambda real: (
            lambda book, holder, scopes, *, token: leases.release(book.held, holder, scopes, token, book.coord.form)
        ),
    )


@planted
def a_renewal_shortens() -> None:
    put(
        leases,
        "renew",
        lambda real: (
            lambda *given, ttl, now, **rest: replace(real(*given, ttl=ttl, now=now, **rest), expires_at=now + ttl)
        ),
    )


@planted
def the_clock_is_read_long_before() -> None:
    put(
        Book,
        "at",
        lambda real: classmethod(lambda cls, coord, pace: real(coord, replace(pace, wall=pace.wall - 2 * _SOON))),
    )


# ---- the queue ----


@planted
def renewing_overtakes_who_waits() -> None:
    put(leases, "renew", lambda real: lambda held, queue, *given, **rest: real(held, (), *given, **rest))


@planted
def whoever_asks_overtakes_who_waits() -> None:
    put(leases, "blockers", lambda real: lambda held, queue, ask, form, now: real(held, (), ask, form, now))


@planted
def the_last_in_the_queue_is_first() -> None:
    def turned(real: Any) -> object:
        def blockers(held: Sequence[Lock], queue: Sequence[Ask], ask: Ask, *rest: object) -> object:
            return real(held, [replace(one, ticket="") for one in queue if one.ticket > ask.ticket], ask, *rest)

        return blockers

    put(leases, "blockers", turned)


@planted
def places_in_the_queue_are_never_given_back() -> None:
    def kept(real: Any) -> object:
        @contextmanager
        def ticket(coord: Coord) -> Iterator[Callable[[Ask], None]]:
            place = real(coord)
            _KEPT.append(place)
            yield place.__enter__()

        return ticket

    put(leasebook, "ticket", kept)


# ---- what is said ----


@planted
def a_refusal_leaves_one_out() -> None:
    put(leases, "refusal", lambda real: lambda standing, now: real(standing[:-1] or standing, now))


@planted
def a_refusal_names_the_wrong_lease() -> None:
    def wrong(real: Any) -> object:
        def refusal(standing: Sequence[Lock | Ask], now: object) -> object:
            return real([replace(one, token=one.token - 1) if isinstance(one, Lock) else one for one in standing], now)

        return refusal

    put(leases, "refusal", wrong)


# ---- the guard ----


@planted
def there_is_no_guard() -> None:
    @contextmanager
    def opened(coord: Coord) -> Iterator[Book]:
        yield Book.read(coord)

    put(leasebook, "opened", lambda real: opened)


@planted
def the_book_is_read_before_the_guard_is_taken() -> None:
    @contextmanager
    def opened(coord: Coord) -> Iterator[Book]:
        book = Book.read(coord)
        with coord.exclusive(leasebook.GUARD):
            yield book

    put(leasebook, "opened", lambda real: opened)


@planted
def the_guard_is_unlinked_on_release() -> None:
    def unlinking(real: Any) -> object:
        @contextmanager
        def hold(path: Path, *, timeout: float | None, name: str) -> Iterator[Guard]:
            with real(path, timeout=timeout, name=name) as guard:
                yield guard
            if name == leasebook.GUARD:
                time.sleep(random.uniform(0.001, 0.006))  # as long as a busy machine may keep it from going on
                path.unlink(missing_ok=True)

        return hold

    put(oslock, "hold", unlinking)
