"""Set coord up in a repository; on a clone, bring the ledger's state back into files.

Nothing of the owner's is changed: no hook, branch, index, HEAD or setting. Every step looks
whether it is done already, so that setting up again, or after a crash, does what is missing.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from coord.config import checks, flow, reading, writing
from coord.config.schema import Agent, Config
from coord.git import discovery, history, ledger, merge, repo, worktree
from coord.git.discovery import Place
from coord.git.repo import Git
from coord.model import keys
from coord.model.errors import ConfigError, Refused, Unavailable, Usage
from coord.model.values import frozen
from coord.service import branches, delivery, livefolders
from coord.service.clock import Clock
from coord.service.coord import CONFIG_NAME, Coord
from coord.stores import durable
from coord.stores.base import LEDGER
from coord.stores.files import FileStore

_BRANCH = ledger.REF.removeprefix("refs/heads/")
# Enough to meet everybody who still works here; reading them takes about a tenth of a second.
_RECENT = 5_000
_FIX_INTO = f"set merge.into in {CONFIG_NAME} to the branch that is meant"


@frozen
class Initialised:
    """What setting up made, what was there already, and how many records came back from the ledger."""

    home: str
    agents: tuple[str, ...]
    made: tuple[str, ...]
    existed: tuple[str, ...]
    restored: int = 0
    notes: tuple[str, ...] = ()


@dataclass
class _Progress:
    """What was made and what was there, collected on the way."""

    made: list[str] = field(default_factory=list)
    existed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, *, made: bool) -> None:
        (self.made if made else self.existed).append(name)


@frozen
class _Source:
    """The ledger that is there before anything is done: the local branch, else a remote's."""

    commit: str
    remote: str = ""


def init(
    start: Path, *, agents: tuple[str, ...] = (), from_file: Path | None = None, clock: Clock | None = None
) -> Initialised:
    """Set coord up in the repository around START, or tell what is there already.

    An existing `.coord.yaml` is never rewritten. Without one the agents are those named, those
    of a `claude-flow.yaml` (FROM_FILE), or those that a clone's ledger names.

    Raises:
        Usage: START is in no repository, or both AGENTS and FROM_FILE are given.
        Refused: the repository is bare; or a branch stands in the ledger's way; or it has a
            configuration, and AGENTS or FROM_FILE is given.
        ConfigError: the configuration, or FROM_FILE, is wrong.
    """
    repo.require()
    place = discovery.find(start)
    if agents and from_file is not None:
        raise Usage("agents are named twice, by name and by file", hint="give --agents or --from, not both")
    for folder in keys.FOLDERS:
        livefolders.check(place.home / folder)
    with FileStore(place.home, place.common / "coord").exclusive("init"):
        progress = _Progress()
        if fault := ledger.Ledger(Git(place.home)).blocked():
            raise fault
        source = _source(Git(place.home), place, progress)
        config = _config(place, agents, from_file, source, progress)
        coord = Coord(place, config, clock=clock)
        restored = livefolders.refill(coord, *livefolders.shared(config)) if coord.ledger.tip() else 0
        _folders(coord, progress)
        progress.add(".git/info/exclude", made=worktree.hide(place.common))
        _ledger(coord, source, progress)
        restored += livefolders.fill(coord)
        if not (config.merge.gate or config.merge.ungated == "allow"):
            progress.notes.append("nothing lands yet: set merge.test in .coord.yaml to what a branch must pass")
    return Initialised(
        str(place.home), config.names, tuple(progress.made), tuple(progress.existed), restored, tuple(progress.notes)
    )


def _source(git: Git, place: Place, progress: _Progress) -> _Source | None:
    published = git.tips(f"refs/remotes/**/{_BRANCH}")
    local = git.peek(place.common, ledger.REF)
    if local is not None:
        for name, commit in published.items():
            if git.run("merge-base", local, commit, check=False).status != 0:
                progress.notes.append(
                    f"{name} shares no history with {_BRANCH}, which began here by itself: to go on from {name}, "
                    f"run `git branch -m {_BRANCH} {_BRANCH}-of-its-own` and `coord init` again"
                )
        return _Source(local)
    if not published:
        return None
    first = f"refs/remotes/origin/{_BRANCH}"
    chosen = first if first in published else min(published)
    others = [name for name, commit in published.items() if commit != published[chosen]]
    if others:
        progress.notes.append(f"{', '.join(others)} differs from {chosen}, which was taken")
    return _Source(published[chosen], chosen.removeprefix("refs/remotes/"))


def _config(
    place: Place, agents: Sequence[str], from_file: Path | None, source: _Source | None, progress: _Progress
) -> Config:
    path = place.home / CONFIG_NAME
    if os.path.lexists(path):
        if agents or from_file is not None:
            raise Refused(
                f"{path} exists and is never rewritten",
                hint="name the agents in it with an editor, then run `coord init` again for their mailboxes",
            )
        progress.add(CONFIG_NAME, made=False)
        found = reading.load(path)
        if not found.merge.into:
            progress.notes.append(f"work is merged into what is checked out here: {_FIX_INTO}")
        return found
    git = Git(place.home)
    config = _with_base(git, _fresh(git, agents, from_file, source, progress), progress)
    with durable.faults(f"write {path}"):
        durable.replace(path, writing.render(config).encode())
    progress.add(CONFIG_NAME, made=True)
    progress.notes.append(f"commit {CONFIG_NAME}, so that clones and worktrees have it")
    if not config.agents:
        progress.notes.append(f"no agents yet: name them in {CONFIG_NAME}, then run `coord init` again")
    return config


def _fresh(
    git: Git, agents: Sequence[str], from_file: Path | None, source: _Source | None, progress: _Progress
) -> Config:
    if from_file is not None:
        imported = flow.from_flow(_text(from_file), str(from_file))
        progress.notes.extend(imported.notes)
        return imported.config
    names = [name for text in agents if (name := text.strip())]
    for name in names:
        try:
            checks.agent_name(name)
        except Usage as fault:
            raise Usage(f"{name!a} cannot name an agent: {fault.message}", hint=fault.hint) from None
    if not agents and source is not None:
        names = sorted(_named_by(git, source.commit))
        if names:
            progress.notes.append(f"the agents are those the ledger names; check {CONFIG_NAME}")
    return Config(agents=tuple(Agent(name=name) for name in dict.fromkeys(names)))


def _with_base(git: Git, config: Config, progress: _Progress) -> Config:
    """Name the branch that work is merged into, so that it does not follow what somebody checks out later."""
    branch = config.merge.into or branches.checked_out(git)
    try:
        checks.branch(branch)
    except Usage:  # coord's own
        branch = ""
    if not branch or branches.is_agents(config, branch):
        progress.notes.append(f"no branch is checked out here that work could be merged into: {_FIX_INTO}")
        return config
    progress.notes.append(f"work is merged into {branch}: merge.into in {CONFIG_NAME}")
    return replace(config, merge=replace(config.merge, into=branch))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as fault:
        raise ConfigError(f"{path} is not UTF-8 (byte {fault.start})", hint="save the file as UTF-8") from None
    except OSError as fault:
        raise Unavailable(
            f"{path} cannot be read: {fault.strerror}", hint="give the path of a claude-flow.yaml"
        ) from None


def _named_by(git: Git, commit: str) -> set[str]:
    """Return the agents that have records in the tree or wrote one of the newest events."""
    folders = {key.split("/")[1] for key in history.tree(git, commit) if key.split("/")[0] in ("inbox", "checkpoints")}
    newest = history.entries(git, until=commit, newest_first=True, limit=_RECENT, with_changes=False)
    return {name for name in folders | {entry.agent for entry in newest} if keys.is_agent_name(name)}


def _folders(coord: Coord, progress: _Progress) -> None:
    for folder in livefolders.shared(coord.config):
        progress.add(folder, made=livefolders.make(coord.home / folder))
    for folder in livefolders.read(coord.config):
        livefolders.make(coord.home / folder)


def _ledger(coord: Coord, source: _Source | None, progress: _Progress) -> None:
    if source is not None and source.remote:
        with coord.store.exclusive(LEDGER):
            merge.move(coord.git, ledger.REF, source.commit, "", message=f"coord: from {source.remote}")
            _skip_history(coord, source.commit)
        progress.notes.append(f"the branch {_BRANCH} was made from {source.remote}")
    coord.committer.settle()
    existed = coord.ledger.tip() is not None
    if not existed:
        names = coord.config.names
        subject = ", ".join(names) or "no agents yet"
        coord.record(coord.event("coord.initialised", subject, agent=delivery.COORD))
        coord.committer.settle()
    progress.add(_BRANCH, made=not existed or bool(source and source.remote))


def _skip_history(coord: Coord, commit: str) -> None:
    """Note that no event which waits here can be in the history that came, so that nobody searches it."""
    pending = coord.journal.read()
    if not pending.events:
        coord.journal.advance(pending, tip=commit, carried=pending.unfinished)
