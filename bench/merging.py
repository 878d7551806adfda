"""The merge queue: a clean merge beside git's bare commands, a batch with a bad one, and many that wait."""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench import ground
from bench.ground import Scale
from coord.daemon.committing import Committing
from coord.daemon.observe import Observer
from coord.daemon.rules.merge import merge as rule
from coord.service import merges
from coord.service.coord import Coord
from coord.service.measuring.benchground import AGENTS
from coord.service.measuring.benchrows import Row, p50, paired, times
from coord.service.merging.landing import Landing

_FILES, _SPARE = 500, 400
_CROWD = (13, 200)


def clean(scale: Scale) -> Iterator[Row]:
    """Land one request after another without a test, in turn with the same by git's bare commands."""
    with ground.repository() as home:
        _prepare(home, "ungated: allow", _SPARE, bad=-1)
        for ref in ("ours", "bare"):
            _git(home, "branch", ref, "main")
        coord = Coord.open(home, who=AGENTS[0])
        coord.commits = True
        landing, numbers = Landing(coord), iter(range(_SPARE))
        committing = Committing(coord, say=print, tell=lambda: None)

        def prepared() -> None:
            merges.request(coord, branch=f"work/{next(numbers)}", into="ours")

        def ours() -> None:
            landing.advance("ours")

        def bare() -> None:
            head = f"work/{next(numbers)}"
            tip = _git(home, "rev-parse", "bare")
            tree = _git(home, "merge-tree", "--write-tree", tip, head)
            made = _git(home, "commit-tree", tree, "-p", tip, "-p", head, "-m", f"Merge {head}")
            _git(home, "update-ref", "refs/heads/bare", made, tip)

        took: tuple[list[float], list[float]] = ([], [])
        until = time.monotonic() + scale.seconds(10)
        with committing.going_on():  # as the daemon does: the ledger is written beside it
            while (time.monotonic() < until or len(took[0]) < 5) and len(took[0]) < _SPARE // 2 - 1:
                prepared()
                for kept, work in zip(took, (ours, bare), strict=True):
                    coord.committer.settle()  # neither shares the machine with what the ledger is still writing
                    began = time.perf_counter()
                    work()
                    kept.append((time.perf_counter() - began) * 1000)
        assert not merges.waiting(coord), "not everything landed"
    yield times("clean merge without a test", took[0], took[1], 3)


def batch(scale: Scale) -> Iterator[Row]:
    """Thirteen requests, one of them bad, and a test that takes a while: together, and one after another."""
    seconds = scale.seconds(2)
    test = f"test: 'sleep {seconds:g}; ! ls bad 2>/dev/null'"
    took, landed = {}, {}
    for name, settings in {"together": "batch: 16, parallel: 4", "one by one": "batch: 1"}.items():
        with ground.repository() as home:
            _prepare(home, f"{test}, {settings}", 13, bad=7)
            coord = Coord.open(home, who=AGENTS[0])
            coord.commits = True
            for number in range(13):
                merges.request(coord, branch=f"work/{number}", into="main")
            landing = Landing(coord)
            began = time.monotonic()
            while merges.waiting(coord):
                landing.tend()
                if not landing.advance("main"):
                    time.sleep(0.01)
            took[name] = time.monotonic() - began
            landing.stop()
            landed[name] = _git(home, "log", "--format=%s", "main").count("Merge work/")
            coord.committer.settle()
    ratio = took["together"] / took["one by one"]
    met = ratio <= 0.4 and landed["together"] == 12
    what = f"13 requests, one bad, a test of {seconds:g} s"
    note = f"{landed['together']} landed; floor: one after another, {landed['one by one']} landed"
    yield Row(
        what, "s", took["together"], floor=took["one by one"], ratio=ratio, mark="≤ 0.4 x, 12 land", met=met, note=note
    )


def crowd(scale: Scale) -> Iterator[Row]:
    """Look, decide and act once while a test runs, with some that wait and with many."""
    looks = []
    for count in _CROWD:
        with ground.repository() as home:
            _prepare(home, "test: 'sleep 600', batch: 13", count, bad=-1)
            coord = Coord.open(home, who=AGENTS[0])
            coord.commits = True
            for number in range(count):
                merges.request(coord, branch=f"work/{number}", into="main")
            coord.committer.settle()
            landing, observer = Landing(coord), Observer(coord)

            def cycle(landing: Landing = landing, observer: Observer = observer) -> None:
                landing.tend()
                for action in rule(observer.view(full=False)):
                    landing.advance(action.into)  # type: ignore[union-attr]

            while not landing.running:
                cycle()
            (spent,) = paired(scale.seconds(5), cycle)
            looks.append(spent)
            landing.stop()
    few, many = looks
    most = _CROWD[1] / _CROWD[0]
    yield times(f"a cycle, {_CROWD[1]} requests wait; floor: {_CROWD[0]}", many, few, most)
    assert p50(many) > 0


def _prepare(home: Path, settings: str, count: int, *, bad: int) -> None:
    """Make a repository of some files, and branches of one commit each; the one that is BAD fails the test."""
    config = home / ".coord.yaml"
    config.write_text(
        re.sub(r"(?m)^merge:\n(  .*\n)*", "", config.read_text()) + f"merge: {{{settings}, into: main}}\n"
    )
    _git(home, "checkout", "-q", "-B", "main")
    for number in range(_FILES):
        path = home / f"src/{number % 20}/{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}\n")
    _git(home, "add", "-A")
    _git(home, "commit", "-qm", "files")
    base = _git(home, "rev-parse", "HEAD")
    stream = "".join(
        f"commit refs/heads/work/{number}\ncommitter Owner <owner@example.com> 1700000000 +0000\ndata 4\nwork\n"
        f"from {base}\nM 644 inline {'bad' if number == bad else f'work/{number}'}\ndata 4\nwork\n"
        for number in range(count)
    )
    subprocess.run(["git", "fast-import", "--quiet"], cwd=home, check=True, input=stream, text=True)


def _git(home: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=home, check=True, capture_output=True, text=True).stdout.strip()
