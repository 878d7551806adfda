"""What `coord ledger verify` found."""

from functools import singledispatch

from coord.faces.page import Block, Line
from coord.service import verify


@singledispatch
def blocks(result: object) -> list[Block]:
    """Return what a person reads of a result."""
    raise TypeError(f"no page for {type(result).__name__}")


@blocks.register
def _verified(result: verify.Verified) -> list[Block]:
    noted = f"; {result.committed} changes made by hand were recorded" if result.committed else ""
    return [Line(f"files, ledger and index agree: {result.records} records at {result.commit[:10]}{noted}", "green")]
