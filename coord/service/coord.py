"""Coord: an opened repository, and who is speaking in it."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from coord.config import reading
from coord.config.schema import Config
from coord.git import history, ledger, repo
from coord.git.ledger import Ledger
from coord.git.repo import Git, Place
from coord.git.tracked import Tracked
from coord.index import Index
from coord.model import ids, keys, mailboxes
from coord.model import scope as scopes
from coord.model.errors import CoordError, Usage
from coord.model.records import Change, Event
from coord.service.clock import Clock, SystemClock
from coord.service.committer import Committer
from coord.service.presence import Presence
from coord.service.screen import Screen
from coord.stores import oslock
from coord.stores.files import FileStore
from coord.stores.journal import Journal

CONFIG_NAME = ".coord.yaml"
DAEMON_BELL = "daemon"
_ENTROPY = 1 << 80


class Coord:
    """Everything a command needs, opened once and handed to it.

    Use it as a context manager: on leaving, the events it recorded are committed, by the
    daemon where one listens and by this process where none does. What was recorded has
    happened even where that fails: then `left` says why, and the next command commits it.
    """

    def __init__(
        self, place: Place, config: Config, *, who: str = "", clock: Clock | None = None, start: Path | None = None
    ) -> None:
        self.place = place
        self.start = start or place.top
        self.config = config
        self.clock: Clock = clock or SystemClock()
        self.home = place.home
        self.private = place.common / "coord"
        self.store = FileStore(place.home, self.private)
        self.bells = self.store.bells
        self.journal = Journal(self.private / "journal")
        self.git = Git(place.home)
        self.ledger = Ledger(self.git)
        self.tracked = Tracked(place, self.git)
        self.index = Index(self.private / "index.db", self.git)
        self.committer = Committer(self.store, self.journal, self.git, self.ledger, self.clock)
        self.screen = Screen(self.committer)
        self.presence = Presence(self.private / "seen")
        self._who = who
        self._form: scopes.Form | None = None
        self._last_id = (0, 0)
        self._unsettled = False
        self._config_stamp = _stamp(self.home / CONFIG_NAME)
        self._algorithm = ""
        self.left: CoordError | None = None

    @classmethod
    def open(cls, start: Path, *, who: str = "", clock: Clock | None = None) -> Self:
        """Open the repository that START lies in.

        Raises:
            Usage: START is in no repository, or coord was never set up there.
            ConfigError: `.coord.yaml` is wrong.
        """
        place = repo.find(start)
        path = place.home / CONFIG_NAME
        if not path.is_file():
            raise Usage(f"{place.home} has no {CONFIG_NAME}", hint="set it up with `coord init`")
        coord = cls(place, reading.load(path), who=who, clock=clock, start=start)
        coord._heal()
        return coord

    def _heal(self) -> None:
        try:
            self.committer.heal()
        except CoordError as fault:  # what can be read can be read all the same
            self.left = fault

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, Exception):
            try:
                self.settle()
            except CoordError as fault:
                self.left = fault

    def reload(self) -> bool:
        """Read `.coord.yaml` again if it changed since the last look, and tell whether it had.

        Raises:
            ConfigError: it is wrong now; what was read before stays in force.
        """
        stamp = _stamp(self.home / CONFIG_NAME)
        if stamp == self._config_stamp:
            return False
        self._config_stamp = stamp
        self.config = reading.load(self.home / CONFIG_NAME)
        return True

    def me(self) -> str:
        """Return who is speaking: the name given, else the agent whose worktree one stands in.

        Raises:
            UnknownAgent: the name given is nobody's.
            Usage: nothing tells who it is.
        """
        if self._who:
            return self.known(self._who)
        if (standing := self.standing_in()) is not None:
            return standing
        names = ", ".join(self.config.everybody)
        raise Usage(
            "who is speaking? Nothing says which agent this is",
            hint=f"give --as NAME, set COORD_AGENT, or stand in an agent's worktree; known: {names}",
        )

    def known(self, name: str) -> str:
        """Return NAME in its own spelling if it is an agent's or `owner`.

        Raises:
            UnknownAgent: it is neither.
        """
        lowered = name.strip().lower()
        return lowered if lowered == mailboxes.OWNER else self.config.agent(lowered).name

    def whoever(self) -> str:
        """Return who is speaking, or "" where nothing tells and nothing needs it."""
        return self.known(self._who) if self._who else self.standing_in() or ""

    def standing_in(self) -> str | None:
        """Return the agent in whose worktree one stands."""
        if self.place.top == self.home:
            return None
        return next((name for name in self.config.names if self.worktree_of(name) == self.place.top), None)

    def worktree_of(self, agent: str) -> Path:
        """Return where AGENT's worktree is, or would be, as git names it: without links on the way."""
        return Path(os.path.realpath(self.home / self.config.worktrees.path.format(name=agent)))

    def scope(self, text: str) -> str:
        """Return the canonical scope for what somebody typed where they stand.

        Absolute paths into home or into any agent's worktree name the same file of the repository.
        As far as a path exists literally, nothing in it is magic: `app/[id]` is that folder.

        Raises:
            Usage: it names nothing that can be leased.
        """
        if not text.startswith("/"):
            start = self.start.resolve()
            within = start.relative_to(self.place.top) if start.is_relative_to(self.place.top) else Path()
            literal = _literally(start, text)
            return scopes.normalise(literal, self.form, within="" if within == Path() else within.as_posix())
        tops = {str(top) for top in (self.place.top, *map(self.worktree_of, self.config.names), self.home)}
        folder, name = os.path.split(os.path.normpath(text))
        for path in (os.path.join(folder, name), os.path.join(os.path.realpath(folder), name)):
            for top in sorted(tops, key=len, reverse=True):
                if path == top or path.startswith(f"{top}/"):
                    return scopes.normalise(f"./{_literally(Path(top), path[len(top) + 1 :])}", self.form)
        raise Usage(f"{text} lies outside the repository {self.home}", hint="name a path inside it")

    def kind(self, path: str) -> Literal["file", "folder", "unknown"]:
        """Tell what lies at a path below the top, at home or where one stands; a folder in either is one."""
        if ".." in path.split("/"):
            return "unknown"
        found = [f"{top}/{path}" for top in {self.home, self.place.top}]
        if any(map(os.path.isdir, found)):
            return "folder"
        return "file" if any(map(os.path.isfile, found)) else "unknown"

    def now(self) -> datetime:
        """Return the wall clock's moment."""
        return self.clock.now()

    def new_id(self) -> str:
        """Make an id that sorts after all that this process made before, also within one millisecond."""
        now = self.now()
        millisecond = int(now.timestamp() * 1000)
        entropy = int.from_bytes(os.urandom(10), "big") >> 1
        if millisecond == self._last_id[0]:
            entropy = (self._last_id[1] + 1) % _ENTROPY
        self._last_id = (millisecond, entropy)
        return ids.ulid(now, entropy.to_bytes(10, "big"))

    @property
    def form(self) -> scopes.Form:
        """How this repository's file system compares names, as git found when it was made."""
        if self._form is None:
            folds = self.git.setting("core.ignorecase") == "true"
            self._form = scopes.Form(
                fold_case=folds,
                compose=self.git.setting("core.precomposeunicode") == "true",
                is_file=lambda path: self.kind(path) == "file",
            )
        return self._form

    def event(
        self,
        kind: str,
        subject: str,
        changes: Sequence[Change] = (),
        *,
        agent: str = "",
        id: str = "",
        cause: Sequence[str] = (),
        **facts: object,
    ) -> Event:
        """Make an event of now; `facts` become trailers (`token=42` is `Coord-Token: 42`), empty ones are left out.

        Raises:
            HoldsSecret: some text of it carries a credential; see `Screen.passed`.
        """
        made = Event(
            id=id or self.new_id(),
            kind=kind,
            agent=agent or self.me(),
            subject=subject,
            at=self.now(),
            changes=tuple(changes),
            cause=tuple(cause),
            facts={
                name.title().replace("_", "-"): str(value) for name, value in facts.items() if value not in ("", None)
            },
        )
        return self.screen.passed(made, self.config.secrets.allow)

    def record(self, event: Event) -> None:
        """Make EVENT happen: when this returns its note and its files are durable, and it will be committed.

        A crash in between leaves either nothing, or a note that the next committer finishes.
        """
        writer = oslock.me()
        self.committer.in_flight.add(event.id)
        try:
            self.store.apply(event.changes, commit=lambda: self.journal.append(event, writer))
            with suppress(CoordError):  # all is visible already; without the mark it is made so once more
                self.journal.done(event.id)
        finally:
            self.committer.in_flight.discard(event.id)
            self._unsettled = not self.bells.ring(DAEMON_BELL)

    def settle(self) -> None:
        """Commit what this process recorded, unless a daemon that listens was told to."""
        if self._unsettled:
            self.committer.settle()
            self._unsettled = False

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """Enter the critical section NAME, after finishing what its last holder left half done."""
        with self.store.exclusive(name) as guard:
            if guard.inherited:
                self.committer.settle()
            yield

    def indexed(self) -> Index:
        """Commit what waits, and return the index once it has read that."""
        self.committer.settle()
        self.index.sync()
        return self.index

    def blob_id(self, data: bytes) -> str:
        """Return the name git gives to these bytes in this repository."""
        if not self._algorithm:
            self._algorithm = self.git.setting("extensions.objectFormat") or "sha1"
        return history.blob_id(data, self._algorithm)

    def records(self, prefix: str) -> list[str]:
        """Return the keys of the records under a folder, in order; not strangers' files, nor what git refuses."""
        return [key for key in self.store.list(prefix) if keys.is_record(key) and ledger.fits(key)]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _literally(folder: Path, text: str) -> str:
    """Quote as much of TEXT, from its beginning, as exists in FOLDER and looks like a glob."""
    parts = text.split("/")
    for count in range(len(parts), 0, -1):
        lead = "/".join(parts[:count])
        if scopes.is_glob(lead) and os.path.lexists(folder / lead):
            return "/".join([scopes.quote(lead), *parts[count:]])
    return text
