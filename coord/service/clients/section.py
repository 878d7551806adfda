"""A section of coord's own, between marks, at the end of a Markdown file that agents read."""

import re

from coord.model.regex import regex
from coord.model.values import frozen
from coord.service.clients import lineblock
from coord.service.clients.jsonread import Broken

_BEGIN, _END = "<!-- coord: begin -->", "<!-- coord: end -->"
_OURS = regex(rf"^\ufeff?{_BEGIN}\r?\n.*?^{_END}(?:\r?\n|\Z)", re.MULTILINE | re.DOTALL)


@frozen(kw_only=True)
class Section:
    """Lines in a Markdown file; not needed where UNLESS is found in the rest of it."""

    path: str
    lines: str
    unless: str = ""

    def installed(self, text: str) -> str:
        """Return TEXT with the section as it is now, and nothing else changed.

        Raises:
            Broken: one of its marks stands alone.
        """
        found = _found(text)
        if found is not None:
            made = f"{_BEGIN}\n{self.lines}{_END}\n".replace("\n", lineblock.line_break_of(found[0]))
            end = "" if found[0].endswith("\n") else lineblock.line_break_of(found[0])
            mark = "\ufeff" if found[0].startswith("\ufeff") else ""
            return text[: found.start()] + mark + made.removesuffix(end) + text[found.end() :]
        if self.unless and re.search(self.unless, text, re.MULTILINE):
            return text
        return lineblock.added(text, f"{_BEGIN}\n{self.lines}{_END}\n")

    def removed(self, text: str) -> str:
        """Return TEXT without the section."""
        found = _found(text)
        return text if found is None else lineblock.without(text, found.start(), found.end())


def _found(text: str) -> re.Match[str] | None:
    found = _OURS.search(text)
    for mark in (_BEGIN, _END):
        if text.count(mark) != (found is not None):
            line = text.count("\n", 0, text.find(mark)) + 1
            raise Broken(f"the marks {_BEGIN} and {_END} do not stand once each, in this order", line)
    return found
