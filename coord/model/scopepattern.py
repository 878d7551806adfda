"""Scopes as automata over a path's characters, with a slash before and after every segment."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise, takewhile
from typing import NamedTuple

from coord.model import scopetext
from coord.model.scopetext import Range
from coord.model.values import frozen

_WITHIN = "[^/]*"
_ACROSS = ".*"
_SKIP = "(.*/)?"  # stands before _ACROSS and a slash, and may jump over both
_SLASH = (ord("/"), ord("/"))
_LAST_CHARACTER = 0x10FFFF
_LAST_CASED = 0x1FFFF


@frozen(eq=False)
class Class:
    """A set of characters as disjoint ranges in order."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def touches(self, low: int, high: int) -> bool:
        """Tell whether some character from LOW to HIGH is in the set."""
        at = bisect_right(self.starts, high)
        return at > 0 and self.ends[at - 1] >= low


Atom = str | Class  # a character, a class, or one of the three names above


@frozen(eq=False)
class Pattern:
    """The paths that a scope names, and whether it covers `itself` (these paths), what lies `below` them, or both.

    `a/*` covers itself, `a/**` what lies below `a`, a plain path both; `path` is what a plain path spells.
    """

    head: str  # how every named path begins
    atoms: tuple[Atom, ...]
    itself: bool = True
    below: bool = False
    path: str = ""

    @property
    def single(self) -> bool:
        """Whether it names one path: the head is all there is."""
        return len(self.head) == len(self.atoms)


class Relation(NamedTuple):
    """Which places two patterns can name: one for both, or one of either strictly below one of the other."""

    equal: bool
    first_below: bool
    second_below: bool


APART = Relation(False, False, False)


@lru_cache(maxsize=4096)
def read(scope: str, fold: bool, compose: bool) -> Pattern:
    """Read a scope; what is malformed in one written by hand stands for itself."""
    scope = scopetext.composed(scope, compose)
    if scopetext.NAMED.match(scope):
        # Neither a path's beginning nor below another name: no slash first, an end that no name holds.
        named = f"{scopetext.folded(scope, fold)}\0"
        return Pattern(named, tuple(named))
    every = [part for part in scope.split("/") if part]
    parts = [part for part, following in pairwise([*every, ""]) if (part, following) != ("**", "**")]
    deep = parts[-1:] == ["**"]
    atoms: list[Atom] = ["/"]
    for part in parts[:-1] if deep else parts:
        atoms += [_SKIP, _ACROSS, "/"] if part == "**" else [*_atoms(part, fold), "/"]
    head = "".join(map(str, takewhile(lambda atom: isinstance(atom, str) and len(atom) == 1, atoms)))
    if deep:
        return Pattern(head, tuple(atoms), itself=False, below=True)
    if len(head) < len(atoms):
        return Pattern(head, tuple(atoms))
    return Pattern(head, tuple(atoms), below=True, path=scopetext.unquoted("/".join(parts)))


def one(path: str, fold: bool, compose: bool) -> Pattern:
    """Return the pattern of exactly one concrete path, in which nothing is magic."""
    head = f"/{scopetext.comparable(path, fold, compose).strip('/')}/"
    return Pattern(head, tuple(head))


def _atoms(part: str, fold: bool) -> Iterator[Atom]:
    for token in scopetext.TOKEN.finditer(part):
        match token.lastgroup:
            case "stars":
                yield _WITHIN
            case "one":
                yield _class("", True, fold)
            case "members" if all(low <= high for low, high in scopetext.ranges(token["members"])):
                yield _class(token["members"], bool(token["negated"]), fold)
            case _:
                yield from scopetext.folded(token["quoted"] or token[0], fold)


@lru_cache(maxsize=2)
def _cased(last: int) -> tuple[Range, ...]:
    """Return the characters up to LAST that fold to another one, each with that one."""
    folds = ((code, ord(scopetext.fold_one(chr(code)))) for code in range(last + 1))
    return tuple(pair for pair in folds if pair[0] != pair[1])


@lru_cache(maxsize=1024)
def _class(members: str, negated: bool, fold: bool) -> Class:
    ranges = scopetext.ranges(members)
    if fold:
        table = _cased(127 if all(high < 128 for _, high in ranges) else _LAST_CASED)
        cased = [pair for pair in table if any(low <= pair[0] <= high for low, high in ranges)]
        kept = _gaps([*_gaps(ranges), *((code, code) for code, _ in cased)])
        ranges = [*kept, *((folded, folded) for _, folded in cased)]
    ranges = _gaps([*(ranges if negated else _gaps(ranges)), _SLASH])
    return Class(tuple(low for low, _ in ranges), tuple(high for _, high in ranges))


def _gaps(ranges: Iterable[Range]) -> list[Range]:
    """Return the characters in none of RANGES."""
    gaps: list[Range] = []
    begin = 0
    for low, high in sorted(ranges):
        if begin < low:
            gaps.append((begin, low - 1))
        begin = max(begin, high + 1)
    return [*gaps, (begin, _LAST_CHARACTER)] if begin <= _LAST_CHARACTER else gaps


# ---- two automata at once: for each place in the one, the places the other can be in, as bits ----


def relate(first: Pattern, second: Pattern) -> Relation:
    """Tell how the paths that two patterns name can lie to each other.

    Exact, in time bounded by the product of their lengths.
    """
    if second.single and first.head.startswith(second.head):
        equal = first.single and len(first.head) == len(second.head)
        return Relation(equal, not equal, False)
    if first.single and second.head.startswith(first.head):
        return Relation(False, False, True)
    if not first.head.startswith(second.head) and not second.head.startswith(first.head):
        return APART
    if second.single or (not first.single and len(first.atoms) > len(second.atoms)):
        equal, second_below, first_below = _walk(second, first)
        return Relation(equal, first_below, second_below)
    return _walk(first, second)


@frozen(eq=False)
class _Columns:
    """One pattern's places as bit masks; the last two are its end, and all that lies below it."""

    every: int
    end: int
    literals: dict[str, int]
    classes: dict[Class, int]
    skips: int  # step to the next place or jump over the `**`, freely
    loops: int  # may step to the next place, freely
    inside: int  # stay on any character but a slash
    across: int  # stay on any character
    steps: int  # step to the next place without a slash

    def matching(self, atom: Atom) -> int:
        """Return the places that consume some character which ATOM consumes too."""
        mask = self.end
        if isinstance(atom, str):
            ends = [(ord(atom), ord(atom))]
            mask |= self.literals.get(atom, 0)
        else:
            ends = list(zip(atom.starts, atom.ends, strict=True))
            mask |= sum(places for c, places in self.literals.items() if atom.touches(ord(c), ord(c)))
        for other, places in self.classes.items():
            if any(other.touches(low, high) for low, high in ends):
                mask |= places
        return mask


@lru_cache(maxsize=4096)
def _columns(pattern: Pattern) -> _Columns:
    places: dict[Atom, int] = dict.fromkeys((_SKIP, _WITHIN, _ACROSS), 0)
    for i, atom in enumerate(pattern.atoms):
        places[atom] = places.get(atom, 0) | 1 << i
    skips, within, across = (places.pop(mark) for mark in (_SKIP, _WITHIN, _ACROSS))
    end = 1 << len(pattern.atoms)
    below = end << 1
    return _Columns(
        every=2 * below - 1,
        end=end,
        literals={atom: mask for atom, mask in places.items() if isinstance(atom, str)},
        classes={atom: mask for atom, mask in places.items() if isinstance(atom, Class)},
        skips=skips,
        loops=within | across,
        inside=within | across | below,
        across=across | below,
        steps=(2 * end - 1) & ~places["/"],
    )


def _walk(first: Pattern, second: Pattern) -> Relation:
    """Read FIRST to its end beside SECOND, whose end is then reached, passed, or still to come.

    An empty segment in what both accept does no harm: only `*` or `**` accept one, and
    they accept a longer one as well.
    """
    atoms, other = first.atoms, _columns(second)
    start = min(len(first.head), len(second.head))
    rows = [0] * (len(atoms) + 1)
    rows[start] = 1 << start
    masks: dict[Atom, int] = {}
    for i in range(start, len(atoms)):
        row = rows[i]
        if not row:
            continue
        row |= (row & other.skips) << 1 | (row & other.skips) << 3
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
    row = rows[-1]
    return Relation(bool(row & other.end), row > 2 * other.end - 1, bool(row & (other.end - 1)))
