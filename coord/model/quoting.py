"""Others' words shown as what they are: data behind `>`, under a line of coord's own that says whose they are.

Every line of a quotation starts with `>` and none outside does, so no text can end its own
quotation, pass for a line of coord's or forge the line that says who wrote it.
"""

from collections.abc import Iterator

from coord.model import keys, mailboxes
from coord.model.regex import regex
from coord.model.untrusted import clean_line, clean_text

MARK = ">"
# The front-matter key that says of a message that no command sent it.
WRITTEN, BY_HAND = "written", "by hand"
_ADDRESS = regex("@?[a-z0-9-]{1,33}")
_STRAIGHT = str.maketrans("“”„‟", '""""')
_COORD = "coord"


def quoted(text: str) -> str:
    """Return TEXT as a quotation, without line breaks at its end; what is not shown is stripped, nothing else."""
    return "\n".join(lines(text))


def lines(text: str) -> Iterator[str]:
    """Yield the lines of a quotation, each marked."""
    for line in clean_text(text).rstrip("\n").split("\n"):
        yield f"{MARK} {line}" if line else MARK


def one_line(text: str, limit: int | None = None) -> str:
    """Return TEXT as a quotation that runs to the end of its line or cell, cut to at most LIMIT characters."""
    return f"{MARK} {clean_line(text, limit)}"


def within(text: str, limit: int | None = None) -> str:
    """Return TEXT as a quotation in the middle of a line, between “ and ”, of which it holds none itself."""
    return f"“{clean_line(text, limit).translate(_STRAIGHT)}”"


def unquoted(quotation: str) -> str:
    """Return what a quotation says."""
    return "\n".join(line.removeprefix(MARK).removeprefix(" ") for line in quotation.split("\n"))


def origin(sender: str, *, by_hand: bool = False) -> str:
    """Say who wrote something and in what way, in words that SENDER cannot choose.

    BY_HAND tells of text that no command sent: anybody could have written its sender's name.
    """
    if sender == _COORD:
        return "coord (by hand, says the file)" if by_hand else "coord (its own notice)"
    if sender == mailboxes.OWNER:
        return "owner (by hand, says the file)" if by_hand else "owner (the person)"
    if keys.is_agent_name(sender):
        return f"{sender} (by hand, says the file)" if by_hand else f"{sender} (agent)"
    return "unknown (by hand)"


def address(text: str) -> str:
    """Return an address as it is if it can be one, so that none can hold words."""
    return text if _ADDRESS.fullmatch(text) else "unknown"
