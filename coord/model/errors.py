"""What can go wrong, as classes that carry facts and a next step.

One class per way of failing; `code` is stable and is what programs match on.
Exit statuses: 1 anything else, 2 usage, 3 not found, 4 refused, 5 conflict,
6 unavailable, 7 corrupt, 130 interrupted.
"""

from collections.abc import Mapping


class CoordError(Exception):
    """Say what failed, where, and what to do next.

    `message` names the thing and the place; `hint` is one next step, or empty;
    `facts` are plain values for programs (they appear in `--json`).
    """

    code = "error"
    exit_status = 1
    retryable = False

    def __init__(self, message: str, *, hint: str = "", **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.facts: Mapping[str, object] = facts


class Usage(CoordError):
    """Raised when the caller's words make no sense: a bad option, name, duration or configuration."""

    code = "usage"
    exit_status = 2


class NotFound(CoordError):
    """Raised when what was named does not exist here."""

    code = "not_found"
    exit_status = 3


class Refused(CoordError):
    """Raised when the thing asked for is understood and not allowed now."""

    code = "refused"
    exit_status = 4


class Conflict(CoordError):
    """Raised when somebody else's claim or change stands in the way."""

    code = "conflict"
    exit_status = 5
    retryable = True


class Unavailable(CoordError):
    """Raised when something needed (disk, git, a process) cannot serve now."""

    code = "unavailable"
    exit_status = 6
    retryable = True


class Corrupt(CoordError):
    """Raised when stored data is not what its format promises."""

    code = "corrupt"
    exit_status = 7


class ConfigError(Usage):
    """Raised when `.coord.yaml` is wrong; names the line and, where it can, the likely intent."""

    code = "config"


class UnknownAgent(Usage):
    """Raised when a name is no agent of this repository; lists those that are."""

    code = "unknown_agent"


class BadRecord(Corrupt):
    """Raised when a file is no readable record; names the line and the reason."""

    code = "bad_record"


class LeaseHeld(Conflict):
    """Raised when an overlapping lease of somebody else stands, or an earlier waiter's claim does."""

    code = "lease_held"


class WouldDeadlock(Refused):
    """Raised when waiting would close a circle of holders; names the circle."""

    code = "would_deadlock"


class HoldsSecret(Refused):
    """Raised when a text that would enter the ledger carries a credential; names its place and rule, not the secret."""

    code = "holds_secret"


class AtWork(Conflict):
    """Raised when another process of coord's is at the same thing; it is over when that and its gits have ended."""

    code = "at_work"


class StaleToken(Conflict):
    """Raised when a lease was acted on with a token that is no longer its own."""

    code = "stale_token"
    retryable = False


class TimedOut(Unavailable):
    """Raised when a wait ran out before what it waited for came."""

    code = "timed_out"


class Unsigned(Unavailable):
    """Raised when commits are to be signed, and one could not be."""

    code = "unsigned"


class LedgerMoved(Conflict):
    """Raised when the ledger's tip moved under a writer; reading it again and retrying is right."""

    code = "ledger_moved"
