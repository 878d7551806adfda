"""Leases for people."""

from datetime import timedelta
from functools import singledispatch

from coord.faces.page import Block, Line, Style, Table
from coord.faces.pages.words import now, unknown
from coord.model import leases, quoting, times
from coord.model.records import Lock
from coord.service import locks

blocks = singledispatch(unknown)


@blocks.register
def _leases(result: locks.Leases) -> list[Block]:
    if not result.locks and not result.waiting:
        return [Line("no leases")]
    rows = tuple(
        (
            lock.scope,
            lock.holder,
            lock.mode,
            str(lock.token),
            _until(lock),
            quoting.one_line(lock.note) if lock.note else "",
        )
        for lock in result.locks
    )
    styles: tuple[Style, ...] = tuple("dim" if lock.expires_at <= now() else "" for lock in result.locks)
    made: list[Block] = [Table(("scope", "holder", "mode", "token", "until", "note"), rows, styles)] if rows else []
    waiting = (
        f"{ask.holder} waits for {', '.join(ask.scopes)} since {times.ago(ask.asked_at, now())}"
        for ask in result.waiting
    )
    return [*made, *(Line(text, "yellow") for text in waiting)]


def _until(lock: Lock) -> str:
    left = lock.expires_at - now()
    clock = f"{lock.expires_at.astimezone():%H:%M}"
    return f"{clock} ({times.format_duration(left)} left)" if left > timedelta(0) else f"{clock} (over)"


@blocks.register
def _check(result: locks.Check) -> list[Block]:
    made: list[Block] = []
    for verdict in result.verdicts:
        if verdict.free:
            made.append(Line(f"{verdict.path}: free", "green"))
        elif verdict.yours:
            tokens = ", ".join(str(lock.token) for lock in verdict.held_by)
            made.append(Line(f"{verdict.path}: yours (token {tokens}) until {_until(verdict.held_by[0])}", "green"))
        else:
            made += [Line(f"{verdict.path}: {leases.describe((lock,))}", "red") for lock in verdict.held_by]
    return made
