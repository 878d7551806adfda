"""The plain part of YAML, which nearly every file of ours keeps to: read line by line, without libyaml.

Mappings in mappings by indentation, words, quoted text without escapes, lists of such in
brackets, comments. What is anything else, or wrong, is left to `yamlevents`; so there is
one answer to every text, and this is only the quick way to it.
"""

from coord.model.regex import regex
from coord.model.yamlnodes import Fields, Items, Node, Scalar

_BREAKS = ("\r", "\x85", "\u2028", "\u2029")  # lines end at these, too
_QUOTED = '"[^"\\\\\x00-\x1f\x7f-\x9f\ufeff]*"'
_WORD = r"[\w./@+*()'=>;!-]+"
_ITEM = rf"(?:{_QUOTED}|\w[\w./@+*-]*(?: +[\w./@+*-]+)*)"
_LIST = rf"\[ *(?:{_ITEM}(?: *, *{_ITEM})*)? *\]"
_PLAIN = rf"(?!\W){_WORD}(?:[:,?]+{_WORD}|,? +{_WORD})*"
_LINE = regex(rf"( *)([A-Za-z_][\w-]{{0,63}}):(?: +({_QUOTED}|{_LIST}|{_PLAIN}))?(?: +#.*)? *")
_NOTHING = regex(" *(?:#.*)?")
_ITEMS = regex(_ITEM)


def read(text: str, first_line: int, depth: int) -> Fields | None:
    """Read a mapping; None where TEXT is something else, or says more than is read here."""
    if any(mark in text for mark in _BREAKS):
        return None
    root: Fields | None = None
    stack: list[tuple[int, Fields]] = []
    waits = ""  # a key whose place is empty so far
    for line, written in enumerate(text.split("\n"), first_line):
        found = _LINE.fullmatch(written)
        if found is None:
            if _NOTHING.fullmatch(written):
                continue
            return None
        indent, key, value = len(found[1]), found[2], found[3]
        if root is None:
            root = Fields({}, {}, line)
            stack.append((indent, root))
        elif waits and indent > stack[-1][0]:
            inner = Fields({}, {}, line)
            stack[-1][1].items[waits] = inner
            stack.append((indent, inner))
        while stack and indent < stack[-1][0]:
            stack.pop()
        if not stack or indent != stack[-1][0] or len(stack) > depth or key in stack[-1][1].items:
            return None
        fields = stack[-1][1]
        fields.items[key] = _node(value, line)
        fields.key_lines[key] = line
        waits = "" if value else key
    return root


def _node(value: str | None, line: int) -> Node:
    if value is None:
        return Scalar("", line, False)
    if value[0] == "[":
        return Items(tuple(_scalar(item, line) for item in _ITEMS.findall(value)), line)
    return _scalar(value, line)


def _scalar(value: str, line: int) -> Scalar:
    return Scalar(value[1:-1], line, True) if value[0] == '"' else Scalar(value, line, False)
