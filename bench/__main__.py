"""`make bench`: run the benchmarks named (default: all) and print the table that bench/README.md keeps.

`--quick` does a tenth of each, to see that everything runs; `growth` draws docs/pictures/growth.svg.
"""

import compileall
import sys
import time
from collections.abc import Callable, Iterator

import coord
from bench import agents, ahead, growth, hands, hooks, leases, ledger, mail, merging, size, upkeep
from bench.ground import Scale
from coord.faces.pages.bench import COLUMNS, cells
from coord.service.measuring.bench import machine
from coord.service.measuring.benchrows import Row

ALL: tuple[Callable[[Scale], Iterator[Row]], ...] = (
    mail.one_sender,
    mail.thirteen_senders,
    mail.latency,
    mail.without_daemon,
    ledger.bulk,
    size.at_size,
    upkeep.maintenance,
    hands.by_hand,
    hands.burst,
    leases.lease,
    leases.contended,
    mail.cold_list,
    hooks.hook,
    merging.clean,
    merging.batch,
    merging.crowd,
    agents.agents,
    ahead.ahead,
    upkeep.idle,
    size.init_clone,
)


def main(words: list[str]) -> int:
    """Run and print; 0 also when a mark is missed, since a figure is a finding, not a failure."""
    scale, names = Scale("--quick" in words), [word for word in words if word != "--quick"]
    if names == ["growth"]:
        growth.draw(scale)
        return 0
    known = {benchmark.__name__: benchmark for benchmark in ALL}
    if unknown := [name for name in names if name not in known]:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)} and growth", file=sys.stderr)
        return 2
    compileall.compile_dir(next(iter(coord.__path__)), quiet=2)  # as an installation leaves it
    began = time.monotonic()
    print(f"{machine()}\n\n| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for name in names or known:
        for row in known[name](scale):
            shown = ["**no**" if cell == "no" else cell for cell in cells(row)]
            print(f"| {' | '.join(shown)} |", flush=True)
    print(f"\n{time.monotonic() - began:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
