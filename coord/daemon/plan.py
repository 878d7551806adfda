"""What a rule sees (View) and what it may ask for (Action)."""

from dataclasses import dataclass
from datetime import datetime

from coord.config.schema import Config
from coord.model import keys
from coord.model.records import Lock, MergeRequest, Priority


@dataclass(frozen=True, slots=True)
class Dropped:
    """A file written by hand into a mailbox; `ripe_in` how many seconds it counts as whole, 0 where it does."""

    key: str
    ripe_in: float

    @property
    def whole(self) -> bool:
        """Whether nobody is writing it any more, as far as its age tells."""
        return self.ripe_in <= 0


@dataclass(frozen=True, slots=True)
class Waiting:
    """An unread message in a mailbox: what a rule asks of it, since ten thousand must not fill the memory.

    `reminded` says up to which level its reader and others were told of its age.
    """

    key: str
    mailbox: str
    sender: str
    priority: Priority
    sent_at: datetime
    expires_at: datetime | None
    reminded: int = 0

    @property
    def id(self) -> str:
        """The message's id."""
        return keys.id_in(self.key) or ""


@dataclass(frozen=True, slots=True)
class Read:
    """A read message that the ledger holds, and since when it has been read."""

    key: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Aged:
    """Something that nobody waits for any more, and since when it has been there."""

    name: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Ruled:
    """A decision, and whether it still stands and awaits its outcome."""

    key: str
    open: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """What would pile up for ever: dead letters and decisions that the ledger holds, oldest first; logs of gates,
    what was kept of worktrees.

    `told` is how many bytes the daemon's own log has.
    """

    dead: tuple[Aged, ...] = ()
    decisions: tuple[Ruled, ...] = ()
    logs: tuple[Aged, ...] = ()
    trash: tuple[Aged, ...] = ()
    told: int = 0


@dataclass(frozen=True, slots=True)
class Due:
    """An idle session that is to be woken now, which way, and for which messages."""

    client: str
    session: str
    way: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A conflict between two agents' work, or one's and the base (""): where it is now, and where they were told of."""

    first: str
    second: str
    marks: frozenset[str]
    told: frozenset[str]


@dataclass(frozen=True, slots=True)
class Behind:
    """A clean worktree that lacks some of the base.

    `told` says that its agent knows why it cannot follow, `begun` that somebody may have brought it half the way.
    """

    agent: str
    told: bool = False
    begun: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The world at one moment, as every rule of a cycle sees it.

    `steady` is False for one interval after the clock jumped (the machine slept, or the
    clock was set): nothing is reaped then, so that whoever slept too can renew first.
    """

    now: datetime
    config: Config
    steady: bool = True
    dropped: tuple[Dropped, ...] = ()
    shared: tuple[str, ...] = ()
    unread: tuple[Waiting, ...] = ()
    read: tuple[Read, ...] = ()
    locks: tuple[Lock, ...] = ()
    dead_holders: tuple[int, ...] = ()
    merges: tuple[MergeRequest, ...] = ()
    conflicts: tuple[Foreseen, ...] = ()
    behind: tuple[Behind, ...] = ()
    settled: Settled = Settled()
    drifted: bool = False
    fragmented: bool = False
    unguarded: tuple[str, ...] = ()
    due: tuple[Due, ...] = ()


@dataclass(frozen=True, slots=True)
class Adopt:
    """Make a hand-written file a message and deliver it."""

    key: str


@dataclass(frozen=True, slots=True)
class Forward:
    """Deliver a message that lies in a shared mailbox."""

    key: str


@dataclass(frozen=True, slots=True)
class ExpireLease:
    """Remove a lease past its time, if it still has this token."""

    scope: str
    token: int


@dataclass(frozen=True, slots=True)
class FreeDead:
    """Free the leases of processes that are proven dead."""

    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Retire:
    """Take records out of the folders; the ledger keeps them."""

    keys: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Discard:
    """Remove logs of gates."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LetGo:
    """Let go of what was kept of worktrees, if its time is over."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trim:
    """Let the daemon's own log begin anew."""


@dataclass(frozen=True, slots=True)
class Remind:
    """Tell `to` once that messages in MAILBOX have waited too long; `level` 1 its reader, 2 coordinator, 3 owner."""

    mailbox: str
    to: str
    level: int
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Merge:
    """Take the queue of the branch INTO one step further."""

    into: str


@dataclass(frozen=True, slots=True)
class Follow:
    """Bring an agent's worktree to the base, if nobody is at work there."""

    agent: str


@dataclass(frozen=True, slots=True)
class Warn:
    """Tell two agents that what they have now will conflict, or one that it will with the base."""

    first: str
    second: str
    marks: frozenset[str]


@dataclass(frozen=True, slots=True)
class CallOff:
    """Record that a conflict which agents were told of is gone."""

    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Record what was changed by hand in the folders."""


@dataclass(frozen=True, slots=True)
class Repack:
    """Let git combine the ledger's small packs, in the background."""


@dataclass(frozen=True, slots=True)
class Reguard:
    """Put the commit guard back into the hooks that lack it."""

    hooks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wake:
    """Wake an idle session."""

    due: Due


Action = (
    Adopt
    | Forward
    | ExpireLease
    | FreeDead
    | Retire
    | Discard
    | LetGo
    | Trim
    | Remind
    | Merge
    | Follow
    | Warn
    | CallOff
    | Reconcile
    | Repack
    | Reguard
    | Wake
)
