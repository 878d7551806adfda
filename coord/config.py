"""`.coord.yaml` as typed, frozen values: who works here, and by which rules.

To add a key, add a field annotated with a `Key`; reading, refusing, suggesting and writing follow.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from coord import configchecks as checks
from coord import configfile
from coord.configfile import Faults, Key, did_you_mean, entries, plain, shown
from coord.model import keys, mailboxes, scope
from coord.model.errors import ConfigError, NotFound, Unavailable, UnknownAgent, Usage
from coord.model.records import Priority
from coord.model.times import format_duration
from coord.model.yamltext import LIMIT, Fields, Node

FORMAT = 1

_SECOND, _MINUTE, _HOUR, _DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_AGE, _LEASE = checks.between(_SECOND, 3650 * _DAY), checks.between(_SECOND, 30 * _DAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One agent: who it is and what it knows."""

    name: str
    role: Annotated[str, Key("what it is, in a few words", checks.one_line, fresh=True)] = ""
    domain: Annotated[
        tuple[str, ...], Key("what it knows, path globs and words: src/**, billing", checks.domain, fresh=True)
    ] = ()
    client: Annotated[str, Key("the program it runs in: claude, codex, gemini; empty for any", checks.one_line)] = ""
    description: Annotated[str, Key("anything else the others should know about it", checks.one_line)] = ""

    @property
    def globs(self) -> tuple[str, ...]:
        """The part of the domain that names paths, as canonical scopes."""
        return tuple(scope.normalise(entry, scope.Form()) for entry in self.domain if checks.is_glob(entry))

    @property
    def words(self) -> tuple[str, ...]:
        """The part of the domain that names subjects."""
        return tuple(entry for entry in self.domain if not checks.is_glob(entry))


@dataclass(frozen=True, slots=True)
class Group:
    """Agents that are written to together, as `@name`."""

    name: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Worktrees:
    """Where each agent has a worktree, and its branch."""

    path: Annotated[str, Key("the folder, from the repository's top", checks.agent_path)] = "../agent-{name}"
    branch: Annotated[str, Key("the branch checked out there", checks.agent_branch)] = "agent/{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leases:
    """How long claims on files last."""

    ttl: Annotated[timedelta, Key("unless asked otherwise or renewed", _LEASE)] = 30 * _MINUTE
    max: Annotated[timedelta, Key("the most that can be asked for", _LEASE)] = 8 * _HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadAge:
    """How long mail of each priority may lie unread before coord acts on it."""

    low: Annotated[timedelta, Key("whenever there is time", _AGE)] = 3 * _DAY
    normal: Annotated[timedelta, Key("today", _AGE)] = _DAY
    high: Annotated[timedelta, Key("before the next piece of work", _AGE)] = 2 * _HOUR
    urgent: Annotated[timedelta, Key("now", _AGE)] = 15 * _MINUTE

    def of(self, priority: Priority) -> timedelta:
        """Return the age for a priority."""
        return {"low": self.low, "normal": self.normal, "high": self.high, "urgent": self.urgent}[priority]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """What becomes of mail."""

    read_retention: Annotated[timedelta, Key("read mail leaves the folders then; the ledger keeps it", _AGE)] = 7 * _DAY
    unread_age: Annotated[
        UnreadAge, Key("unread for this long: a reminder; twice: the coordinator is told; thrice: the owner")
    ] = UnreadAge()


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """What a branch must pass before it lands."""

    into: Annotated[str, Key("the branch merged into; empty for the one checked out at home", checks.branch)] = ""
    test: Annotated[str, Key("the command that must pass first; empty for none", checks.command, fresh=True)] = ""
    timeout: Annotated[timedelta, Key("how long that command may take", checks.between(_SECOND, _DAY))] = 30 * _MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoints:
    """How many checkpoints stay at hand."""

    keep: Annotated[int, Key("the newest of each agent; the ledger keeps all", checks.between(1, 10_000))] = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """How the daemon looks around."""

    scan_every: Annotated[
        timedelta, Key("a full look, for changes nobody announced", checks.between(_SECOND / 10, _HOUR))
    ] = 10 * _SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything `.coord.yaml` says."""

    agents: tuple[Agent, ...] = ()
    coordinator: Annotated[str, Key("gets what others leave unread: an agent, or owner", fresh=True)] = mailboxes.OWNER
    groups: tuple[Group, ...] = ()
    worktrees: Annotated[Worktrees, Key("where each agent works")] = Worktrees()
    leases: Annotated[Leases, Key("how long a claim on files lasts")] = Leases()
    mail: Annotated[Mail, Key("what becomes of mail")] = Mail()
    merge: Annotated[Merge, Key("what a branch must pass before it lands")] = Merge()
    checkpoints: Annotated[Checkpoints, Key("how many checkpoints stay at hand")] = Checkpoints()
    watch: Annotated[Watch, Key("how the daemon looks around")] = Watch()

    @property
    def names(self) -> tuple[str, ...]:
        """The agents' names, in the order of the file."""
        return tuple(agent.name for agent in self.agents)

    def agent(self, name: str) -> Agent:
        """Return the agent NAME.

        Raises:
            UnknownAgent: there is none of that name; the hint has the nearest.
        """
        for agent in self.agents:
            if agent.name == name:
                return agent
        hint = did_you_mean(name, self.names) or "Name the agents in .coord.yaml."
        raise UnknownAgent(f"no agent is named {shown(name)}", hint=hint, name=name)

    def group(self, name: str) -> tuple[str, ...]:
        """Return the names of those addressed as `@NAME`.

        Raises:
            UnknownAgent: there is no such group; the hint has the nearest.
        """
        for group in self.groups:
            if group.name == name:
                return group.members
        known = [group.name for group in self.groups]
        raise UnknownAgent(f"no group is named {shown(name)}", hint=did_you_mean(name, known), name=name)


DEFAULT = Config()


def load(path: Path) -> Config:
    """Read the file at PATH.

    Raises:
        ConfigError: it is wrong; every fault is named with its line.
        NotFound: there is none.
        Unavailable: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LIMIT + 1)
        return parse(data.decode(), str(path))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8", hint="Save the file as UTF-8.", line=line) from None
    except FileNotFoundError:
        raise NotFound(f"there is no {path}", hint="Write one with `coord init`.") from None
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from None


def parse(text: str, where: str) -> Config:
    """Read the text of a file; WHERE names it in messages. An empty text is DEFAULT.

    Raises:
        ConfigError: it is wrong; every fault is named with its line.
    """
    faults = Faults(where)
    return from_fields(configfile.document(text, faults), faults)


def from_fields(root: Fields, faults: Faults) -> Config:
    """Build the configuration from a file's mapping, or from another file's put into this shape.

    Raises:
        ConfigError: FAULTS holds any, from before or from here.
    """
    if "format" in root.items:
        with faults.noted(root.items["format"].line, "format"):
            _check_format(plain(root.items["format"]))
        faults.settle()
    names = _names(root.items.get("agents"))
    own = {
        "format": plain,
        "agents": lambda node: _agents(node, faults),
        "coordinator": lambda node: _coordinator(plain(node), names),
        "groups": lambda node: _groups(node, names, faults),
    }
    values = configfile.read_section(Config, root, "", faults, own)
    values.pop("format", None)
    config = Config(**values)
    if config.leases.ttl > config.leases.max:
        ttl, most = format_duration(config.leases.ttl), format_duration(config.leases.max)
        faults.add(root.items["leases"].line, f"leases: ttl ({ttl}) is longer than max ({most})", "Raise max as well.")
    faults.settle()
    return config


def _check_format(text: str) -> None:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise Usage(f"{shown(text)} is no format number", hint=f"Write format: {FORMAT}")
    if int(text) > FORMAT:
        raise Usage(f"{text} is newer than {FORMAT}, which this coord reads", hint="Upgrade coord to read this file.")


def _names(node: Node | None) -> tuple[str, ...]:
    """Return the agents' names, right or wrong, so that one wrong name is one fault wherever it is used."""
    if isinstance(node, Fields):
        return tuple(node.items)
    with suppress(Usage):
        return tuple(name for name, _ in entries(node)) if node else ()
    return ()


def _agents(node: Node, faults: Faults) -> tuple[Agent, ...]:
    if isinstance(node, Fields):
        return tuple(_agent(name, body, node.key_lines[name], faults) for name, body in node.items.items())
    first: dict[str, int] = {}
    for name, line in entries(node):
        with faults.noted(line, _path("agents", name)):
            checks.agent_name(name)
            if name in first:
                raise Usage(f"is named twice, first on line {first[name]}")
        first.setdefault(name, line)
    return tuple(Agent(name=name) for name in first)


def _agent(name: str, body: Node, line: int, faults: Faults) -> Agent:
    path = _path("agents", name)
    with faults.noted(line, path):
        checks.agent_name(name)
    return Agent(name=name, **configfile.read_section(Agent, body, path, faults, {}))


def _coordinator(name: str, names: Sequence[str]) -> str:
    if name not in names and name != mailboxes.OWNER:
        raise Usage(f"no agent is named {shown(name)}", hint=did_you_mean(name, (*names, mailboxes.OWNER)))
    return name


def _groups(node: Node, names: Sequence[str], faults: Faults) -> tuple[Group, ...]:
    if not isinstance(node, Fields):
        raise Usage("must be a mapping from a name to a list of agents", hint="Write it like web: [backend, mobile].")
    groups = []
    for name, body in node.items.items():
        with faults.noted(node.key_lines[name], _path("groups", name)):
            checks.agent_name(name)
            members = dict(entries(body))
            if not members:
                raise Usage("has no members")
            for member, line in members.items():
                if member not in names:
                    faults.add(line, f"groups.{name}: no agent is named {shown(member)}", did_you_mean(member, names))
            groups.append(Group(name, tuple(members)))
    return tuple(groups)


def _path(section: str, name: str) -> str:
    return f"{section}.{name if keys.is_agent_name(name) else shown(name)}"
