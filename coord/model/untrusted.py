"""Text that somebody else wrote, made safe to show.

Nothing of it can move a cursor, change a colour, set a window's title, reorder letters
or hide from the eye: a terminal's escapes go with their arguments, and so do control
characters, bidirectional controls and the invisible ones that smuggle words.
"""

import unicodedata
from collections.abc import Iterable

from coord.model.regex import regex

_ESCAPES = regex(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"  # control sequences: colours, cursor
    "|(?:\x1b[\\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x00-\x1f\x7f-\x9f]*(?:\x07|\x1b\\\\|\x9c)"  # strings: titles, links
    "|\x1b[ -/]*[0-Z\\\\-~]"
)
_UNSEEN = (
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f"
)
_HIDDEN = regex(f"[{_UNSEEN}]")
UNSAFE = regex(f"[{_UNSEEN}\x85\u2028\u2029\ud800-\udfff]")
# A letter may have one variation selector; more in a row carry bytes that nobody sees.
_SMUGGLED = regex("(?<=[\ufe00-\ufe0f])[\ufe00-\ufe0f]+|[\U000e0100-\U000e01ef]")
_BREAKS = regex("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_HALVES = regex("[\ud800-\udfff]")
_FEW = 5
_JOINER = "\u200d"


def clean_line(text: str, limit: int | None = None) -> str:
    """Return TEXT on one line, white space folded, cut with `…` to at most LIMIT characters."""
    line = " ".join((text if _is_plain(text) else _bare(text)).split())
    return line if limit is None or len(line) <= limit else _cut(line, limit)


def clean_text(text: str) -> str:
    """Return TEXT with its lines and tabs, and nothing else that is not shown."""
    return text if _is_plain(text) else _BREAKS.sub("\n", _bare(text))


def several(names: Iterable[str]) -> str:
    """Return the first few of some names on one line, and how many more there are."""
    found = list(names)
    more = f" and {len(found) - _FEW} more" if len(found) > _FEW else ""
    return ", ".join(map(clean_line, found[:_FEW])) + more


def _is_plain(text: str) -> bool:
    return text.isprintable() and (text.isascii() or not _SMUGGLED.search(text))


def _bare(text: str) -> str:
    return _HALVES.sub("\ufffd", _SMUGGLED.sub("", _HIDDEN.sub("", _ESCAPES.sub("", text))))


def _cut(line: str, limit: int) -> str:
    """Cut before a whole character: an accent stays with its letter, a joined emoji in one piece."""
    end = max(limit - 1, 0)
    while end and (_clings(line[end]) or line[end - 1] == _JOINER):
        end -= 1
    return (line[: end or max(limit - 1, 0)].rstrip() + "…")[:limit]


def _clings(character: str) -> bool:
    return character == _JOINER or unicodedata.category(character).startswith("M")
