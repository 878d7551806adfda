"""Leases among real processes: taken in turn, and taken back from the dead."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from support import eventually, git

from coord.model.errors import LeaseHeld, NotFound, TimedOut
from coord.service import locks, mail
from coord.service.coord import Coord

Open = Callable[..., Coord]

OPENING = """
import os, sys
from datetime import timedelta
from pathlib import Path
from coord.service import locks
from coord.service.coord import Coord
coord = Coord.open(Path(sys.argv[1]), who=sys.argv[2])
"""
WAITING = f"""{OPENING}
(lock,) = locks.acquire(coord, ("docs",), wait=timedelta(seconds=30), pid=os.getpid()).locks
print(lock.token, flush=True)
sys.stdin.readline()
locks.release(coord)
coord.settle()
"""
# Forks a worker for each name it reads and prints its pid: thirty interpreters would take ten seconds to start.
FORKING = """
import os, signal, sys
from pathlib import Path
from coord.model.errors import LeaseHeld
from coord.service import locks
from coord.service.coord import Coord
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for name in sys.stdin:
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        continue
    coord = Coord.open(Path(sys.argv[1]), who=name.strip())
    while True:
        try:
            locks.acquire(coord, ("docs",), pid=os.getpid())
            locks.release(coord)
        except LeaseHeld:
            coord.settle()
"""

Started = subprocess.Popen[str]


def start(script: str, repo: Path, who: str) -> Started:
    return subprocess.Popen(
        [sys.executable, "-c", script, str(repo), who], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def line(child: Started) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def end(child: Started) -> None:
    with child:
        child.kill()


def tickets(coord: Coord) -> set[str]:
    return {ask.ticket for ask in locks.list_(coord).waiting}


def hire(repo: Path, *names: str) -> None:
    path = repo / ".coord.yaml"
    more = "".join(f"  {name}: {{role: Worker}}\n" for name in names)
    path.write_text(path.read_text().replace("agents:\n", f"agents:\n{more}"))


def test_whoever_waits_is_served_in_the_order_of_tickets(repo: Path, coord_for: Open) -> None:
    names = [f"worker-{number}" for number in range(6)]
    hire(repo, *names)
    holder = coord_for("pm-architect")
    locks.acquire(holder, ("docs/x.md",))
    children = [start(WAITING, repo, name) for name in names]
    eventually(lambda: len(tickets(holder)) == len(names), within=20, what="queueing")
    order = sorted(locks.list_(holder).waiting, key=lambda ask: ask.ticket)
    locks.release(holder)
    granted = []
    for ask in order:
        child = children[names.index(ask.holder)]
        granted.append(int(line(child)))
        assert [lock.holder for lock in locks.list_(holder).locks] == [ask.holder]
        child.communicate("\n", timeout=20)
        assert child.returncode == 0
    assert granted == sorted(set(granted))
    assert not tickets(holder)


def test_the_lease_of_a_dead_process_is_free_at_once_and_its_agent_is_told(repo: Path, coord_for: Open) -> None:
    child = start(WAITING, repo, "backend")
    token = int(line(child))
    me = coord_for("frontend")
    with pytest.raises(LeaseHeld):
        locks.acquire(me, ("docs",))
    end(child)
    (lock,) = locks.acquire(me, ("docs",)).locks
    assert lock.token > token
    (told,) = mail.list_(coord_for("backend")).items
    assert "the process that held it died" in told.message.body
    with pytest.raises(NotFound, match="no process"):
        locks.acquire(me, ("README.md",), pid=child.pid)


def test_a_waiter_that_is_killed_holds_up_nobody_behind_it(repo: Path, coord_for: Open) -> None:
    holder = coord_for("pm-architect")
    locks.acquire(holder, ("docs",))
    first = start(WAITING, repo, "backend")
    eventually(lambda: len(tickets(holder)) == 1, what="queueing")
    second = start(WAITING, repo, "frontend")
    eventually(lambda: len(tickets(holder)) == 2, what="queueing")
    with pytest.raises(LeaseHeld, match="backend has waited"):
        locks.acquire(coord_for("security"), ("README.md", "docs"))
    end(first)
    locks.release(holder)
    began = time.monotonic()
    assert int(line(second)) == 2
    assert time.monotonic() - began < 2
    second.communicate("\n", timeout=20)
    assert list((holder.private / "waiting").iterdir()) == []


def test_waiting_ends_when_its_time_is_up_and_leaves_no_trace(coord_for: Open) -> None:
    holder, me = coord_for("pm-architect"), coord_for("backend")
    locks.acquire(holder, ("docs",))
    with pytest.raises(TimedOut, match="in vain: pm-architect holds docs"):
        locks.acquire(me, ("docs",), wait=timedelta(milliseconds=50))
    assert not tickets(holder)


def test_what_kills_leave_behind_never_lets_two_in_nor_gives_a_token_twice(repo: Path, coord_for: Open) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    forking = start(FORKING, repo, "")
    assert forking.stdin is not None

    def hired(name: str) -> int:
        print(name, file=forking.stdin, flush=True)
        return int(line(forking))

    workers = {name: hired(name) for name in ("backend", "frontend")}
    try:
        given = repo / ".git" / "coord" / "token"
        given.write_text("0")
        kills = 0
        while kills < 60 or (kills < 600 and int(given.read_text().split()[0]) <= 60):
            kills += 1
            name = chance.choice(sorted(workers))
            time.sleep(chance.uniform(0.02, 0.06))
            os.kill(workers[name], signal.SIGKILL)
            workers[name] = hired(name)
    finally:
        for pid in workers.values():
            os.kill(pid, signal.SIGKILL)
        end(forking)
    owner = coord_for("owner")
    (last,) = locks.acquire(owner, ("docs",)).locks
    owner.settle()
    assert [lock.token for lock in locks.list_(owner).locks] == [last.token]
    tokens = replayed(repo)
    assert len(tokens) > 40  # a kill may come between a token and its lease
    assert tokens[-1] == last.token
    git(repo, "fsck", "--strict", "--no-dangling")


def replayed(repo: Path) -> list[int]:
    """Return the granted tokens in order; nobody is granted what another still holds."""
    keys = ("Event", "Agent", "Token")
    wanted = "%x09".join(f"%(trailers:key=Coord-{key},valueonly,separator=)" for key in keys)
    tokens: list[int] = []
    holding: tuple[str, str] | None = None
    for text in git(repo, "log", "--reverse", f"--format={wanted}", "coord/ledger").splitlines():
        kind, agent, token = text.split("\t")
        if kind == "lease.granted":
            assert holding is None, f"{agent} was let in beside {holding}"
            holding = (agent, token)
            assert int(token) > max(tokens, default=0)
            tokens.append(int(token))
        elif kind.startswith("lease."):
            assert holding is not None
            assert holding[1] == token
            holding = None
    return tokens
