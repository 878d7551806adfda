"""Where the front matter of a file ends and its body begins.

Front matter lies between a first line `---` and the next line `---`; the body is what
follows, byte for byte. Any other `---` is the body's own.
"""

import re
from typing import NamedTuple

from coord.model import yamltext
from coord.model.errors import BadRecord
from coord.model.regex import regex
from coord.model.yamlnodes import bad

BODY_LIMIT = 256 * 1024  # bytes of UTF-8
_FILE_LIMIT = BODY_LIMIT + yamltext.LIMIT + 1024
_OPEN = regex(r"---[ \t]*(?:\r?\n|\Z)")
_CLOSE = regex(r"^---[ \t]*(?:\r?\n|\Z)", re.MULTILINE)
_BLANK = regex(r"(?:[ \t]*\r?\n)*")
_KEY = regex(r"""["']?(\w[\w -]{0,63})["']?[ \t]{0,8}:(?=\s|\Z)""")
_HINT = "Mend that line, or move the file out of the folder."


class Parts(NamedTuple):
    """A file in two: its front matter, the number of that one's first line, and the body."""

    front: str
    first_line: int
    body: str


def decoded(data: bytes) -> str:
    """Return a file's text, without the mark that some editors put before it.

    Raises:
        BadRecord: it is no UTF-8, holds a NUL or is larger than any record.
    """
    if len(data) > _FILE_LIMIT:
        raise bad(1, f"{len(data):,} bytes are more than a record may have", hint="Attach large things by reference.")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise bad(data.count(b"\n", 0, error.start) + 1, "not UTF-8", hint="Save the file as UTF-8.") from None
    if "\0" in text:
        raise bad(text.count("\n", 0, text.index("\0")) + 1, "it holds a NUL, so it is no text")
    return text.removeprefix("\ufeff")


def split(text: str) -> Parts:
    """Split a record's file.

    Raises:
        BadRecord: it does not start with front matter, that is not closed, or the body is too large.
    """
    opened = _OPEN.match(text)
    if opened is None:
        raise bad(1, "it does not start with front matter", hint="Start it with a line `---`, then `format: 1`.")
    closed = _CLOSE.search(text, opened.end())
    if closed is None:
        raise bad(1, "its front matter is not closed", hint="Add a line `---` after the last field.")
    return Parts(text[opened.end() : closed.start()], 2, checked(text[closed.end() :]))


def split_by_hand(text: str, known: "frozenset[str]") -> Parts | None:
    """Split a hand-written file; None where all of it is body.

    A first line `---` (blank lines may come before it) opens front matter where the line after
    it is `key:` or another `---`; before prose or a blank line it is a horizontal rule. Where no
    other `---` follows, only a key among KNOWN (folded) tells front matter that was not closed.

    Raises:
        BadRecord: the front matter is not closed, or the body is too large.
    """
    start = _BLANK.match(text)
    opened = _OPEN.match(text, start.end() if start else 0)
    if opened is None:
        return None
    closed = _CLOSE.search(text, opened.end())
    key = _KEY.match(text, opened.end())
    line = text.count("\n", 0, opened.start()) + 1
    if key is not None and closed is None and fold(key[1]) in known:
        raise bad(line, "its front matter is not closed", hint="Add a line `---` after the last field.")
    if closed is None or (key is None and closed.start() != opened.end()):
        return None
    return Parts(text[opened.end() : closed.start()], line + 1, checked(text[closed.end() :]))


def checked(body: str) -> str:
    """Return BODY where it is within its limit.

    Raises:
        BadRecord: it is not.
    """
    if 4 * len(body) > BODY_LIMIT and (size := len(body.encode())) > BODY_LIMIT:
        reason = f"the body has {size:,} bytes, {BODY_LIMIT:,} are allowed"
        raise bad(1, reason, hint="Put it into a file or a commit and name that in `refs`.")
    return body


def fold(key: str) -> str:
    """Return a key as coord spells it: `Reply-To` and `reply to` are `reply_to`."""
    return key.strip().lower().replace("-", "_").replace(" ", "_")


def placed(fault: BadRecord, where: str) -> BadRecord:
    """Return a fault that knows its line as one that names its file too."""
    facts = {name: value for name, value in fault.facts.items() if name != "began"}
    message = f"{where}, line {facts.get('line')}: {facts.get('reason')}"
    return BadRecord(message, hint=fault.hint or _HINT, **{**facts, "where": where})
