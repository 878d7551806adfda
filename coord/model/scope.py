r"""Scopes: what a lease is about, and whether two of them meet.

A scope is `task:<id>`, `merge:<branch>`, or a path or glob below the repository's top.
`*` and `?` stay within a segment, so do `[a-z]` and `[!a-z]`; `**` as a whole segment
stands for any number of segments, none included; `\` quotes the next character.

A scope, glob or not, covers each path it matches and everything below it: `a/*` covers
`a/b` and `a/b/c`; `a/**` covers what `a` covers. So `**/*.js` and `**/*.py` do meet, in
`x.js/y.py`: no rule here knows which names are folders.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile

from coord.model.errors import Usage
from coord.model.keys import FOLDERS

LONGEST = 4096
MOST_BRACKETS = 64
EVERYTHING = "**"

_NAMED = re.compile(r"(?:task|merge):")
_NAME = re.compile(r"\w+:\S(?:.*\S)?")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_MAGIC = re.compile(r"[*?\[\\]")
_TOKEN = re.compile(
    r"\\(?P<quoted>.)|(?P<stars>\*+)|(?P<one>\?)"
    r"|\[(?P<negated>!?+)(?P<members>\](?:\\.|[^\]\\])*+|(?:\\.|[^\]\\])++)\]"
    r"|(?P<plain>.)",
    re.DOTALL,
)
_MEMBER = re.compile(r"\\?(.)(?:-\\?(.))?", re.DOTALL)
# What HFS+ ignores inside a name; source: next_hfs_char in git's utf8.c.
_IGNORED_BY_HFS = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")

_WITHIN = "[^/]*"
_ACROSS = ".*"
_SKIP = "(.*/)?"  # stands before _ACROSS and a slash, and may jump over both
_SLASH = (ord("/"), ord("/"))
_LAST_CHARACTER = 0x10FFFF
_LAST_CASED = 0x1FFFF

_Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Form:
    """How the repository's file system compares names (git's core.ignorecase, core.precomposeunicode)."""

    fold_case: bool = False
    compose: bool = False


def normalise(text: str, form: Form, *, within: str = "") -> str:
    """Return the canonical scope that TEXT means to somebody standing in the folder WITHIN.

    WITHIN is a plain path below the repository's top, never a glob. Letter case is kept;
    comparing folds it. The repository itself (`.`) is `**`.

    Raises:
        Usage: TEXT is empty, malformed, over 4096 bytes, outside the repository, or private to git or coord.
    """
    if _UNPRINTABLE.search(text):
        raise Usage(f"scope {text!r} holds a control character", hint="rename the path, or lease its folder")
    whole = _composed(f"{quote(within)}/{text}", form.compose)
    if len(whole.encode()) > LONGEST or whole.count("[") > MOST_BRACKETS:
        limit = f"{LONGEST} bytes and {MOST_BRACKETS} brackets"
        raise Usage(f"scope {text[:40]!r}... is too long: the limit is {limit}", hint="lease the folder of these paths")
    if _NAMED.match(text):
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
    r"""Return the scope of exactly this path and all below it: `app/[id]` becomes `app/\[id]`."""
    return _unnamed(_MAGIC.sub(r"\\\g<0>", path))


def same(a: str, b: str, form: Form) -> bool:
    """Tell whether two canonical scopes are one spelling under FORM, and so one lock file."""
    return a == b or _comparable(a, form.fold_case, form.compose) == _comparable(b, form.fold_case, form.compose)


def covers(scope: str, path: str, form: Form) -> bool:
    """Tell whether SCOPE covers the concrete PATH (as git prints it; nothing in it is magic)."""
    pattern = _pattern(scope, form.fold_case, form.compose)
    target = f"/{_comparable(path, form.fold_case, form.compose).strip('/')}/"
    if not target.startswith(pattern.head):
        return False
    return pattern.plain or _meet(pattern.atoms, _columns(tuple(target), below=False), len(pattern.head))


def contains(outer: str, inner: str, form: Form) -> bool:
    """Tell whether OUTER covers all that INNER covers.

    Exact unless both are globs; two globs are only compared by their spelling.
    """
    outside, inside = (_pattern(scope, form.fold_case, form.compose) for scope in (outer, inner))
    if outside.plain or not inside.head.startswith(outside.head):
        return inside.head.startswith(outside.head)
    if inside.plain:
        return _meet(outside.atoms, _columns(inside.atoms, below=False), len(outside.head))
    return same(outer, inner, form)


def overlap(a: str, b: str, form: Form) -> bool:
    """Tell whether some path could be covered by both canonical scopes.

    Exact, globs against globs included, in time bounded by the product of their lengths.
    """
    x = _pattern(a, form.fold_case, form.compose)
    y = _pattern(b, form.fold_case, form.compose)
    if x.head.startswith(y.head):
        if y.plain:
            return True
    elif y.head.startswith(x.head):
        if x.plain:
            return True
    else:
        return False
    if len(x.atoms) > len(y.atoms):
        x, y, b = y, x, a
    return _meet(x.atoms, _scope_columns(b, form.fold_case, form.compose), min(len(x.head), len(y.head)))


# ---- normalising ----


def _unnamed(path: str) -> str:
    return f"\\{path}" if _NAMED.match(path) else path


def _segment(written: str, text: str, form: Form) -> str:
    """Return one segment without needless quotes and doubled stars, in the file system's Unicode form."""
    if written == "**":
        return written
    parts: list[str] = []
    for token in _TOKEN.finditer(written):
        match token.lastgroup:
            case "quoted":
                parts.append(_MAGIC.sub(r"\\\g<0>", token["quoted"]))
            case "stars":
                parts.append("*")
            case "plain" if token["plain"] in "[\\":
                hint = f"write \\{token['plain']} where the character itself is meant"
                raise Usage(f"scope {text!r}: {token['plain']} in {written!r} has no end", hint=hint)
            case "members" if any(low > high for low, high in _ranges(token["members"])):
                raise Usage(f"scope {text!r}: {token[0]} runs backwards", hint="write the lower end first: [a-z]")
            case _:
                parts.append(token[0])
    return _composed("".join(parts), form.compose)


def _climb(parts: list[str], text: str) -> None:
    if not parts:
        raise Usage(f"scope {text!r} is outside the repository", hint="only paths inside the repository can be leased")
    if _plain_text(parts[-1]) is None:
        raise Usage(f"scope {text!r} climbs out of a glob with `..`", hint="write the path without `..`")
    parts.pop()


def _refuse_private(parts: list[str], text: str, form: Form) -> None:
    for part in parts:
        name = _IGNORED_BY_HFS.sub("", _plain_text(part) or "").casefold()
        # NTFS: the short name, dots and spaces at the end, streams after a colon.
        if name.partition(":")[0].rstrip(" .") in (".git", "git~1"):
            raise Usage(f"scope {text!r} is inside .git", hint="git's own files are not leased")
    if parts and _folded(parts[0], form.fold_case) in FOLDERS:
        raise Usage(f"scope {text!r} is inside coord's own {parts[0]}/", hint="lease the files you work on")


def _plain_text(part: str) -> str | None:
    """Return what a segment spells, or None for a glob."""
    tokens = list(_TOKEN.finditer(part))
    if any(token.lastgroup not in ("quoted", "plain") for token in tokens):
        return None
    return "".join(token["quoted"] or token["plain"] for token in tokens)


# ---- comparing characters ----


def _composed(text: str, compose: bool) -> str:
    return unicodedata.normalize("NFC", text) if compose and not text.isascii() else text


def _folded(text: str, fold: bool) -> str:
    """Fold letter case and keep the length: a character that folds to several is lowered, or stays."""
    if not fold:
        return text
    folded = text.casefold()
    return folded if len(folded) == len(text) else "".join(map(_fold_one, text))


def _fold_one(character: str) -> str:
    return next((c for c in (character.casefold(), character.lower()) if len(c) == 1), character)


def _comparable(text: str, fold: bool, compose: bool) -> str:
    return _folded(_composed(text, compose), fold)


@lru_cache(maxsize=2)
def _cased(last: int) -> tuple[_Range, ...]:
    """Return the characters up to LAST that fold to another one, each with that one."""
    folds = ((code, ord(_fold_one(chr(code)))) for code in range(last + 1))
    return tuple(pair for pair in folds if pair[0] != pair[1])


# ---- patterns as automata over a path's characters, with a slash before and after every segment ----


@dataclass(frozen=True, slots=True, eq=False)
class _Class:
    """A set of characters as disjoint ranges in order."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def touches(self, low: int, high: int) -> bool:
        at = bisect_right(self.starts, high)
        return at > 0 and self.ends[at - 1] >= low


_Atom = str | _Class  # a character, a class, or one of the three names above


@dataclass(frozen=True, slots=True, eq=False)
class _Pattern:
    head: str  # how every covered path begins
    atoms: tuple[_Atom, ...]
    plain: bool  # the head is all there is


@lru_cache(maxsize=4096)
def _pattern(scope: str, fold: bool, compose: bool) -> _Pattern:
    """Read a scope; what is malformed in one written by hand stands for itself."""
    scope = _composed(scope, compose)
    if _NAMED.match(scope):
        # Neither a path's beginning nor below another name: no slash first, an end that no name holds.
        named = f"{_folded(scope, fold)}\0"
        return _Pattern(named, tuple(named), plain=True)
    parts = [part for part in scope.split("/") if part]
    while parts and parts[-1] == "**":
        parts.pop()
    atoms: list[_Atom] = ["/"]
    for part in parts:
        atoms += [_SKIP, _ACROSS, "/"] if part == "**" else [*_atoms(part, fold), "/"]
    head = "".join(map(str, takewhile(lambda atom: isinstance(atom, str) and len(atom) == 1, atoms)))
    return _Pattern(head, tuple(atoms), plain=len(head) == len(atoms))


def _atoms(part: str, fold: bool) -> Iterator[_Atom]:
    for token in _TOKEN.finditer(part):
        match token.lastgroup:
            case "stars":
                yield _WITHIN
            case "one":
                yield _class("", True, fold)
            case "members" if all(low <= high for low, high in _ranges(token["members"])):
                yield _class(token["members"], bool(token["negated"]), fold)
            case _:
                yield from _folded(token["quoted"] or token[0], fold)


@lru_cache(maxsize=1024)
def _class(members: str, negated: bool, fold: bool) -> _Class:
    ranges = _ranges(members)
    if fold:
        table = _cased(127 if all(high < 128 for _, high in ranges) else _LAST_CASED)
        cased = [pair for pair in table if any(low <= pair[0] <= high for low, high in ranges)]
        kept = _gaps([*_gaps(ranges), *((code, code) for code, _ in cased)])
        ranges = [*kept, *((folded, folded) for _, folded in cased)]
    ranges = _gaps([*(ranges if negated else _gaps(ranges)), _SLASH])
    return _Class(tuple(low for low, _ in ranges), tuple(high for _, high in ranges))


def _ranges(members: str) -> list[_Range]:
    return [(ord(low), ord(high or low)) for low, high in _MEMBER.findall(members)]


def _gaps(ranges: Iterable[_Range]) -> list[_Range]:
    """Return the characters in none of RANGES."""
    gaps: list[_Range] = []
    begin = 0
    for low, high in sorted(ranges):
        if begin < low:
            gaps.append((begin, low - 1))
        begin = max(begin, high + 1)
    return [*gaps, (begin, _LAST_CHARACTER)] if begin <= _LAST_CHARACTER else gaps


# ---- two automata at once: for each place in the one, the places the other can be in, as bits ----


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    """One pattern's places as bit masks.

    Jumping over a `**` is left out: on it a pattern takes all the other still has to read.
    """

    every: int
    literals: dict[str, int]
    classes: dict[_Class, int]
    skips: int  # step to the next place, freely
    loops: int  # may step to the next place, freely
    inside: int  # stay on any character but a slash
    across: int  # stay on any character
    steps: int  # step to the next place without a slash

    def matching(self, atom: _Atom) -> int:
        """Return the places that consume some character which ATOM consumes too."""
        if isinstance(atom, str):
            ends = [(ord(atom), ord(atom))]
            mask = self.literals.get(atom, 0)
        else:
            ends = list(zip(atom.starts, atom.ends, strict=True))
            mask = sum(places for c, places in self.literals.items() if atom.touches(ord(c), ord(c)))
        for other, places in self.classes.items():
            if any(other.touches(low, high) for low, high in ends):
                mask |= places
        return mask


@lru_cache(maxsize=4096)
def _scope_columns(scope: str, fold: bool, compose: bool) -> _Columns:
    return _columns(_pattern(scope, fold, compose).atoms, below=True)


def _columns(atoms: tuple[_Atom, ...], *, below: bool) -> _Columns:
    """Lay out a pattern; with BELOW its last place stays on all that follows."""
    places: dict[_Atom, int] = dict.fromkeys((_SKIP, _WITHIN, _ACROSS), 0)
    for i, atom in enumerate(atoms):
        places[atom] = places.get(atom, 0) | 1 << i
    skips, within, across = (places.pop(mark) for mark in (_SKIP, _WITHIN, _ACROSS))
    last = 1 << len(atoms)
    stays = across | last if below else across
    return _Columns(
        every=2 * last - 1,
        literals={atom: mask for atom, mask in places.items() if isinstance(atom, str)},
        classes={atom: mask for atom, mask in places.items() if isinstance(atom, _Class)},
        skips=skips,
        loops=within | across,
        inside=within | stays,
        across=stays,
        steps=(last - 1) & ~places["/"],
    )


def _meet(atoms: tuple[_Atom, ...], other: _Columns, start: int) -> bool:
    """Tell whether ATOMS can be read to their end beside OTHER; the first START characters of both are equal.

    An empty segment in what both accept does no harm: only `*` or `**` accept one, and
    they accept a longer one as well.
    """
    rows = [0] * (len(atoms) + 1)
    rows[start] = 1 << start
    masks: dict[_Atom, int] = {}
    for i in range(start, len(atoms)):
        row = rows[i]
        if not row:
            continue
        row |= (row & other.skips) << 1
        row |= (row & other.loops) << 1
        atom = atoms[i]
        if atom is _WITHIN:
            # The sum carries each place upward through its run of steps.
            rows[i + 1] |= row | (other.steps ^ (other.steps + (row & other.steps)))
        elif atom is _ACROSS:
            rows[i + 1] |= other.every & -(row & -row)
        elif atom is _SKIP:
            rows[i + 1] |= row
            rows[i + 3] |= row
        else:
            mask = masks.get(atom)
            if mask is None:
                mask = masks[atom] = other.matching(atom)
            rows[i + 1] |= (row & mask) << 1 | row & (other.across if atom == "/" else other.inside)
    return rows[-1] != 0
