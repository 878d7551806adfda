"""What `coord init` did."""

from functools import singledispatch

from coord.faces.page import Block, Line
from coord.faces.pages.words import unknown
from coord.service import setup

blocks = singledispatch(unknown)


@blocks.register
def _initialised(result: setup.Initialised) -> list[Block]:
    made: list[Block] = [Line(f"coord is set up in {result.home}", "green")]
    made.append(Line(f"  agents: {', '.join(result.agents) or 'none yet; name them in .coord.yaml'}"))
    if result.made:
        made.append(Line(f"  made: {', '.join(result.made)}"))
    if result.restored:
        made.append(Line(f"  brought back from the ledger: {result.restored} records"))
    made += [Line(f"  {note}", "yellow") for note in result.notes]
    step = "coord watch --detach, then coord status" if result.agents else "name the agents, then coord init again"
    return [*made, Line(f"  next: {step}", "dim")]
