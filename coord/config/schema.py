"""`.coord.yaml` as typed, frozen values: who works here, and by which rules.

To add a key, add a field annotated with a `Key`; reading, refusing, suggesting and writing follow.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Annotated

from coord.config import checks
from coord.config.sections import Key, did_you_mean, shown
from coord.model import mailboxes, scope
from coord.model.errors import UnknownAgent
from coord.model.records import Priority
from coord.model.values import frozen

FORMAT = 1

_SECOND, _MINUTE, _HOUR, _DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_AGE, _LEASE = checks.between(_SECOND, 3650 * _DAY), checks.between(_SECOND, 30 * _DAY)


@frozen(kw_only=True)
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


@frozen
class Group:
    """Agents that are written to together, as `@name`."""

    name: str
    members: tuple[str, ...]


@frozen(kw_only=True)
class Worktrees:
    """Where each agent has a worktree, and its branch."""

    path: Annotated[str, Key("the folder, from the repository's top", checks.agent_path)] = "../agent-{name}"
    branch: Annotated[str, Key("the branch checked out there", checks.agent_branch)] = "agent/{name}"
    follow: Annotated[
        str,
        Key(
            "clean, idle ones are brought to the base after a landing: merge, rebase, or off",
            checks.one_of("merge", "rebase", "off"),
        ),
    ] = "off"
    trash_retention: Annotated[timedelta, Key("what was kept of removed ones on refs/coord/trash/ goes then", _AGE)] = (
        30 * _DAY
    )


@frozen(kw_only=True)
class Leases:
    """How long claims on files last."""

    ttl: Annotated[timedelta, Key("unless asked otherwise or renewed", _LEASE)] = 30 * _MINUTE
    max: Annotated[timedelta, Key("the most that can be asked for", _LEASE)] = 8 * _HOUR


@frozen(kw_only=True)
class UnreadAge:
    """How long mail of each priority may lie unread before coord acts on it."""

    low: Annotated[timedelta, Key("whenever there is time", _AGE)] = 3 * _DAY
    normal: Annotated[timedelta, Key("today", _AGE)] = _DAY
    high: Annotated[timedelta, Key("before the next piece of work", _AGE)] = 2 * _HOUR
    urgent: Annotated[timedelta, Key("now", _AGE)] = 15 * _MINUTE

    def of(self, priority: Priority) -> timedelta:
        """Return the age for a priority."""
        return {"low": self.low, "normal": self.normal, "high": self.high, "urgent": self.urgent}[priority]


@frozen(kw_only=True)
class Mail:
    """What becomes of mail."""

    read_retention: Annotated[timedelta, Key("read mail leaves the folders then; the ledger keeps it", _AGE)] = 7 * _DAY
    dead_retention: Annotated[timedelta, Key("and so do dead letters, and the logs of tests", _AGE)] = 30 * _DAY
    unread_age: Annotated[
        UnreadAge, Key("unread for this long: a reminder; twice: the coordinator is told; thrice: the owner")
    ] = UnreadAge()


@frozen(kw_only=True)
class Step:
    """One step of the test that a branch must pass; TIMEOUT of none is that of the whole section."""

    name: Annotated[str, Key("what it is called in logs and mail", checks.step_name)] = ""
    run: Annotated[str, Key("its command", checks.command)] = ""
    timeout: Annotated[timedelta, Key("how long it may take", checks.between(_SECOND, _DAY))] = timedelta(0)
    cwd: Annotated[str, Key("the folder it runs in, from the top", checks.inner_folder)] = ""
    env: tuple[tuple[str, str], ...] = ()


@frozen(kw_only=True)
class Merge:
    """What a branch must pass before it lands."""

    into: Annotated[str, Key("the branch merged into; empty for the one checked out at home", checks.branch)] = ""
    test: Annotated[str, Key("the command that must pass first; empty for none", checks.command, fresh=True)] = ""
    timeout: Annotated[timedelta, Key("how long that command may take", checks.between(_SECOND, _DAY))] = 30 * _MINUTE
    ungated: Annotated[str, Key("without a command: refuse lets nothing land, allow all", checks.ungated)] = "refuse"
    fencing: Annotated[
        str, Key("made under a lease that has passed on: refuse, review by its new holder, off", checks.merge_fencing)
    ] = "refuse"
    sign: Annotated[
        str, Key("sign merges: git, where commit.gpgSign says so, or never", checks.one_of("git", "never"))
    ] = "git"
    rerere: Annotated[
        str, Key("conflicts that were resolved once are resolved so again: on, off", checks.one_of("on", "off"))
    ] = "on"
    batch: Annotated[int, Key("at most so many branches are tested together", checks.between(1, 200))] = 16
    parallel: Annotated[int, Key("so many tests may run side by side", checks.between(1, 64))] = 1
    resolver: Annotated[str, Key("gets what conflicts with the base: an agent, or owner; empty for its author")] = ""
    push: Annotated[str, Key("the remote that what lands is pushed to first; empty for none", checks.remote)] = ""
    steps: tuple[Step, ...] = ()

    @property
    def gate(self) -> tuple[Step, ...]:
        """The steps of the test, each with its time; none where nothing is tested."""
        steps = self.steps or ((Step(name="test", run=self.test),) if self.test else ())
        return tuple(step if step.timeout else replace(step, timeout=self.timeout) for step in steps)


@frozen(kw_only=True)
class Checkpoints:
    """How many checkpoints stay at hand."""

    keep: Annotated[int, Key("the newest of each agent; the ledger keeps all", checks.between(1, 10_000))] = 50


@frozen(kw_only=True)
class Secrets:
    """Which credentials may enter the ledger all the same."""

    allow: Annotated[tuple[str, ...], Key("names of rules that raise false alarms here", checks.secret_rules)] = ()


@frozen(kw_only=True)
class Decisions:
    """How many decisions stay at hand."""

    keep: Annotated[
        int, Key("beyond these, old ones with an outcome go; the ledger keeps all", checks.between(1, 10_000))
    ] = 200


@frozen(kw_only=True)
class Watch:
    """How the daemon looks around."""

    scan_every: Annotated[
        timedelta, Key("a full look, for changes nobody announced", checks.between(_SECOND / 10, _HOUR))
    ] = 10 * _SECOND
    foresee_every: Annotated[
        timedelta, Key("a look ahead for conflicts in work not committed yet", checks.between(_SECOND, _DAY))
    ] = _MINUTE


@frozen(kw_only=True)
class Hooks:
    """What coord does when a coding assistant calls its hooks."""

    lease: Annotated[
        str,
        Key(
            "before an edit of what nobody holds: auto takes a lease, warn says so, off",
            checks.one_of("auto", "warn", "off"),
        ),
    ] = "auto"
    brief: Annotated[int, Key("at most this many tokens at a session's start", checks.between(120, 8_000))] = 2_000
    mail: Annotated[int, Key("and this many of mail at a prompt or after a tool", checks.between(120, 8_000))] = 1_500
    wake: Annotated[
        str,
        Key(
            "which unread mail wakes an idle session: all, pressing (urgent, or to be acknowledged), off",
            checks.one_of("all", "pressing", "off"),
        ),
    ] = "all"
    nudge: Annotated[
        str,
        Key(
            "how, where its client has no way (Gemini): tmux types a line into its pane; off",
            checks.one_of("tmux", "off"),
        ),
    ] = "off"


@frozen(kw_only=True)
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
    decisions: Annotated[Decisions, Key("how many decisions stay at hand")] = Decisions()
    secrets: Annotated[Secrets, Key("which credentials may enter the ledger all the same")] = Secrets()
    hooks: Annotated[Hooks, Key("what happens when a coding assistant calls coord's hooks")] = Hooks()
    watch: Annotated[Watch, Key("how the daemon looks around")] = Watch()

    @property
    def names(self) -> tuple[str, ...]:
        """The agents' names, in the order of the file."""
        return tuple(agent.name for agent in self.agents)

    @property
    def everybody(self) -> tuple[str, ...]:
        """The agents and the owner: all who speak, and have a mailbox of their own."""
        return (*self.names, mailboxes.OWNER)

    @property
    def lack(self) -> str:
        """What to add where names are listed and there are none: who makes them."""
        return "" if self.agents else "; .coord.yaml names no agent: name them there, then run `coord init`"

    def agent(self, name: str) -> Agent:
        """Return the agent NAME.

        Raises:
            UnknownAgent: there is none of that name; the hint has the nearest.
        """
        for agent in self.agents:
            if agent.name == name:
                return agent
        hint = did_you_mean(name, self.names) or f"Known: {', '.join(self.everybody)}{self.lack}"
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
