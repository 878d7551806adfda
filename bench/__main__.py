"""`make bench`: run the benchmarks named (default: all) and print the table that bench/README.md keeps."""

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator

from bench import mail, rest
from bench.measure import Row

ALL: tuple[Callable[[], Iterator[Row]], ...] = (
    mail.one_sender,
    mail.thirteen_senders,
    mail.latency,
    rest.bulk,
    rest.by_hand,
    rest.leases,
    rest.cold_list,
)


def main(names: list[str]) -> int:
    """Run and print; 0 also when a mark is missed, since a figure is a finding, not a failure."""
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    print(
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {git}\n"
    )
    print("| what | measured | floor | ratio | mark | met |\n|---|---|---|---|---|---|")
    for benchmark in ALL:
        if names and benchmark.__name__ not in names:
            continue
        for row in benchmark():
            ratio = f"{row.ratio:.2f}" if row.ratio is not None else ""
            met = "" if row.met is None else "yes" if row.met else "**no**"
            print(f"| {row.name} | {row.measured} | {row.floor} | {ratio} | {row.mark} | {met} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
