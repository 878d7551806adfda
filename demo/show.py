"""The direction: raises the farm, calls the acts, kills whom the story wants killed, and proves the end."""

import queue
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from demo import farm as place
from demo import proof, stage, story
from demo.farm import Farm
from demo.stage import DAEMON, Stage
from demo.voice import Voice

LIMIT = 100.0
_QUIET = 0.35
# What the ledger got, in the form in which `coord watch` tells it.
_AS_WATCHED = "--format=%ad %(trailers:key=Coord-Event,valueonly,separator=)%x00%s"
_CLOCK = "--date=format-local:%H:%M:%S"
_WELCOME = (
    "Thirteen agents and their coordinator, each a process with a worktree of its own, look after a small farm.",
    "They write to each other, contend for files, edit, commit and ask for merges; one is killed, then the daemon is.",
    "Files, git and processes are real. What `coord watch` tells stands behind the kind of event (mail.sent ...),",
    "what an agent tells behind its name. It takes about 40 seconds and ends by itself; ^C ends it sooner.",
)
_TO_TRY = (
    ("git log --oneline coord/ledger", "everything that happened, newest first"),
    ("git log -3 --stat coord/ledger", "an event is a commit: its files and trailers"),
    ("git log --oneline --graph main", "main: merges that passed their test, and nothing else"),
    ("git branch --no-merged main", "what stayed out"),
    ("coord log --kind lease", "who held what"),
    ("coord log --agent inventory", "what one agent did, before its death and after"),
    ("coord history --at {moment}", "how things stood when inventory was killed"),
    ("coord mail list --mailbox owner", "what the owner was told"),
    ("ls inbox/* locks checkpoints/*", "all of it is files"),
    ("coord watch", "go on watching; write to an agent from another terminal"),
)
OWNER, DIRECTOR = "owner", "demonstration"


class Stuck(Exception):
    """The story cannot go on."""


@dataclass
class Show:
    """One performance."""

    folder: Path
    voice: Voice
    begun: float = field(default_factory=time.monotonic)
    facts: list[dict[str, Any]] = field(default_factory=list)
    marks: set[str] = field(default_factory=set)
    act: int = 0
    dark_from: str = ""
    moment: str = ""
    watched: bool = False

    def __post_init__(self) -> None:
        self.stage = Stage(self.folder)
        self.pending: set[str] = set()

    def play(self) -> bool:
        """Play it to its end; True when every claim was proven."""
        self._header()
        farm = self._raise()
        for number, act in enumerate(story.ACTS):
            self.act = number
            self.voice.act(number + 1, act.title, act.about)
            self._play(farm.agents)
        self._hear(_QUIET)
        self.stage.stop_agents()
        self.stage.stop_daemon()
        self._hear(_QUIET)
        return self._prove(farm)

    def _header(self) -> None:
        self.voice.plain("coord: a demonstration", "head")
        for line in _WELCOME:
            self.voice.plain(line)
        self.voice.plain()

    def _raise(self) -> Farm:
        self._say(OWNER, f"makes {self.folder}/farm")
        farm = place.build(self.folder, self.stage.run)
        self._say(OWNER, f"has {farm.origin}, with a few files to work on")
        self.stage.coord("init")
        self._say(OWNER, "coord init")
        self.stage.coord("worktree", "add")
        self._say(OWNER, f"coord worktree add: {len(farm.agents)} worktrees beside it, each on a branch of its own")
        self.stage.start_daemon()
        while not self.watched:  # else it would not tell of what comes before it
            self._one()
        for name in farm.agents:
            self.stage.start_agent(name)
        return farm

    def _play(self, agents: Sequence[str]) -> None:
        self.pending = set(agents)
        for name in agents:
            self.stage.call(name, self.act)
        while self.pending:
            self._one()
            self._direct()
        self._hear(_QUIET)

    def _direct(self) -> None:
        """Do what the story wants of nobody in it."""
        if {story.HALF_WAY, story.QUEUED} <= self.marks and self._waits_for_the_victim():
            self.marks -= {story.HALF_WAY, story.QUEUED}
            self._hear(_QUIET)
            self.moment = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
            pid = self.stage.kill(story.VICTIM)
            self._say(
                DIRECTOR, f"kill -9 {pid}: {story.VICTIM} is dead, holding a lease, its work uncommitted", "alarm"
            )
            self.stage.start_agent(story.VICTIM, again=True)
            self.stage.call(story.VICTIM, self.act)
        if set(story.IN_THE_DARK) <= self.marks:
            self.marks -= set(story.IN_THE_DARK)
            self._say(DIRECTOR, "nobody watched; the ledger has it all the same:")
            for line in self._git(
                "log", "--reverse", _AS_WATCHED, _CLOCK, f"{self.dark_from}..coord/ledger"
            ).splitlines():
                told, _, subject = line.partition("\0")
                self.voice.watched(f"{told} {subject.partition(': ')[2]}")
            self._say(DIRECTOR, "`coord watch` is started again", "alarm")
            self.stage.start_daemon()

    def _waits_for_the_victim(self) -> bool:
        """Tell whether somebody stands in the queue by now, so that the death is of use to somebody."""
        return "waits for" in self.stage.coord("lock", "list")

    def _kill_daemon(self) -> None:
        pid = self.stage.kill(DAEMON)
        self.dark_from = self._git("rev-parse", "coord/ledger")
        self.facts.append({"kind": "daemon died"})
        self._say(DIRECTOR, f"kill -9 {pid}: `coord watch` is dead, in the middle of a test", "alarm")
        (self.folder / "marks" / story.DARK).touch()

    def _git(self, *words: str) -> str:
        return self.stage.run("git", *words, cwd=self.stage.home)

    def _hear(self, quiet: float) -> None:
        """Tell what is still said, until nothing is for QUIET seconds."""
        while self._one(quiet):
            pass

    def _one(self, patience: float = 0.5) -> bool:
        if time.monotonic() - self.begun > LIMIT:
            raise Stuck(f"act {self.act + 1} does not end; still at it: {', '.join(sorted(self.pending)) or DAEMON}")
        try:
            name, line = self.stage.heard.get(timeout=patience)
        except queue.Empty:
            return False
        if name == DAEMON:
            self.watched = True
            kind, subject = self.voice.watched(line)
            if kind == "merge.testing" and f"agent/{story.TESTED_IN_THE_DARK} " in subject and not self.dark_from:
                self._kill_daemon()
            return True
        self._agent(name, stage.spoken(line))
        return True

    def _agent(self, name: str, told: dict[str, Any]) -> None:
        if "say" in told:
            self._say(name, told["say"], told.get("tone", ""))
        if "fact" in told:
            self.facts.append(told["fact"])
            if told["fact"]["kind"] == "fault":
                raise Stuck(told["fact"]["what"])
        if "mark" in told:
            self.marks.add(told["mark"])
        if "done" in told:
            self.pending.discard(name)

    def _say(self, who: str, text: str, tone: str = "") -> None:
        self.voice.happened(who, text, tone)

    def _prove(self, farm: Farm) -> bool:
        self.voice.plain()
        self.voice.plain("Is it true?", "head")
        claims = list(proof.Proof(farm, self.stage, self.facts).claims())
        for claim in claims:
            mark = self.voice.painted("yes", "good") if claim.holds else self.voice.painted(" NO", "alarm")
            self.voice.plain(f"  {mark}  {claim.text}{'' if claim.holds else f': {claim.detail}'}")
        missing = sum(not claim.holds for claim in claims)
        self.voice.plain()
        if missing:
            self.voice.plain(f"{missing} of {len(claims)} claims do not hold; see above", "alarm")
        else:
            self._epilogue(len(claims))
        return not missing

    def _epilogue(self, claims: int) -> None:
        say = self.voice.plain
        say(self.stage.coord("status"))
        say()
        say(f"All {claims} claims hold; it took {time.monotonic() - self.begun:.0f} seconds.", "good")
        say("The farm is yours to look at:", "head")
        say()
        say(f"  export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH")
        say(f"  cd {shlex.quote(self._shown(self.stage.home))}")
        for command, about in _TO_TRY:
            shown = command.format(moment=self.moment)
            say(f"  {shown:<46}{self.voice.painted(f'# {about}', 'dim')}")

    def _shown(self, path: Path) -> str:
        here = Path.cwd()
        return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
