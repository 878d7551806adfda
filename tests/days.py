"""Days of work in seconds: a clock that is moved on by hand, scripted agents, the daemon's cycles, and what is left."""

import os
import random
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from crowd import names, populate, stored
from support import eventually, git

from coord.daemon.loop import Loop
from coord.daemon.observe import Observer
from coord.daemon.perform import Performer
from coord.git import history
from coord.model import keys
from coord.model.errors import LeaseHeld
from coord.model.records import Ack, Kind, Priority
from coord.service import checkpoints, decisions, locks, mail, merges
from coord.service.command import Prose
from coord.service.coord import DAEMON_BELL, Coord

AGENTS = 13
_LAZY = 3  # agents who read every so many hours only, as the owner does, so that mail lies too long
_SELDOM = 8
_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
_TOLD = (
    "mail.reminded",
    "mail.escalated",
    "mail.expired",
    "mail.retired",
    "mail.dead",
    "lease.expired",
    "merge.landed",
)


_MENDED = (".restored", ".edited", ".removed", ".moved")
_PRIORITIES: tuple[Priority, ...] = ("low", "normal", "normal", "high", "urgent")
_ACKS: tuple[Ack, ...] = ("none", "none", "wanted", "required")


class HandClock:
    """A clock that goes only when it is told to, both of its hands together."""

    def __init__(self) -> None:
        self._wall = datetime.now(UTC).replace(microsecond=0)
        self._seconds = 1000.0

    def now(self) -> datetime:
        """Return the moment it shows."""
        return self._wall

    def monotonic(self) -> float:
        """Return the seconds it has gone."""
        return self._seconds

    def go(self, on: timedelta) -> None:
        """Move it on."""
        self._wall += on
        self._seconds += on.total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What there is at one moment: files in the folders and in coord's private state, git's, this process's own."""

    mail: int
    dead: int
    locks: int
    checkpoints: int
    decisions: int
    private: int
    logs: int
    packs: int
    loose: int
    memory: int
    descriptors: int
    threads: int


@dataclass
class Office:
    """A repository with its agents and its daemon, all in this process and by one clock; 1 is as `busy` as usual."""

    repo: Path
    seed: int
    busy: float = 1
    clock: HandClock = field(default_factory=HandClock)
    done: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)
    _told: Counter[tuple[str, ...]] = field(default_factory=Counter)
    _read_to: str | None = None
    _number: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self._first = git(self.repo, "rev-parse", "main")
        self.coord = Coord.open(self.repo, who="owner", clock=self.clock)
        self.agents = {name: Coord.open(self.repo, who=name, clock=self.clock) for name in names(AGENTS)}
        observer = Observer(self.coord)
        performer = Performer(self.coord, observer, self.said.append)
        self.loop = Loop(self.coord, observer, performer)

    def hour(self) -> None:
        """Let an hour pass: everybody works a little, in any order, and the daemon looks now and then."""
        order = list(self.agents)
        self.chance.shuffle(order)
        for number, name in enumerate(order):
            self.clock.go(4 * _MINUTE)
            self._work(name)
            if number % 4 == 3:
                self.cycle(full=False)
        self.clock.go(_HOUR - 4 * _MINUTE * AGENTS)
        if self.clock.now().hour % _SELDOM == 0:
            self._read_all("owner", self.coord)
        self.cycle(full=True)

    def cycle(self, *, full: bool) -> None:
        """Let the daemon do what there is to do; gates take as long as they take."""
        eventually(lambda: not self._cycle(full=full), within=60, what="the daemon's coming to rest")

    def _cycle(self, *, full: bool) -> bool:
        self.coord.committer.settle()
        if full:
            self.coord.store.sweep()
        unfinished = self.loop.cycle(full=full)
        self.coord.committer.settle()
        return unfinished > 0

    def _work(self, name: str) -> None:
        coord = self.agents[name]
        deeds: list[tuple[float, Callable[[Coord], None]]] = [
            (0.5, self._send),
            (0.15, self._take),
            (0.1, self._save),
            (0.06, self._decide),
            (0.15, self._write_by_hand),
            (0.04, self._merge),
        ]
        if name not in names(_LAZY) or self.clock.now().hour % _SELDOM == 1:
            self._read_all(name, coord)
        for share, deed in deeds:
            if self.chance.random() < share * self.busy:
                deed(coord)
                self.done[deed.__name__.strip("_")] += 1

    def _read_all(self, name: str, coord: Coord) -> None:
        if name != "owner" and self.chance.random() < 0.2:
            self._read_by_hand(name)
        for item in mail.read(coord, limit=1000).items:
            if item.message.ack == "required" and self.chance.random() < 0.9:
                mail.ack(coord, (item.message.id,))
            elif item.message.kind == "question" and item.message.sender in self.agents:
                mail.reply(coord, item.message.id, Prose("yes\n"))

    def _read_by_hand(self, name: str) -> None:
        box = self.repo / "inbox" / name
        (box / "read").mkdir(exist_ok=True)
        for path in sorted(box.glob("*.md"))[:1]:
            path.rename(box / "read" / path.name)

    def _send(self, coord: Coord) -> None:
        name = coord.me()
        chance = self.chance
        to = chance.choice([other for other in (*self.agents, "@team", "auto", "owner") if other != name])
        priority = chance.choice(_PRIORITIES)
        ack = chance.choice(_ACKS)
        expires = 3 * _HOUR if chance.random() < 0.2 else None
        kind: Kind = "question" if chance.random() < 0.1 else "note"
        body = Prose(f"{name} says so and so\n" * chance.randint(1, 20))
        mail.send(coord, (to,), body, kind=kind, priority=priority, ack=ack, expires=expires)

    def _take(self, coord: Coord) -> None:
        scope = f"area/{self.chance.choice(list(self.agents))}/**"
        try:
            locks.acquire(coord, (scope,), ttl=self.chance.randint(10, 90) * _MINUTE)
        except LeaseHeld:
            return
        if self.chance.random() < 0.5:
            locks.release(coord)

    def _save(self, coord: Coord) -> None:
        name = coord.me()
        checkpoints.save(coord, Prose(f"{name} has come so far"), next=("go on",))

    def _decide(self, coord: Coord) -> None:
        name = coord.me()
        found = decisions.list_(coord, open=True).items
        if found and self.chance.random() < 0.9:
            decisions.outcome(coord, found[-1].decision.id, Prose("it held"))
        replaced = found[0].decision.id if found and self.chance.random() < 0.3 else ""
        decisions.record(coord, f"what {name} does", Prose("this"), supersedes=replaced)

    def _write_by_hand(self, coord: Coord) -> None:
        name = coord.me()
        self._number += 1
        box = self.chance.choice([other for other in (*self.agents, "all", "auto") if other != name])
        head = self.chance.choice([f"from: {name}", f"from: {name}\nto: nobody-here", "priority: never", "subject: hm"])
        path = self.repo / "inbox" / box / f"note {self._number}.md"
        path.write_text(f"---\n{head}\n---\nwritten by {name}, {self._number}\n")
        # The file's time is the message's: by the clock on this wall, not by the machine's.
        moment = self.clock.now().timestamp()
        os.utime(path, (moment, moment))

    def _merge(self, coord: Coord) -> None:
        name = coord.me()
        self._number += 1
        branch, text = f"agent/{name}", f"{name} {self._number}\n"
        shared = self.chance.random() < 0.3  # and so in conflict, once somebody else's has landed
        path, base = (
            ("shared.txt", self._first) if shared else (f"work-{name}.txt", git(self.repo, "rev-parse", "main"))
        )
        stream = (
            f"commit refs/heads/{branch}\ncommitter {name} <{name}@example.com> {int(self.clock.now().timestamp())} +0000\n"
            f"data {len(text)}\n{text}from {base}\nM 644 inline {path}\ndata {len(text)}\n{text}\n"
        )
        command = ["git", "fast-import", "--quiet", "--force"]
        subprocess.run(command, cwd=self.repo, input=stream, check=True, capture_output=True, text=True)
        merges.request(coord, branch=branch, title=f"work of {name}")

    def footprint(self) -> Footprint:
        """Look at what there is now."""
        common = self.repo / ".git"
        me = psutil.Process()
        packs, loose = stored(self.repo)
        logs = _files(common / "coord" / "logs")
        dead, ruled = _files(self.repo / keys.DEAD), _files(self.repo / keys.DECISIONS)
        return Footprint(
            mail=_files(self.repo / "inbox") - dead,
            dead=dead,
            locks=_files(self.repo / "locks"),
            checkpoints=_files(self.repo / "checkpoints") - ruled,
            decisions=ruled,
            private=_files(common / "coord") - logs,
            logs=logs,
            packs=packs,
            loose=loose,
            memory=me.memory_info().rss,
            descriptors=me.num_fds(),
            threads=me.num_threads(),
        )

    def audit(self) -> None:
        """Prove of all that the ledger has gained that coord told and did everything once, and had nothing to mend."""
        tip = self.coord.ledger.tip()
        assert tip is not None
        for entry in history.entries(self.coord.git, since=self._read_to, until=tip, with_changes=False):
            assert not entry.kind.endswith(_MENDED), f"files and ledger had come apart: {entry}"
            if entry.kind in _TOLD and not entry.subject.startswith(".dead:"):  # a letter and its note share an id
                facts = [entry.facts.get(name, "") for name in ("Mailbox", "Level", "Token")]
                box = entry.subject.partition(":")[0] if entry.kind in ("mail.expired", "mail.retired") else ""
                self._told.update((entry.kind, *facts, box, one) for one in entry.cause or (entry.id,))
        self._read_to = tip
        repeated = [told for told, count in self._told.items() if count > 1]
        assert not repeated, f"more than once: {repeated[:3]}"


@contextmanager
def office(repo: Path, seed: int, more: str, *, busy: float = 1) -> Iterator[Office]:
    """Open an office in a repository, with MORE lines of configuration."""
    populate(repo, AGENTS, more)
    git(repo, "commit", "-qam", "the agents")
    opened = Office(repo, seed, busy)
    # Who rings this bell leaves the commit to the daemon, as where there is one.
    with opened.coord.bells.listen(DAEMON_BELL):
        yield opened
    opened.loop.performer.landing.stop()


def _files(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))
