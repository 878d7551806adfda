"""What `coord doctor` found: a line for each fault, why it matters, and what comes next."""

from functools import singledispatch

from coord.faces.page import Block, Line, Own, Style
from coord.faces.pages.words import unknown
from coord.model.untrusted import clean_line
from coord.service.doctor import command

_MARKS: dict[str, tuple[str, Style]] = {
    "found": ("✗", "red"),
    "by hand": ("✗", "red"),
    "failed": ("✗", "red"),
    "mended": ("✓", "green"),
    "warning": ("!", "yellow"),
}
_NEXT = {"found": "--fix", "by hand": "by you", "failed": "failed", "mended": "done", "warning": "note"}
blocks = singledispatch(unknown)


@blocks.register
def _report(result: command.Report) -> list[Block]:
    made: list[Block] = []
    if result.rebuilt is not None:
        made.append(Line(f"made anew from the ledger: the index, and the files of {result.rebuilt} records", "green"))
    for found in result.findings:
        mark, style = _MARKS[found.state]
        made.append(Line(f"{mark} {found.where}: {found.what}", style))
        why = f"    why: {clean_line(found.why)}\n" if found.state != "mended" else ""
        made.append(Own(f"{why}    {_NEXT[found.state]}: {clean_line(found.next)}"))
    if result.kept:
        made += [Line("put aside:"), Own("\n".join(f"    {clean_line(name)}" for name in result.kept))]
    return [*made, _summary(result)]


def _summary(result: command.Report) -> Line:
    count = {state: sum(found.state == state for found in result.findings) for state in _MARKS}
    words = [f"{count['mended']} mended"] if count["mended"] else []
    words += [f"{count['found']} that `coord doctor --fix` mends"] if count["found"] else []
    words += [f"{count['failed']} that could not be mended"] if count["failed"] else []
    words += [f"{count['by hand']} for you to mend"] if count["by hand"] else []
    if not words:
        return Line(f"all is well in {result.home}", "green")
    return Line(f"{result.home}: {', '.join(words)}", "green" if result.healthy else "bold")
