"""What a rule sees (View) and what it may ask for (Action)."""

from datetime import datetime

from coord.config.schema import Config
from coord.model import keys
from coord.model.records import Lock, MergeRequest, Priority
from coord.model.values import frozen


@frozen
class Dropped:
    """A file written by hand into a mailbox; `ripe_in` how many seconds it counts as whole, 0 where it does."""

    key: str
    ripe_in: float

    @property
    def whole(self) -> bool:
        """Whether nobody is writing it any more, as far as its age tells."""
        return self.ripe_in <= 0


@frozen
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


@frozen
class Read:
    """A read message that the ledger holds, and since when it has been read."""

    key: str
    since: datetime


@frozen
class Aged:
    """Something that nobody waits for any more, and since when it has been there."""

    name: str
    since: datetime


@frozen
class Ruled:
    """A decision, and whether it still stands and awaits its outcome."""

    key: str
    open: bool


@frozen
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


@frozen
class Due:
    """An idle session that is to be woken now, which way, and for which messages."""

    client: str
    session: str
    way: str
    ids: tuple[str, ...]


@frozen
class Foreseen:
    """A conflict between two agents' work, or one's and the base (""): where it is now, and where they were told of."""

    first: str
    second: str
    marks: frozenset[str]
    told: frozenset[str]


@frozen
class Behind:
    """A clean worktree that lacks some of the base.

    `told` says that its agent knows why it cannot follow, `begun` that somebody may have brought it half the way.
    """

    agent: str
    told: bool = False
    begun: bool = False


@frozen(kw_only=True)
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


@frozen
class Adopt:
    """Make a hand-written file a message and deliver it."""

    key: str


@frozen
class Forward:
    """Deliver a message that lies in a shared mailbox."""

    key: str


@frozen
class ExpireLease:
    """Remove a lease past its time, if it still has this token."""

    scope: str
    token: int


@frozen
class FreeDead:
    """Free the leases of processes that are proven dead."""

    tokens: tuple[int, ...]


@frozen
class Retire:
    """Take records out of the folders; the ledger keeps them."""

    keys: tuple[str, ...]
    why: str


@frozen
class Discard:
    """Remove logs of gates."""

    names: tuple[str, ...]


@frozen
class LetGo:
    """Let go of what was kept of worktrees, if its time is over."""

    names: tuple[str, ...]


@frozen
class Trim:
    """Let the daemon's own log begin anew."""


@frozen
class Remind:
    """Tell `to` once that messages in MAILBOX have waited too long; `level` 1 its reader, 2 coordinator, 3 owner."""

    mailbox: str
    to: str
    level: int
    ids: tuple[str, ...]


@frozen
class Merge:
    """Take the queue of the branch INTO one step further."""

    into: str


@frozen
class Follow:
    """Bring an agent's worktree to the base, if nobody is at work there."""

    agent: str


@frozen
class Warn:
    """Tell two agents that what they have now will conflict, or one that it will with the base."""

    first: str
    second: str
    marks: frozenset[str]


@frozen
class CallOff:
    """Record that a conflict which agents were told of is gone."""

    first: str
    second: str


@frozen
class Reconcile:
    """Record what was changed by hand in the folders."""


@frozen
class Repack:
    """Let git combine the ledger's small packs, in the background."""


@frozen
class Reguard:
    """Put the commit guard back into the hooks that lack it."""

    hooks: tuple[str, ...]


@frozen
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
