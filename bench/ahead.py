"""Conflicts foreseen: all pairs of thirteen branches, against a merge in a git process of its own for each pair."""

import random
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

from bench import ground
from bench.ground import Scale
from coord.git.repo import Git
from coord.service import worktrees
from coord.service.coord import Coord
from coord.service.foresight import Foresight
from coord.service.measuring.benchground import AGENTS
from coord.service.measuring.benchrows import Row, paired, times

_FILES = 5_000
_CHANGED, _SHARED = 12, 3  # files that each branch changes, and how many of them others change as well


def ahead(scale: Scale) -> Iterator[Row]:
    """Look ahead with nothing known, and after one branch of thirteen moved; half of them have uncommitted work."""
    with ground.repository() as home:
        places = _grown(home, scale.count(_FILES))
        coord = Coord.open(home, who=AGENTS[0])
        heads = [Git(place).text("rev-parse", "HEAD") for place in places]

        def each_pair() -> None:
            for first, second in combinations(heads, 2):
                words = ("git", "merge-tree", "--write-tree", first, second)
                subprocess.run(words, cwd=home, capture_output=True, check=False)

        took, floor = paired(scale.seconds(10), lambda: Foresight(coord).look(), each_pair)
        yield times("conflicts foreseen among 13 branches, nothing known", took, floor, 1 / 2)
        known, count = Foresight(coord), 0
        known.look()

        def moved() -> None:
            nonlocal count
            count += 1
            (places[1] / "d00/f0.txt").write_text(f"moved {count}\n")
            Git(places[1]).run("commit", "--quiet", "--all", "--message", "moved")

        took, floor, _ = paired(scale.seconds(10), lambda: known.look(again=False), each_pair, moved)
        yield times("the same after one of them moved", took, floor, 1 / 6)


def _grown(home: Path, count: int) -> list[Path]:
    """Fill the repository with files, and give each agent a worktree with work in it."""
    chance = random.Random(13)
    git = Git(home)
    names = [f"d{number % 50:02}/f{number}.txt" for number in range(count)]
    for name in names:
        path = home / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{name} {line}\n" for line in range(20)))
    git.run("config", "user.name", "bench")
    git.run("config", "user.email", "bench@example.com")
    git.run("add", "--all", ".")
    git.run("commit", "--quiet", "--message", "start")
    trees = worktrees.add(Coord.open(home, who="owner")).trees
    places = [Path(tree.path) for tree in trees]
    for number, place in enumerate(places):
        for name in (*chance.sample(names[50:], _CHANGED - _SHARED), *chance.sample(names[:50], _SHARED)):
            lines = (place / name).read_text().splitlines(keepends=True)
            lines[chance.randrange(20)] = f"agent {number}\n"
            (place / name).write_text("".join(lines))
        Git(place).run("commit", "--quiet", "--all", "--message", "work")
        if number % 2:
            (place / names[number]).write_text(f"not committed, {number}\n")
    return places
