"""Workers that take and give back leases as real processes, and write down when, each to a file of its own.

As a script this file is a warm interpreter: for each plan it reads, it forks the workers, stops
some of them for a while at moments drawn from the seed, and answers when all have ended.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TextIO

from linearizable import Op
from mutants_leases import PLANTED, put

from coord.model.errors import LeaseHeld, NotFound, StaleToken, TimedOut, WouldDeadlock
from coord.model.leases import Ask
from coord.service import leasebook, locks
from coord.service.coord import DAEMON_BELL, Coord
from coord.service.leasebook import Book

# What each scope stands for, in a repository with these files, and one that is still to come.
FILES = ("src/a.py", "src/b.js", "src/sub/c.py", "src/sub/d.js", "web/e.js", "web/f.css")
_SRC = frozenset({"src/a.py", "src/b.js", "src/sub", "src/sub/c.py", "src/sub/d.js", "src/new.py"})
PATHS = {
    "src": _SRC | {"src"},
    "src/**": _SRC,
    "src/*.py": frozenset({"src/a.py", "src/new.py"}),
    "src/a.py": frozenset({"src/a.py"}),
    "src/sub": frozenset({"src/sub", "src/sub/c.py", "src/sub/d.js"}),
    "**/*.js": frozenset({"src/b.js", "src/sub/d.js", "web/e.js"}),
    "web": frozenset({"web", "web/e.js", "web/f.css"}),
    "web/f.css": frozenset({"web/f.css"}),
}
SCOPES = tuple(PATHS)
AGENTS = ("one", "two", "three", "four", "five", "six", "seven", "eight")
SIX_AGENTS = (*AGENTS[:6], *AGENTS[:2])  # of two there are two processes


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a round of workers does: so many OPS each, stopped STOPS times for at most LONGEST milliseconds.

    Who holds queues for it PATIENT often; else it asks again at once when it is refused.
    """

    work: str
    seed: int
    ops: int
    out: str
    agents: tuple[str, ...]
    stops: int = 0
    longest: float = 0.0
    patient: float = 0.9


Books = Callable[[Coord], AbstractContextManager[Book]]
Tickets = Callable[[Coord], AbstractContextManager[Callable[[Ask], None]]]


def milliseconds() -> float:
    """Return the moment on the clock that all processes of this machine share."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) / 1e6


def _wall_ahead() -> float:
    """Return what to take from a wall clock's milliseconds to get the other clock's: from the closest of some pairs."""
    pairs = []
    for _ in range(50):
        before = milliseconds()
        wall = time.time_ns() / 1e6
        pairs.append((milliseconds() - before, wall - before))
    return min(pairs)[1]


# ---- a random history ----


class Historian:
    """One process that asks for leases at random and writes down each answer."""

    def __init__(self, coord: Coord, chance: random.Random, out: TextIO, ahead: float) -> None:
        self.coord = coord
        self.chance = chance
        self.out = out
        self.ahead = ahead
        self.holder = coord.me()
        self.mine: dict[str, int] = {}
        self.known: list[tuple[str, int]] = []
        self.entered: list[tuple[float, float, str]] = []
        self.left: list[tuple[float, float]] = []
        self.opening = 0.0

    def go_on(self) -> None:
        """Do one thing."""
        scope = self.chance.choice(SCOPES)
        held = self.chance.choice(sorted(self.mine)) if self.mine else ""
        deed = self.chance.random()
        if deed < 0.36:
            self.acquire(scope)
        elif deed < 0.48:
            self.wait(scope)
        elif deed < 0.66 and held:
            self.renew(held, self.mine[held])
        elif deed < 0.86 and held:
            self.release(held, self.mine.pop(held))
        elif self.known and deed < 0.94:
            scope, token = self.chance.choice(self.known)
            self.chance.choice((self.renew, self.release))(scope, token)
        elif self.known:
            self.expire(*self.chance.choice(self.known[-4:]))

    def acquire(self, scope: str) -> None:
        """Ask and take the answer."""
        ttl, began = self._ttl(), milliseconds()
        try:
            (lock,) = locks.acquire(self.coord, (scope,), ttl=timedelta(milliseconds=ttl)).locks
        except LeaseHeld as held:
            self._refused("acquire", scope, began, held)
        else:
            self._took(scope, lock.token)
            self._note("acquire", scope, began, "granted", ttl=ttl, got=lock.token, until=self._when(lock.expires_at))

    def wait(self, scope: str) -> None:
        """Queue for it: what comes back are the entering, the grant if there was one, and the leaving."""
        ttl, began = self._ttl(), milliseconds()
        patience = timedelta(milliseconds=self.chance.choice((5, 30, 90)))
        self.entered.clear()
        self.left.clear()
        lock = None
        with suppress(TimedOut, WouldDeadlock):
            (lock,) = locks.acquire(self.coord, (scope,), ttl=timedelta(milliseconds=ttl), wait=patience).locks
        ended, ticket = milliseconds(), ""
        for entering, entered, ticket in self.entered:
            self._note("enter", scope, entering, "done", ended=entered, ticket=ticket)
            began = entered
        for leaving, left in self.left:
            self._note("leave", scope, leaving, "done", ended=left, ticket=ticket)
            ended = leaving
        if lock is not None:
            self._took(scope, lock.token)
            until = self._when(lock.expires_at)
            self._note(
                "acquire", scope, began, "granted", ended=ended, ttl=ttl, got=lock.token, until=until, ticket=ticket
            )

    def renew(self, scope: str, token: int) -> None:
        """Renew, perhaps what is another's or was given back."""
        ttl, began = self._ttl(), milliseconds()
        try:
            (lock,) = locks.renew(self.coord, (scope,), ttl=timedelta(milliseconds=ttl), token=token).locks
        except LeaseHeld as held:
            self._refused("renew", scope, began, held, token)
        except (NotFound, StaleToken) as fault:
            self.mine.pop(scope, None)
            self._note("renew", scope, began, _absence(fault), token=token)
        else:
            until = self._when(lock.expires_at)
            self._note("renew", scope, began, "renewed", token=token, ttl=ttl, got=lock.token, until=until)

    def release(self, scope: str, token: int) -> None:
        """Give back, perhaps what is another's or was given back before."""
        began = milliseconds()
        try:
            released = locks.release(self.coord, (scope,), token=token).locks
        except (NotFound, StaleToken) as fault:
            self._note("release", scope, began, _absence(fault), token=token)
        else:
            got = [lock.token for lock in released]
            answer = "released" if len(got) == 1 else f"released {len(got)}"
            self._note("release", scope, began, answer, token=token, got=got[0] if got else 0)

    def expire(self, scope: str, token: int) -> None:
        """Do as the daemon does with a lease that it takes for expired."""
        began = milliseconds()
        with leasebook.opened(self.coord) as book:
            gone = book.expire(scope, token)
        self._note("expire", scope, began, "expired" if gone else "kept", token=token)

    def opened(self, coord: Coord, real: Books) -> AbstractContextManager[Book]:
        """Open the book and write down from when on."""
        self.opening = milliseconds()
        return real(coord)

    @contextmanager
    def ticket(self, coord: Coord, real: Tickets) -> Iterator[Callable[[Ask], None]]:
        """Hold a place in the queue and write down when it was entered and left."""
        began = 0.0

        def entering(ask: Ask) -> None:
            enter(ask)
            if not self.entered:
                self.entered.append((self.opening, milliseconds(), ask.ticket))

        try:
            with real(coord) as enter:
                try:
                    yield entering
                finally:
                    began = milliseconds()
        finally:
            if self.entered:
                self.left.append((began, milliseconds()))

    def _ttl(self) -> int:
        return self.chance.choice((20, 60, 200, 2000))

    def _when(self, moment: datetime) -> float:
        return moment.timestamp() * 1000 - self.ahead

    def _took(self, scope: str, token: int) -> None:
        self.mine[scope] = token
        self.known.append((scope, token))

    def _refused(self, kind: str, scope: str, began: float, held: LeaseHeld, token: int = 0) -> None:
        tokens, scopes = (list(held.facts[name]) for name in ("tokens", "scopes"))  # type: ignore[call-overload]  # tuples both
        self.known += zip(scopes, tokens, strict=True)
        self._note(kind, scope, began, "refused", token=token, tokens=tokens, names=list(held.facts["holders"]))  # type: ignore[call-overload]

    def _note(self, kind: str, scope: str, began: float, answer: str, *, ended: float = 0, **rest: object) -> None:
        plain = {"holder": self.holder, "kind": kind, "scope": scope, "answer": answer}
        times = {"invoked": began, "returned": ended or milliseconds()}
        self.out.write(json.dumps(plain | times | rest) + "\n")


def _absence(fault: NotFound | StaleToken) -> str:
    return "missing" if isinstance(fault, NotFound) else "stale"


def history(coord: Coord, plan: Plan, chance: random.Random, out: TextIO, ahead: float) -> None:
    """Ask for leases at random."""
    historian = Historian(coord, chance, out, ahead)
    put(leasebook, "ticket", lambda real: lambda coord: historian.ticket(coord, real))
    put(leasebook, "opened", lambda real: lambda coord: historian.opened(coord, real))
    for _ in range(plan.ops):
        historian.go_on()


# ---- holding ----


def holds(coord: Coord, plan: Plan, chance: random.Random, out: TextIO, _ahead: float) -> None:
    """Hold so many scopes, one after the other, each for a moment; write down from when to when."""
    done = 0
    while done < plan.ops:
        scope = chance.choice(SCOPES)
        try:
            if chance.random() < plan.patient:
                locks.acquire(coord, (scope,), wait=timedelta(seconds=20), pid=os.getpid())
            else:
                locks.acquire(coord, (scope,), pid=os.getpid())
        except (LeaseHeld, TimedOut, WouldDeadlock):
            continue
        began = milliseconds()
        if chance.random() < 0.5:  # as long as it takes another to be let in by mistake
            time.sleep(chance.uniform(0, 0.008))
        ended = milliseconds()
        locks.release(coord, (scope,))
        out.write(json.dumps([began, ended, coord.me(), scope]) + "\n")
        done += 1


WORK = {"history": history, "holds": holds}


# ---- the warm interpreter ----


def _work(coord: Coord, plan: Plan, number: int, ahead: float) -> None:
    path = Path(f"{plan.out}.{number}")
    with path.open("w", encoding="utf-8") as out:
        try:
            WORK[plan.work](coord, plan, random.Random(f"{plan.seed} {number}"), out, ahead)
        except BaseException:
            out.write(f"!{traceback.format_exc()}")
            raise


def _run(coords: dict[str, Coord], plan: Plan, drain: Callable[[], object]) -> None:
    ahead = _wall_ahead()
    pids = []
    for number in range(len(plan.agents)):
        pid = os.fork()
        if not pid:
            status = 1
            try:
                _work(coords[plan.agents[number]], plan, number, ahead)
                status = 0
            finally:
                os._exit(status)
        pids.append(pid)
    chance = random.Random(f"{plan.seed} stops")
    left, stops = set(pids), plan.stops
    while left:
        drain()
        for pid in sorted(left):
            if os.waitpid(pid, os.WNOHANG)[0]:
                left.discard(pid)
        if left and stops:
            stops -= 1
            pid = chance.choice(sorted(left))
            os.kill(pid, signal.SIGSTOP)
            time.sleep(chance.uniform(0, plan.longest) / 1000)
            os.kill(pid, signal.SIGCONT)
        time.sleep(0.002)


def _main() -> None:
    repo, mutant = Path(sys.argv[1]), sys.argv[2]
    if mutant:
        PLANTED[mutant]()
    coord = Coord.open(repo, who="owner")
    coords = {agent: Coord.open(repo, who=agent) for agent in AGENTS}
    for each in coords.values():
        assert each.form is each.form  # asks git once, not in every worker
    with coord.bells.listen(DAEMON_BELL) as bell:  # so that no worker has to commit
        for line in sys.stdin:
            plain = json.loads(line)
            _run(coords, Plan(**plain | {"agents": tuple(plain["agents"])}), bell.drain)
            for each in coords.values():
                locks.release(each)
            coord.committer.settle()
            print("done", flush=True)


class Crashed(AssertionError):
    """A worker did not get as far as an answer; the second argument is what all had written."""


class Warm:
    """The warm interpreter, with a fault planted in the product where MUTANT names one."""

    def __init__(self, repo: Path, mutant: str = "") -> None:
        command = [sys.executable, __file__, str(repo), mutant]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, plan: Plan) -> list[str]:
        """Have a round of workers do what is planned, and return all the lines they wrote."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(asdict(plan)), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        assert answer == "done\n", "the workers' interpreter ended"
        texts = [Path(f"{plan.out}.{number}").read_text(encoding="utf-8") for number in range(len(plan.agents))]
        crashes = [text[text.index("!") :] for text in texts if "!" in text]
        lines = [line for text in texts for line in text.partition("!")[0].splitlines()]
        if crashes:
            raise Crashed(crashes[0], lines)
        return lines

    def close(self) -> None:
        """End it."""
        with self._process:
            self._process.kill()


@contextmanager
def warmed(repo: Path, mutant: str = "") -> Iterator[Warm]:
    """Have a warm interpreter that works in REPO, which gets the files and agents it needs."""
    config = repo / ".coord.yaml"
    if "  one:" not in config.read_text():
        hired = "".join(f"  {name}: {{role: Worker}}\n" for name in AGENTS)
        config.write_text(config.read_text().replace("agents:\n", f"agents:\n{hired}"))
    for name in FILES:
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).touch()
    warm = Warm(repo, mutant)
    try:
        yield warm
    finally:
        warm.close()


def op(line: str) -> Op:
    """Read a line that a historian wrote."""
    plain = json.loads(line)
    return Op(**plain | {name: frozenset(plain.get(name, ())) for name in ("tokens", "names")})


if __name__ == "__main__":
    _main()
