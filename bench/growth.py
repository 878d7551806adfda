"""How what things cost grows with the history: a table, and docs/pictures/growth.svg."""

from pathlib import Path

from bench import ground, plot, size, sized
from bench.ground import Scale
from coord.service.benchrows import p50

PICTURE = ground.ROOT / "docs" / "pictures" / "growth.svg"


def draw(scale: Scale, picture: Path = PICTURE) -> None:
    """Measure at 100, 1,000, 10,000 and 100,000 messages, print the table and draw the picture."""
    sizes = sized.SIZES[:-1] if scale.quick else sized.SIZES
    series = {
        deed: [p50(times[deed]) for times in each]
        for each in (size.measured(sizes, scale.seconds(40)),)
        for deed in size.DEEDS
    }
    series["git clone"], series["coord init"] = _clones(sizes)
    print(f"| messages of history | {' | '.join(f'{one:,}' for one in sizes)} | grows |\n|{'---|' * (len(sizes) + 2)}")
    for name, values in series.items():
        shown = " | ".join(f"{value:,.2f}" if value < 100 else f"{value:,.0f}" for value in values)
        print(f"| {name}, ms | {shown} | {values[-1] / values[0]:.1f} x |")
    picture.write_text(plot.lines(sizes, series), encoding="utf-8")


def _clones(sizes: tuple[int, ...]) -> tuple[list[float], list[float]]:
    cloned, made = [], []
    for one in sizes:
        with ground.folder() as outer:
            source = size.bare(sized.kept(one), outer / "source.git")
            taken = [size.cloned_and_set_up(source, outer / f"clone-{number}") for number in range(3)]
        cloned.append(p50([clone for clone, _ in taken]))
        made.append(p50([init for _, init in taken]))
    return cloned, made
