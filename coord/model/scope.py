r"""Scopes: what a lease is about, and whether two of them meet.

A scope is `task:<id>`, `merge:<branch>`, or a path or glob below the repository's top.
`*` and `?` stay within a segment, so do `[a-z]` and `[!a-z]`; `**` as a whole segment
stands for any number of segments, none included, and at the end for at least one;
`\` quotes the next character.

A glob covers exactly the paths it matches: `a/*` the direct entries of `a`, `a/**` all
that lies below it. A plain path covers itself and all below it; one that is known to be
a file covers itself alone.
"""

from collections.abc import Callable
from dataclasses import field

from coord.model import scopepattern, scopetext
from coord.model.errors import Usage
from coord.model.keys import FOLDERS
from coord.model.regex import regex
from coord.model.scopepattern import Pattern
from coord.model.values import frozen

LONGEST = 4096
MOST_BRACKETS = 64
EVERYTHING = "**"

_NAME = regex(r"\w+:\S(?:.*\S)?")
_UNPRINTABLE = regex(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# What HFS+ ignores inside a name; source: next_hfs_char in git's utf8.c.
_IGNORED_BY_HFS = regex("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")


def _nothing(_path: str) -> bool:
    return False


@frozen
class Form:
    """How the repository's file system compares names (git's core.ignorecase, core.precomposeunicode).

    `is_file` says of a path that it is known to be a file; it is asked only where two scopes
    meet in nothing but what lies below that path.
    """

    fold_case: bool = False
    compose: bool = False
    is_file: Callable[[str], bool] = field(default=_nothing, compare=False)


def normalise(text: str, form: Form, *, within: str = "") -> str:
    """Return the canonical scope that TEXT means to somebody standing in the folder WITHIN.

    WITHIN is a plain path below the repository's top, never a glob. Letter case is kept;
    comparing folds it. The repository itself (`.`) is `**`.

    Raises:
        Usage: TEXT is empty, malformed, over 4096 bytes, outside the repository, or private to git or coord.
    """
    if not text.isprintable() and _UNPRINTABLE.search(text):
        raise Usage(f"scope {text!r} holds a control character", hint="rename the path, or lease its folder")
    whole = scopetext.composed(f"{quote(within)}/{text}", form.compose)
    if len(whole.encode()) > LONGEST or whole.count("[") > MOST_BRACKETS:
        limit = f"{LONGEST} bytes and {MOST_BRACKETS} brackets"
        raise Usage(f"scope {text[:40]!r}... is too long: the limit is {limit}", hint="lease the folder of these paths")
    if scopetext.NAMED.match(text):
        if _NAME.fullmatch(text):
            return text
        raise Usage(f"scope {text!r} names nothing, or ends in spaces", hint="write task:<id> or merge:<branch>")
    if text.startswith("/"):
        raise Usage(f"scope {text!r} is outside the repository", hint="name a path relative to the repository's top")
    parts: list[str] = []
    for written in whole.split("/"):
        part = _segment(written, text, form)
        if part == "..":
            _climb(parts, text)
        elif part not in ("", ".") and (part != "**" or parts[-1:] != ["**"]):
            parts.append(part)
    if not text or (parts and not parts[-1].strip()):
        raise Usage(f"scope {text!r} is empty", hint="name a path or a glob, or `.` for the whole repository")
    _refuse_private(parts, text, form)
    return _unnamed("/".join(parts)) or EVERYTHING


def quote(path: str) -> str:
    r"""Return the scope of exactly this path, and of all below it: `app/[id]` becomes `app/\[id]`."""
    return _unnamed(scopetext.MAGIC.sub(r"\\\g<0>", path))


def is_glob(text: str) -> bool:
    """Tell whether TEXT holds a character that stands for others, or quotes one."""
    return scopetext.MAGIC.search(text) is not None


def same(a: str, b: str, form: Form) -> bool:
    """Tell whether two canonical scopes are one spelling under FORM, and so one lock file."""
    return a == b or scopetext.comparable(a, form.fold_case, form.compose) == scopetext.comparable(
        b, form.fold_case, form.compose
    )


def covers(scope: str, path: str, form: Form) -> bool:
    """Tell whether SCOPE covers the concrete PATH (as git prints it; nothing in it is magic)."""
    pattern = _pattern(scope, form)
    equal, under, _ = scopepattern.relate(scopepattern.one(path, form.fold_case, form.compose), pattern)
    return (equal and pattern.itself) or (under and _below(pattern, form))


def contains(outer: str, inner: str, form: Form) -> bool:
    """Tell whether OUTER covers all that INNER covers; True is certain.

    Exact for two plain paths; of globs only what their spelling shows.
    """
    x, y = _pattern(inner, form), _pattern(outer, form)
    if x.single:
        equal, under, _ = scopepattern.relate(x, y)
        deep = (equal or under) and _below(y, form)
        itself = (equal and y.itself) or (under and deep)
        return (itself or not x.itself) and (deep or not _below(x, form))
    if y.single and x.head.startswith(y.head):
        return _below(y, form)
    return same(outer, inner, form)


def overlap(a: str, b: str, form: Form) -> bool:
    """Tell whether some path could be covered by both canonical scopes.

    Exact, globs against globs included, in time bounded by the product of their lengths.
    """
    x, y = _pattern(a, form), _pattern(b, form)
    equal, x_under, y_under = scopepattern.relate(x, y)
    if equal and x.itself and y.itself:
        return True
    return (
        (x_under and _below(y, form))
        or (y_under and _below(x, form))
        or (equal and _below(x, form) and _below(y, form))
    )


def _pattern(scope: str, form: Form) -> Pattern:
    return scopepattern.read(scope, form.fold_case, form.compose)


def _below(pattern: Pattern, form: Form) -> bool:
    """Tell whether a pattern covers what lies below the paths it names."""
    return pattern.below and not (pattern.path and form.is_file(pattern.path))


# ---- normalising ----


def _unnamed(path: str) -> str:
    return f"\\{path}" if scopetext.NAMED.match(path) else path


def _segment(written: str, text: str, form: Form) -> str:
    """Return one segment without needless quotes and doubled stars, in the file system's Unicode form."""
    if written == "**":
        return written
    parts: list[str] = []
    for token in scopetext.TOKEN.finditer(written):
        match token.lastgroup:
            case "quoted":
                parts.append(scopetext.MAGIC.sub(r"\\\g<0>", token["quoted"]))
            case "stars":
                parts.append("*")
            case "plain" if token["plain"] in "[\\":
                hint = f"write \\{token['plain']} where the character itself is meant"
                raise Usage(f"scope {text!r}: {token['plain']} in {written!r} has no end", hint=hint)
            case "members" if any(low > high for low, high in scopetext.ranges(token["members"])):
                raise Usage(f"scope {text!r}: {token[0]} runs backwards", hint="write the lower end first: [a-z]")
            case _:
                parts.append(token[0])
    return scopetext.composed("".join(parts), form.compose)


def _climb(parts: list[str], text: str) -> None:
    if not parts:
        raise Usage(f"scope {text!r} is outside the repository", hint="only paths inside the repository can be leased")
    if scopetext.plain_text(parts[-1]) is None:
        raise Usage(f"scope {text!r} climbs out of a glob with `..`", hint="write the path without `..`")
    parts.pop()


def _refuse_private(parts: list[str], text: str, form: Form) -> None:
    for part in parts:
        plain = scopetext.plain_text(part) or ""
        name = (plain if plain.isascii() else _IGNORED_BY_HFS.sub("", plain)).casefold()
        # NTFS: the short name, dots and spaces at the end, streams after a colon.
        if name.partition(":")[0].rstrip(" .") in (".git", "git~1"):
            raise Usage(f"scope {text!r} is inside .git", hint="git's own files are not leased")
    if parts and scopetext.folded(parts[0], form.fold_case) in FOLDERS:
        raise Usage(f"scope {text!r} is inside coord's own {parts[0]}/", hint="lease the files you work on")
