r"""How a scope is spelled: quotes, stars, classes of characters, and which names a file system takes for one.

What is malformed stands for itself, so that a scope written by hand can be compared too.
"""

import re
import unicodedata

from coord.model.regex import regex

NAMED = regex(r"(?:task|merge):")
MAGIC = regex(r"[*?\[\\]")
TOKEN = regex(
    r"\\(?P<quoted>.)|(?P<stars>\*+)|(?P<one>\?)"
    r"|\[(?P<negated>!?+)(?P<members>\](?:\\.|[^\]\\])*+|(?:\\.|[^\]\\])++)\]"
    r"|(?P<plain>.)",
    re.DOTALL,
)
_QUOTED = regex(r"\\(.)", re.DOTALL)
_MEMBER = regex(r"\\?(.)(?:-\\?(.))?", re.DOTALL)

Range = tuple[int, int]


def plain_text(part: str) -> str | None:
    """Return what a scope or one segment of it spells, or None for a glob."""
    tokens = list(TOKEN.finditer(part))
    if any(token.lastgroup not in ("quoted", "plain") for token in tokens):
        return None
    return "".join(token["quoted"] or token["plain"] for token in tokens)


def unquoted(scope: str) -> str:
    """Return SCOPE without the quotes of its plain characters."""
    return _QUOTED.sub(r"\1", scope)


def ranges(members: str) -> list[Range]:
    """Return the characters inside a class as the ends of ranges, in the order written."""
    return [(ord(low), ord(high or low)) for low, high in _MEMBER.findall(members)]


def composed(text: str, compose: bool) -> str:
    """Return TEXT in the Unicode form in which the file system gives names back."""
    return unicodedata.normalize("NFC", text) if compose and not text.isascii() else text


def folded(text: str, fold: bool) -> str:
    """Fold letter case and keep the length: a character that folds to several is lowered, or stays."""
    if not fold:
        return text
    whole = text.casefold()
    return whole if len(whole) == len(text) else "".join(map(fold_one, text))


def fold_one(character: str) -> str:
    """Return the one character that CHARACTER is compared as."""
    return next((c for c in (character.casefold(), character.lower()) if len(c) == 1), character)


def comparable(text: str, fold: bool, compose: bool) -> str:
    """Return TEXT as the file system compares it."""
    return folded(composed(text, compose), fold)
