"""Many agents in one repository: a few processes speak for all of them, a daemon runs beside, and somebody looks on.

As a script this file is one of those processes: `send` forks the senders, `drop` those who write
mail by hand, `watch` is the daemon; each with a fault planted where one is named.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import psutil
from mutants_load import MUTANTS
from support import eventually

from coord.daemon import run
from coord.service import mail, setup, watching
from coord.service.command import Prose
from coord.service.coord import Coord

_LOOK_EVERY = 0.005
_LOOKS_A_COUNT = 10
_PATIENCE = 3600.0
_TO_THE_TEAM = 0.01


@dataclass(frozen=True, slots=True)
class Sent:
    """What a sender was told: the message's id, the mailboxes, the moment (monotonic), how long it took."""

    id: str
    sender: str
    text: str
    boxes: tuple[str, ...]
    at: float
    took: float


@dataclass(frozen=True, slots=True)
class Said:
    """All that senders were told: what was sent, and what each reader (mailbox, id) read."""

    sent: tuple[Sent, ...]
    read: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What the senders do: so many agents, spoken for by so many processes, send so many messages in all.

    `wide` is the share that goes to half of all; with `settle` each message is committed by its own sender.
    """

    agents: int
    messages: int
    processes: int = 4
    seed: int = 0
    read_every: int = 100
    wide: float = 0.002
    settle: bool = False
    mutant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """So many writers, so many files by each; who writes bit by bit pauses so many seconds between the bits."""

    writers: int
    each: int
    seed: int
    pause: float = 0.002


@dataclass(frozen=True, slots=True)
class Dropped:
    """A file written by hand: the mailbox's folder it was put into, its writer ("" for nobody known), all its text."""

    folder: str
    writer: str
    text: str


def names(count: int) -> list[str]:
    """Return the names of so many agents."""
    return [f"agent-{number:03}" for number in range(count)]


def populate(repo: Path, count: int, more: str = "") -> None:
    """Give the repository so many agents, and MORE lines of configuration."""
    listed = "".join(f"  {name}: {{role: hand, domain: [area/{name}/**]}}\n" for name in names(count))
    team = ", ".join(names(count)[:5])
    text = f"format: 1\nagents:\n{listed}groups:\n  team: [{team}]\n{more}"
    (repo / ".coord.yaml").write_text(text)
    setup.init(repo)


@contextmanager
def watched(repo: Path, mutant: str = "") -> Iterator["psutil.Process"]:
    """Run the daemon; it must end well, and say nothing of a fault of its own."""
    log = repo.parent / "watch.log"
    with log.open("wb") as out:
        process = psutil.Popen([sys.executable, __file__, "watch", str(repo), mutant], stdout=out, stderr=out)
    coord = Coord.open(repo)
    try:
        eventually(
            lambda: watching.find(coord).pid == process.pid and coord.bells.ring("daemon"),
            within=60,
            what="the daemon watches",
        )
        yield process
    finally:
        process.terminate()
        process.wait(_PATIENCE)
    words = log.read_text()
    assert process.returncode == 0, words[-2000:]
    assert "Traceback" not in words, words[-2000:]


def send(repo: Path, errand: Errand) -> Said:
    """Let the senders do their errand, and return what they were told."""
    folder = repo.parent / "said"
    folder.mkdir(exist_ok=True)
    command = [sys.executable, __file__, "send", str(repo), str(folder), json.dumps(asdict(errand))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    sent: list[Sent] = []
    read: list[tuple[str, str]] = []
    for file in sorted(folder.iterdir()):
        for line in file.read_text().splitlines():
            what, *facts = json.loads(line)
            if what == "sent":
                identifier, sender, text, boxes, at, took = facts
                sent.append(Sent(identifier, sender, text, tuple(boxes), at, took))
            else:
                read.append((facts[0], facts[1]))
        file.unlink()
    return Said(tuple(sent), tuple(read))


def drop(repo: Path, burst: Burst) -> list[Dropped]:
    """Let the writers of a burst write their files by hand, all at once, and return what they wrote."""
    folder = repo.parent / "dropped"
    folder.mkdir(exist_ok=True)
    command = [sys.executable, __file__, "drop", str(repo), str(folder), json.dumps(asdict(burst))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told = [line for file in sorted(folder.iterdir()) for line in file.read_text().splitlines()]
    shutil.rmtree(folder)
    return [Dropped(*json.loads(line)) for line in told]


@dataclass
class Onlooker:
    """Looks at the repository all the while: when each tip of the ledger was seen, how many packs and loose objects."""

    repo: Path
    tips: list[tuple[float, str]] = field(default_factory=list)
    packs: int = 0
    loose: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def looking(self) -> Iterator["Onlooker"]:
        """Look until the block ends."""
        thread = threading.Thread(target=self._look)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()

    def _look(self) -> None:
        ref = self.repo / ".git/refs/heads/coord/ledger"
        number = 0
        while not self._over.wait(_LOOK_EVERY):
            with suppress(FileNotFoundError):
                tip = ref.read_text().strip()
                if tip and (not self.tips or self.tips[-1][1] != tip):
                    self.tips.append((time.monotonic(), tip))
            number += 1
            if number % _LOOKS_A_COUNT == 0:
                packs, loose = stored(self.repo)
                self.packs, self.loose = max(self.packs, packs), max(self.loose, loose)


def stored(repo: Path) -> tuple[int, int]:
    """Return how many packs there are, and how many loose objects, as `git gc --auto` counts and estimates them."""
    objects = repo / ".git/objects"
    packs = sum(name.endswith(".pack") for name in os.listdir(objects / "pack"))
    with suppress(FileNotFoundError):
        return packs, 256 * len(os.listdir(objects / "17"))
    return packs, 0


def _send(repo: Path, folder: Path, errand: Errand) -> int:
    if errand.mutant:
        MUTANTS[errand.mutant]()
    opened = Coord.open(repo)
    children = [_forked(partial(_speak, opened, folder, errand, place)) for place in range(errand.processes)]
    return max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)


def _forked(work: Callable[[], None]) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _speak(opened: Coord, folder: Path, errand: Errand, place: int) -> None:
    """Be one of the processes: speak for every so-manieth agent in turn."""
    chance = random.Random(f"{errand.seed} {place}")
    everybody = names(errand.agents)
    mine = [Coord(opened.place, opened.config, who=name) for name in everybody[place :: errand.processes]]
    with (folder / f"{place}").open("w") as out:
        for number in range(place, errand.messages, errand.processes):
            coord = chance.choice(mine)
            text = f"{errand.seed}/{place}/{number} {'so it goes ' * chance.randint(1, 20)}"
            me = coord.me()
            to = _address(chance, errand, [one for one in everybody if one != me])
            began = time.monotonic()
            sent = mail.send(coord, to, Prose(text))
            at = time.monotonic()
            told = (sent.message.id, me, text, sent.delivered, at, at - began)
            out.write(json.dumps(("sent", *told)) + "\n")
            if errand.settle:
                coord.settle()
            if chance.random() * errand.read_every < 1:
                for item in mail.read(chance.choice(mine)).items:
                    out.write(json.dumps(("read", item.mailbox, item.message.id)) + "\n")
    for coord in mine:
        coord.settle()


def _address(chance: random.Random, errand: Errand, others: list[str]) -> tuple[str, ...]:
    many = chance.random()
    if many < errand.wide:
        return tuple(chance.sample(others, len(others) // 2))
    return ("@team",) if many < errand.wide + _TO_THE_TEAM else (chance.choice(others),)


def _drop(repo: Path, folder: Path, burst: Burst) -> int:
    children = [_forked(partial(_write, repo, folder, burst, place)) for place in range(burst.writers)]
    return max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)


def _write(repo: Path, folder: Path, burst: Burst, place: int) -> None:
    """Be one of those who write by hand: in place at once, in place bit by bit, or aside and then moved."""
    mark = f"{burst.seed}-{place}"
    chance = random.Random(mark)
    everybody = names(burst.writers)
    aside = repo / ".git" / f"{mark}.aside"
    with (folder / mark).open("w") as out:
        for number in range(burst.each):
            writer = chance.choice([*everybody, ""])
            box = chance.choices(["all", "auto", chance.choice(everybody)], [1, 4, 95])[0]
            if box == writer:
                box = "auto"
            text = f"file {mark}-{number}\n{'and so on ' * chance.randint(1, 200)}\nend of {mark}-{number}\n"
            head = f"---\nfrom: {writer}\n---\n" if writer else ""
            spot = (
                repo
                / "inbox"
                / box
                / chance.choice([f"{mark}-{number}.md", f"für {mark} {number}", f"{mark}.{number}"])
            )
            match chance.randrange(3):
                case 0:
                    spot.write_text(head + text)
                case 1:
                    aside.write_text(head + text)
                    aside.rename(spot)
                case _:
                    _bit_by_bit(spot, head + text, burst.pause)
            out.write(json.dumps((box, writer, text)) + "\n")


def _bit_by_bit(place: Path, text: str, pause: float) -> None:
    with place.open("w") as file:
        for part in (text[: len(text) // 2], text[len(text) // 2 :]):
            file.write(part)
            file.flush()
            time.sleep(pause)


def _watch(repo: Path, mutant: str) -> None:
    if mutant:
        MUTANTS[mutant]()
    run.watch(Coord.open(repo), say=lambda line: print(line, flush=True))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["send", repo, folder, errand]:
            sys.exit(_send(Path(repo), Path(folder), Errand(**json.loads(errand))))
        case ["drop", repo, folder, burst]:
            sys.exit(_drop(Path(repo), Path(folder), Burst(**json.loads(burst))))
        case ["watch", repo, mutant]:
            _watch(Path(repo), mutant)
