"""Front matter as hands and models write it: a line that YAML cannot read is taken as the text it shows.

`to: @reviewers`, `subject: Re: the API`, `subject: [urgent] look` and `subject: "This" is odd`
are no YAML, and everybody knows what they mean.
"""

import json
import re

from coord.model import yamltext
from coord.model.errors import BadRecord
from coord.model.yamltext import Node

_LIMIT = 16_384  # longer front matter is no hand's
_ROUNDS = 32
_KEY = re.compile(r"[ \t]*(?:[^\s:#'\"\[{-][^:]{0,127}:|-)[ \t]+(?=\S)")
_COMMENT = re.compile(r"[ \t]#[ \t]")


def read(text: str, *, first_line: int = 1) -> Node | None:
    """Read front matter as `yamltext.read` does, mending the lines at fault that are no YAML by themselves.

    Raises:
        BadRecord: it cannot be read so either, or is refused for another reason than grammar.
    """
    lines = text.split("\n")
    for _ in range(_ROUNDS):
        try:
            return yamltext.read("\n".join(lines), first_line=first_line)
        except BadRecord as fault:
            if len(text) > _LIMIT or not _mend(lines, fault, first_line):
                raise
    return yamltext.read("\n".join(lines), first_line=first_line)


def _mend(lines: list[str], fault: BadRecord, first_line: int) -> bool:
    """Quote the value on the line where the fault began, or else was seen; False where there is nothing to quote."""
    if "began" not in fault.facts:
        return False
    for number in (fault.facts["began"], fault.facts["line"]):
        position = number - first_line if isinstance(number, int) else -1
        line = lines[position] if 0 <= position < len(lines) else ""
        found = _KEY.match(line)
        if found and not _readable(line.strip()):
            comment = _COMMENT.search(line, found.end())
            value = line[found.end() : comment.start() if comment else None].rstrip()
            lines[position] = found.group() + json.dumps(value, ensure_ascii=False)
            return True
    return False


def _readable(line: str) -> bool:
    try:
        yamltext.read(line)
    except BadRecord:
        return False
    return True
