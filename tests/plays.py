"""Short pieces of work with coord, each played in a small repository of its own."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from support import git

from coord.service import checkpoints, decisions, locks, mail, merges, setup, verify
from coord.service.byhand import adopt
from coord.service.clock import SystemClock
from coord.service.command import Prose
from coord.service.coord import DAEMON_BELL, Coord
from coord.stores import oslock

CONFIG = """\
format: 1
agents:
  backend: {role: Backend Developer, domain: ["*.js"]}
  frontend: {role: Frontend Developer, domain: [web_app/**]}
  security: {role: Security, domain: [auth]}
coordinator: security
groups:
  web: [backend, frontend]
"""
LONG_AGO = timedelta(hours=3)
HAND = "from: security\n\nwritten by hand\n"


class Ago(SystemClock):
    """The clocks as they were three hours ago."""

    def now(self) -> datetime:
        """Return that wall clock's moment."""
        return super().now() - LONG_AGO

    def monotonic(self) -> float:
        """Return that clock's seconds."""
        return super().monotonic() - LONG_AGO.total_seconds()


def act(
    home: Path, who: str, command: Callable[..., Any], *args: Any, clock: SystemClock | None = None, **named: Any
) -> Any:
    """Do what the command line does: open, note who is there, run, settle on leaving."""
    coord = Coord.open(home, who=who, clock=clock)
    try:
        with coord:
            coord.presence.note(who, "play")
            return command(coord, *args, **named)
    finally:
        coord.index.close()


def _send(home: Path, to: str = "frontend", text: str = "hello", **named: Any) -> str:
    sent: mail.Sent = act(home, "backend", mail.send, tuple(to.split(",")), Prose(text), **named)
    return sent.message.id


def _unread(home: Path) -> None:
    for number in range(3):
        _send(home, text=f"letter {number}")


def _reading(home: Path) -> None:
    for oldest in act(home, "frontend", mail.list_).items[:1]:
        act(home, "frontend", mail.ack, (oldest.message.id,))
    act(home, "frontend", mail.read)
    act(home, "security", mail.read)


def _leasing(home: Path) -> None:
    act(home, "backend", locks.acquire, ("a.js", "web_app/**"))
    act(home, "backend", locks.renew, ttl=timedelta(hours=1))
    act(home, "backend", locks.release, ("a.js",))
    act(home, "frontend", locks.acquire, ("a.js",))


def _leased(home: Path) -> None:
    act(home, "frontend", locks.acquire, ("a.js", "web_app/**"), clock=Ago())


def _stealing(home: Path) -> None:
    act(home, "backend", locks.acquire, ("a.js",))
    act(home, "security", locks.break_, "a.js", reason="gone")


def _deciding(home: Path) -> None:
    made = act(home, "backend", decisions.record, "where", Prose("here"))
    act(home, "backend", decisions.outcome, made.decision.id, Prose("good"))


def _saving(home: Path) -> None:
    for number in range(2):
        act(home, "backend", checkpoints.save, Prose(f"all is done {number}"), next=("rest",))


def _by_hand(home: Path) -> None:
    for name, text in {"frontend/note": HAND, "all/word": "to all\n", "backend/lost": "to: nobody\n\nwhere?\n"}.items():
        path = home / "inbox" / f"{name}.md"
        path.write_text(f"---\n{text.replace(chr(10) * 2, f'{chr(10)}---{chr(10)}', 1)}" if ": " in text else text)
        os.utime(path, (1_790_000_000, 1_790_000_000))


def _adopting(home: Path) -> None:
    act(home, "frontend", lambda coord: adopt.adopt_waiting(coord))
    act(home, "frontend", mail.read)


def _branch(home: Path) -> None:
    git(home, "branch", "topic")
    tree = git(home, "rev-parse", "HEAD^{tree}")
    git(home, "update-ref", "refs/heads/topic", git(home, "commit-tree", tree, "-p", "HEAD", "-m", "topic"))


def _merging(home: Path) -> None:
    act(home, "backend", merges.request, branch="topic")
    made = act(home, "backend", merges.request, branch="topic", title="again")
    act(home, "backend", merges.cancel, made.id)


def _batching(home: Path) -> None:
    """The daemon listens, so that events wait; then it commits them, begins another segment, and again."""
    with Coord.open(home, who="owner") as daemon, daemon.bells.listen(DAEMON_BELL):
        daemon.journal._segment_limit = 1
        for text in ("one", "two"):
            _send(home, "@web,security", text)
            act(home, "frontend", mail.read)
            act(home, "security", mail.read)
            _send(home, "all", f"{text} again")
            daemon.committer.settle()


def _carrying(home: Path) -> None:
    """Commit an event while its writer is between its note and its files, and once more when it is done."""
    with Coord.open(home, who="backend") as coord:
        publish = coord.store._publish

        def held_up(*args: Any, **named: Any) -> None:
            coord.committer.settle()
            publish(*args, **named)

        with patch.object(coord.store, "_publish", held_up):
            mail.send(coord, ("frontend",), Prose("slow"))


def _edited(home: Path) -> None:
    _unread(home)
    inbox = home / "inbox" / "frontend"
    moved, edited, gone = sorted(inbox.glob("*.md"))[-3:]
    moved.rename(inbox / "read" / moved.name)
    edited.write_bytes(edited.read_bytes() + b"more\n")
    gone.unlink()


def _reconciling(home: Path) -> None:
    act(home, "owner", verify.verify, commit=True)


def _nothing(home: Path) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Play:
    """A piece of work: what lay there safely before, and what is done."""

    name: str
    work: Callable[[Path], object]
    before: Callable[[Path], object] = _nothing


PLAYS = (
    Play("send to one", _send),
    Play("send to many", lambda home: _send(home, "all", "to all of you\n" * 400)),
    Play("send once", lambda home: [_send(home, key="once") for _ in range(2)]),
    Play("read and ack", _reading, _unread),
    Play("lease", _leasing),
    Play("lease of another", _stealing, _leased),
    Play("checkpoint", _saving),
    Play("decision", _deciding),
    Play("adoption", _adopting, _by_hand),
    Play("merge request", _merging, _branch),
    Play("batch", _batching),
    Play("carried", _carrying),
    Play("hand edit", _reconciling, _edited),
)


# ---- where it is played ----


@contextmanager
def booted(number: int) -> Iterator[None]:
    """Let this process find itself in the NUMBER-th boot of this machine."""
    here = oslock._HERE
    _, *rest = here._boot().split("/")
    boot = "/".join([f"{number:08x}-0000-4000-8000-000000000000", *rest])
    with patch.object(here, "_boot", lambda: boot), patch.object(here, "_me", None):
        yield


@cache
def _template() -> Path:
    """Make the repository that all plays begin with: once, in memory where the system offers it."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="coord-plays-", dir=memory if os.access(memory, os.W_OK) else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    home = folder / "template"
    home.mkdir()
    git(home, "init", "-q", "--template=")
    (home / ".coord.yaml").write_text(CONFIG)
    git(home, "add", "-A")
    git(home, "commit", "-qm", "start")
    with booted(1):
        setup.init(home)
        _send(home, "@web", "so that there is a ledger")
    return home


@contextmanager
def stage(play: Play) -> Iterator[Path]:
    """Yield a repository of its own in which PLAY can begin."""
    folder = Path(tempfile.mkdtemp(dir=_template().parent))
    try:
        shutil.copytree(_template(), folder / "farm", symlinks=True)
        with booted(1):
            play.before(folder / "farm")
        yield folder / "farm"
    finally:
        shutil.rmtree(folder)
