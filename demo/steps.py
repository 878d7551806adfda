"""What an agent of the demonstration can do: the words that the story is written in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Send:
    """Send mail by command. With `nobody`, the address is known to be wrong, and it must be refused."""

    to: str
    subject: str
    body: str
    options: tuple[str, ...] = ()
    nobody: bool = False


@dataclass(frozen=True, slots=True)
class Drop:
    """Write a Markdown file into somebody's folder by hand; `reaches` are the mailboxes it must end up in."""

    folder: str
    name: str
    text: str
    subject: str
    reaches: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Letter:
    """Look into the own folder, by hand, until mail with these words in its file name lies there."""

    words: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Wait for mail from SENDER by command, and reply to it."""

    sender: str
    body: str


@dataclass(frozen=True, slots=True)
class Ack:
    """Acknowledge the letter that was last looked for, by command."""


@dataclass(frozen=True, slots=True)
class PutAway:
    """Move every unread letter into `read/` by hand: for who knows only files, that is reading."""


@dataclass(frozen=True, slots=True)
class ReadAll:
    """Read all unread mail by command."""


@dataclass(frozen=True, slots=True)
class Take:
    """Take a lease. `held`: it must be refused. `else_give`: what to give back when waiting would never end."""

    scopes: tuple[str, ...]
    note: str = ""
    ttl: str = ""
    wait: str = ""
    mine: bool = False
    held: bool = False
    else_give: str = ""


@dataclass(frozen=True, slots=True)
class Give:
    """Give all leases back."""


@dataclass(frozen=True, slots=True)
class Check:
    """Ask who may write a path."""

    path: str


@dataclass(frozen=True, slots=True)
class Edit:
    """Change a file in the own worktree: every OLD becomes NEW; without OLD, the line is added."""

    path: str
    new: str
    old: str = ""


@dataclass(frozen=True, slots=True)
class Commit:
    """Commit what was edited, on the own branch."""

    message: str
    amend: bool = False


@dataclass(frozen=True, slots=True)
class AskMerge:
    """Ask for the own branch to be merged, then look into the own folder for what became of it."""

    title: str
    outcome: str = "landed"  # or "conflict", "failed"


@dataclass(frozen=True, slots=True)
class Save:
    """Save a checkpoint."""

    words: str
    next: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Restore:
    """Start from the last checkpoint."""


@dataclass(frozen=True, slots=True)
class Decide:
    """Record a decision."""

    about: str
    choice: str
    why: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Say what came of the decision recorded before."""

    words: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Let everybody know that the story has come to this point."""

    name: str


@dataclass(frozen=True, slots=True)
class After:
    """Wait until the story has come to a point."""

    name: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Work for a while."""

    seconds: float


Step = (
    Send
    | Drop
    | Letter
    | Answer
    | Ack
    | PutAway
    | ReadAll
    | Take
    | Give
    | Check
    | Edit
    | Commit
    | AskMerge
    | Save
    | Restore
    | Decide
    | Outcome
    | Mark
    | After
    | Pause
)


@dataclass(frozen=True, slots=True)
class Act:
    """One act of the story: who does what in it, all at the same time."""

    title: str
    about: str
    parts: dict[str, tuple[Step, ...]]
