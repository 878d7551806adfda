"""Fit sections of text into a number of tokens, the most useful first.

No tokeniser is at hand for every model, so the estimate counts pieces as byte-pair
tokenisers make them, and errs towards too many: a run of small letters is a token for
every five, capitals one for every two, digits likewise, every sign and line break one,
and anything beyond ASCII one for every two bytes. A rule of so many characters a token
would take ids and hashes, of which coord's text is full, for half of what they are.
"""

import re
from collections.abc import Sequence

from coord.model.regex import regex
from coord.model.values import frozen

LEAST = 120
_PIECE = regex(r"(\n)|([A-Z]?[a-z]+)|([A-Z]+|[0-9]+)|([^\x00-\x7f]+)|([ \t]{2,})|[^ ]")
_WORD = regex(r"\s*(?:[!-~]{1,20}|\S)")
_CUT = "…"
_LONG_LINE = 40


@frozen
class Section:
    """A part of a text under a title; `more` is the command that shows the whole of it."""

    title: str
    text: str
    more: str = ""
    cut: bool = False


def estimate(text: str) -> int:
    """Return how many tokens TEXT is, rather too many than too few.

    Lines add up: a text costs what its lines cost and one for each line break.
    """
    return sum(map(_cost, _PIECE.finditer(text)))


def _cost(piece: re.Match[str]) -> int:
    length = piece.end() - piece.start()
    match piece.lastindex:
        case 2:
            return -(-length // 5)
        case 3:
            return -(-length // 2)
        case 4:
            return -(-len(piece[0].encode("utf-8", "surrogatepass")) // 2)
        case 5:
            return -(-length // 4)
        case _:
            return 1


def assemble(sections: Sequence[Section]) -> str:
    """Return the sections as one text, each under its title; a cut one says how to see its rest."""
    return "\n".join(_written(section) for section in sections)


def _written(section: Section) -> str:
    parts = (f"## {section.title}", section.text, _mark(section) if section.cut else "")
    return "".join(f"{part}\n" for part in parts if part)


def _mark(section: Section) -> str:
    return f"… the rest: {section.more}" if section.more else "… the rest is left out"


def fit(sections: Sequence[Section], budget: int) -> tuple[Section, ...]:
    """Cut sections so that what `assemble` makes of them is at most BUDGET tokens (taken as LEAST at the least).

    The title of each survives, as long as all titles fit at all; the first one's always
    does, on one line cut to fit. Shares fall evenly from the first section to the last
    (3 : 2 : 1 for three); what some leave over is given out again in order, so that the first
    may have it all. Cuts are made at line ends, or inside a long line.
    """
    budget = max(budget, LEAST)
    first, *others = sections
    kept = [_stub(_shortened(first, budget // 2))]
    left = budget - estimate(assemble(kept))
    for section in others:
        stub = _stub(section)
        cost = 1 + estimate(_written(stub))
        if cost > left:
            break
        kept.append(stub)
        left -= cost
    for sharing in (True, False):
        for number, section in enumerate(kept):
            share = left * 2 // (len(kept) - number + 1) if sharing else left
            grown = _head(sections[number], section, estimate(_written(section)) + share)
            left -= estimate(_written(grown)) - estimate(_written(section))
            kept[number] = grown
    return tuple(kept)


def _shortened(section: Section, limit: int) -> Section:
    return Section(cut_line(section.title, limit // 2), section.text, cut_line(section.more, limit // 2))


def _stub(section: Section) -> Section:
    return Section(section.title, "", section.more, cut=bool(section.text))


def _head(whole: Section, stub: Section, limit: int) -> Section:
    """Return as much of WHOLE, under the stub's title, as costs at most LIMIT, and no less than the stub has."""
    full = Section(stub.title, whole.text, stub.more)
    if estimate(_written(full)) <= limit:
        return full
    left = limit - estimate(_written(Section(stub.title, "", stub.more, cut=True)))
    lines: list[str] = []
    for line in whole.text.split("\n"):
        left -= 1 + estimate(line)
        if left < 0:
            if estimate(line) > _LONG_LINE and (part := cut_line(line, left + estimate(line))):
                lines.append(part)
            break
        lines.append(line)
    return Section(stub.title, "\n".join(lines).rstrip("\n"), stub.more, cut=True)


def cut_line(line: str, limit: int) -> str:
    """Return the whole line if it costs at most LIMIT, else the words of it that do."""
    if estimate(line) <= limit:
        return line
    fitting, left = 0, limit - estimate(_CUT)
    for word in _WORD.finditer(line):
        left -= estimate(word[0])
        if left < 0:
            break
        fitting = word.end()
    return line[:fitting] + _CUT if fitting else ""
