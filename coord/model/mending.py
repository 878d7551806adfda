"""Front matter as hands and models write it: a line that YAML cannot read is taken as the text it shows.

`to: @reviewers`, `subject: Re: the API`, `subject: [urgent] look` and `subject: "This" is odd`
are no YAML, and everybody knows what they mean.
"""

import json
import re

from coord.model import yamltext
from coord.model.errors import BadRecord
from coord.model.regex import regex
from coord.model.yamlnodes import Node

_LIMIT = 16_384  # longer front matter is no hand's
_ROUNDS = 32
_KEY = regex(r"[ \t]*(?:[^\s:#'\"\[{-][^:]{0,127}:|-)[ \t]+(?=\S)")
_COMMENT = regex(r"[ \t]#[ \t]")
_HASH = regex(r"[ \t]#[^ \t\r]")


def read(text: str, *, first_line: int = 1) -> Node | None:
    """Read front matter as `yamltext.read` does, mending the lines at fault that are no YAML by themselves.

    Raises:
        BadRecord: it cannot be read so either, or is refused for another reason than grammar.
    """
    lines = [_with_hashes(line) for line in text.split("\n")]
    for _ in range(_ROUNDS):
        try:
            return yamltext.read("\n".join(lines), first_line=first_line)
        except BadRecord as fault:
            if len(text) > _LIMIT or not _mend(lines, fault, first_line):
                raise
    return yamltext.read("\n".join(lines), first_line=first_line)


def _with_hashes(line: str) -> str:
    """Keep `Fix #12` whole: to YAML a comment starts there, to the hand that wrote it a comment starts with `# `."""
    if not _HASH.search(line) or line[0] in " \t" or not (found := _KEY.match(line)):
        return line
    marked = line[found.end()] in "\"'[{|>&*!" or line.startswith("# ", found.end())
    return line if marked else _quoted(line, found)


def _quoted(line: str, found: re.Match[str]) -> str:
    comment = _COMMENT.search(line, found.end())
    value = line[found.end() : comment.start() if comment else None].rstrip()
    return found.group() + json.dumps(value, ensure_ascii=False)


def _mend(lines: list[str], fault: BadRecord, first_line: int) -> bool:
    """Quote the value on the line where the fault began, or else was seen; False where there is nothing to quote."""
    if "began" not in fault.facts:
        return False
    for number in (fault.facts["began"], fault.facts["line"]):
        position = number - first_line if isinstance(number, int) else -1
        line = lines[position] if 0 <= position < len(lines) else ""
        found = _KEY.match(line)
        if found and not _readable(line.strip()):
            lines[position] = _quoted(line, found)
            return True
    return False


def _readable(line: str) -> bool:
    try:
        yamltext.read(line)
    except BadRecord:
        return False
    return True
