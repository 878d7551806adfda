"""What `coord ledger verify` found."""

from functools import singledispatch

from coord.faces.page import Block, Line
from coord.faces.pages.words import unknown
from coord.service import verify

blocks = singledispatch(unknown)


@blocks.register
def _verified(result: verify.Verified) -> list[Block]:
    noted = f"; {result.committed} changes made by hand were recorded" if result.committed else ""
    agree = f"files, ledger and index agree: {result.records} records at {result.commit[:10]}{noted}"
    made: list[Block] = [Line(agree, "green")]
    for stray in result.strays:
        made += [Line(f"! {stray.key}: {stray.what}", "yellow"), Line(f"    next: {stray.next}", "dim")]
    return made
