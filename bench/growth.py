"""How what things cost grows with the history: a table in docs/performance.md, and docs/pictures/growth.svg."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import ground, plot, size, sized
from bench.ground import Scale
from coord.service.measuring.bench import machine
from coord.service.measuring.benchrows import p50

DOCS = ground.ROOT / "docs"
_PLACE = re.compile(r"(?<=<!-- growth -->\n).*?(?=<!-- /growth -->)", re.DOTALL)

Series = Mapping[str, Sequence[float]]


def draw(scale: Scale, docs: Path = DOCS) -> None:
    """Measure at 100, 1,000, 10,000 and 100,000 messages, and put table and picture into the folder DOCS."""
    sizes = sized.SIZES[:-1] if scale.quick else sized.SIZES
    each = size.measured(sizes, scale.seconds(60))
    series = {deed: [p50(times[deed]) for times in each] for deed in size.DEEDS}
    series["git clone"], series["coord init"] = _clones(sizes)
    made = f"{machine()}; medians in milliseconds:\n\n{table(sizes, series)}"
    print(made)
    page = docs / "performance.md"
    page.write_text(_PLACE.sub(lambda _old: made, page.read_text(encoding="utf-8")), encoding="utf-8")
    (docs / "pictures" / "growth.svg").write_text(plot.lines(sizes, series), encoding="utf-8")


def table(sizes: Sequence[int], series: Series) -> str:
    """Return a table of the medians in SERIES, and how often the last is the first."""
    lines = [
        f"| messages of history | {' | '.join(f'{one:,}' for one in sizes)} | last to first |",
        f"|{'---|' * (len(sizes) + 2)}",
    ]
    for name, values in series.items():
        shown = " | ".join(f"{value:,.2f}" if value < 100 else f"{value:,.0f}" for value in values)
        lines.append(f"| {name} | {shown} | {values[-1] / values[0]:.1f} |")
    return "".join(f"{line}\n" for line in lines)


def _clones(sizes: Sequence[int]) -> tuple[list[float], list[float]]:
    cloned, made = [], []
    for one in sizes:
        with ground.folder() as outer:
            source = size.bare(sized.kept(one), outer / "source.git")
            rounds = 3 if one < 100_000 else 1
            taken = [size.cloned_and_set_up(source, outer / f"clone-{number}") for number in range(rounds)]
        cloned.append(p50([clone for clone, _ in taken]))
        made.append(p50([init for _, init in taken]))
    return cloned, made
