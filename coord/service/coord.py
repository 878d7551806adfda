"""Coord: an opened repository, and who is speaking in it."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from coord import index as indexing
from coord.config import reading
from coord.config.schema import Config
from coord.git import discovery, history, names, tracked
from coord.git import ledger as ledgers
from coord.git import repo as gits
from coord.git.discovery import Place
from coord.model import ids, keys, mailboxes
from coord.model import scope as scopes
from coord.model.errors import CoordError, Unavailable, Usage
from coord.model.records import Change, Event
from coord.service import brake as brakes
from coord.service import committer as committing
from coord.service import screen as screens
from coord.service.clock import Clock, SystemClock
from coord.service.session.presence import Presence
from coord.stores import durable, oslock
from coord.stores import journal as journals
from coord.stores.files import FileStore

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
        self.presence = Presence(self.private / "seen")
        self._who = who
        self._form: scopes.Form | None = None
        self._last_id = (0, 0)
        self.commits = False  # whether this process is the daemon, which commits what it records by itself
        self._unsettled = False
        self._inside = 0
        self._config_stamp = _stamp(self.home / CONFIG_NAME)
        self._algorithm = ""
        self.left: CoordError | None = None
        self.wrong: CoordError | None = None  # what is the matter with the configuration, where that stops nothing
        self.tell: Callable[[int], None] | None = None  # what hears how far a long reading of the ledger is

    @classmethod
    def open(cls, start: Path, *, who: str = "", clock: Clock | None = None) -> Self:
        """Open the repository that START lies in.

        Raises:
            Usage: START is in no repository, or coord was never set up there.
            ConfigError: `.coord.yaml` is wrong.
        """
        place = discovery.find(start)
        path = place.home / CONFIG_NAME
        if not path.is_file():
            raise Usage(f"{place.home} has no {CONFIG_NAME}", hint="set it up with `coord init`")
        coord = cls(place, reading.load(path), who=who, clock=clock, start=start)
        coord._heal()
        return coord

    # What many a command does without is made when it is wanted: who lists a mailbox waits for no git.

    @cached_property
    def journal(self) -> "journals.Journal":
        """The notes of events that wait to be committed."""
        return journals.Journal(self.private / "journal")

    @cached_property
    def brake(self) -> "brakes.Brake":
        """What keeps this process in pace with the ledger."""
        return brakes.Brake(self.journal)

    @cached_property
    def git(self) -> "gits.Git":
        """Git, run at home."""
        return gits.Git(self.home)

    @cached_property
    def ledger(self) -> "ledgers.Ledger":
        """The branch that every event is committed to."""
        return ledgers.Ledger(self.git)

    @cached_property
    def tracked(self) -> "tracked.Tracked":
        """What the code branch keeps in the live folders."""
        return tracked.Tracked(self.place, self.git)

    @cached_property
    def index(self) -> "indexing.Index":
        """The index of the ledger."""
        return indexing.Index(self.private / "index.db", self.git, tell=self.tell)

    @cached_property
    def committer(self) -> "committing.Committer":
        """Whoever brings noted events to the ledger."""
        return committing.Committer(self.store, self.journal, self.git, self.ledger, self.clock)

    @cached_property
    def screen(self) -> "screens.Screen":
        """Whoever looks at events before they are kept, so that no credential is."""
        return screens.Screen(self.committer)

    def _heal(self) -> None:
        """Finish what a power cut left half done, once after each start of the machine."""
        healed = self.private / "healed"
        try:
            with durable.faults(f"heal {self.home} after a start of the machine"):
                boot = oslock.me().boot
                if not healed.is_file() or healed.read_text(encoding="utf-8") != boot:
                    self.committer.settle()
                    healed.parent.mkdir(parents=True, exist_ok=True)
                    healed.write_text(boot, encoding="utf-8")
        except CoordError as fault:  # what can be read can be read all the same
            self.left = fault

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, Exception):
            try:
                with durable.faults("commit what was recorded"):
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
            hint=f"give --as NAME, set COORD_AGENT, or stand in an agent's worktree; known: {names}{self.config.lack}",
        )

    def speaks(self, name: str) -> None:
        """Let NAME speak from here on, as if the opening had said so."""
        self._who = name

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
        """Make an id that sorts behind all of this process, within a millisecond too, unless a clock was set back."""
        now = self.now()
        millisecond = int(now.timestamp() * 1000)
        entropy = int.from_bytes(os.urandom(10), "big") >> 1
        if millisecond == self._last_id[0]:
            entropy = (self._last_id[1] + 1) % _ENTROPY
        self._last_id = (millisecond, entropy)
        return ids.ulid(now, entropy.to_bytes(10, "big"))

    @property
    def form(self) -> "scopes.Form":
        """How this repository's file system compares names, as git found when it was made."""
        if self._form is None:
            self._form = scopes.Form(
                fold_case=self._made_with("core.ignorecase") == "true",
                compose=self._made_with("core.precomposeunicode") == "true",
                is_file=lambda path: self.kind(path) == "file",
            )
        return self._form

    def _made_with(self, name: str) -> str:
        return self.git.setting(name) if discovery.may_set(self.place.common, name) else ""

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
        """Make EVENT happen: when this returns it is durable, its files are in place, and it will be committed.

        A crash in between leaves either nothing, or a note that the next committer finishes. So does
        a fault of the disk after the note: the event stands, and `left` says what is still to be done.
        """
        writer = oslock.me()
        noted = False

        def note() -> None:
            nonlocal noted
            self.journal.append(event, writer)
            noted = True

        try:
            with self.committer.recording(event.id):
                self.store.apply(event.changes, commit=note)
                with suppress(CoordError):  # all is visible already; without the mark it is made so once more
                    self.journal.done(event.id)
        except CoordError as fault:
            if not noted:
                raise
            self.left = fault
        finally:
            self._unsettled = not self.bells.ring(DAEMON_BELL)
        if not self.commits:
            with suppress(CoordError):  # it has happened all the same, and whoever settles says so
                self._keep_pace()

    def _keep_pace(self) -> None:
        """Wait, or commit, where events are noted faster than committed; inside a guard others would wait as well."""
        if not self.commits and not self._inside and self.brake.tread(daemon=not self._unsettled):
            self.settle()

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
            self._inside += 1
            try:
                yield
            finally:
                self._inside -= 1
        self._keep_pace()

    def indexed(self) -> "indexing.Index":
        """Commit what waits, and return the index once it has read that.

        A disk that is full or read-only does not keep it from reading what is committed; `left` says what is not.
        """
        try:
            self.committer.settle()
        except Unavailable as fault:
            self.left = fault
        try:
            self.index.sync()
        except (Unavailable, OSError):
            self.index = indexing.Index.elsewhere(self.git, tell=self.tell)
            self.index.sync()
        return self.index

    def blob_id(self, data: bytes) -> str:
        """Return the name git gives to these bytes in this repository."""
        if not self._algorithm:
            self._algorithm = self._made_with("extensions.objectFormat") or "sha1"
        return history.blob_id(data, self._algorithm)

    def records(self, prefix: str) -> list[str]:
        """Return the keys of the records under a folder, in order; not strangers' files, nor what git refuses."""
        return [key for key in self.store.list(prefix) if keys.is_record(key) and names.fits(key)]


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
