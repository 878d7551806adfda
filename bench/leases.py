"""Leases: one pair beside two durable files, and many contenders beside a lease table in Postgres."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from bench import ground, postgres
from bench.ground import Scale
from coord.service.measuring import bench, benchground
from coord.service.measuring.benchcrowd import Loop, crowd, times_of
from coord.service.measuring.benchground import named
from coord.service.measuring.benchrows import Row, p, p50, times

_CONTENDERS = (1, 13, 50, 200)
_NAMES = named(max(_CONTENDERS))
_PATIENCE = timedelta(minutes=10)
_GRACE = 10.0


def lease(scale: Scale) -> Iterator[Row]:
    """Take and give back a lease, against two bare durable files."""
    with ground.repository() as home:
        yield bench.lease(home, scale.seconds(5))


def contended(scale: Scale) -> Iterator[Row]:
    """Let 1, 13, 50 and 200 processes take and give back leases, each on a path of its own and all on one."""
    with ground.repository(_NAMES) as home, benchground.daemon(home):
        if lacking := postgres.missing():
            for size, hot in _cases():
                took = _crowd(home, size, hot=hot, seconds=scale.seconds(4))
                yield from _rows(size, hot, took, None, lacking)
            return
        with ground.folder() as outer, postgres.server(outer / "postgres") as where:
            for size, hot in _cases():
                took = _crowd(home, size, hot=hot, seconds=scale.seconds(4))
                bare = crowd(
                    size,
                    lambda number, hot=hot: postgres.leasing(where, _NAMES[number], _path(number, hot=hot)),  # type: ignore[misc]
                    seconds=scale.seconds(4),
                    grace=_GRACE,
                )
                yield from _rows(size, hot, took, bare, "")


def _cases() -> Iterator[tuple[int, bool]]:
    for size in _CONTENDERS:
        yield size, False
        if size > 1:
            yield size, True


def _path(number: int, *, hot: bool) -> str:
    return "src/hot.py" if hot else f"src/file-{number}.py"


def _crowd(home: Path, size: int, *, hot: bool, seconds: float) -> list[Loop]:
    wait = _PATIENCE if hot else timedelta(0)
    return crowd(
        size,
        lambda number: benchground.leasing(home, _NAMES[number], _path(number, hot=hot), wait=wait),
        seconds=seconds,
        grace=_GRACE,
    )


def _rows(size: int, hot: bool, took: list[Loop], bare: list[Loop] | None, lacking: str) -> Iterator[Row]:
    on = "one path" if hot else "a path each" if size > 1 else "alone"
    what = f"lease pair, {size} contenders, {on}" if size > 1 else "lease pair, alone, beside Postgres"
    ours = times_of(took)
    if bare is None:
        yield Row(what, "ms", p50(ours), p(99, ours), mark="p50 and p99 ≤ Postgres", note=lacking)
    else:
        yield times(what, ours, times_of(bare), 1, p99=True)
    if hot:
        fair, holds = _jain([loop.done for loop in took]), sum(loop.done for loop in took)
        floor = _jain([loop.done for loop in bare]) if bare is not None else None
        name = f"fairness of holds, {size} contenders (Jain)"
        yield Row(name, "", fair, floor=floor, mark="≥ 0.95", met=fair >= 0.95, note=f"{holds:,} holds in all")


def _jain(counts: Sequence[int]) -> float:
    """Return Jain's index: 1 where all got alike, 1/n where one got everything."""
    return sum(counts) ** 2 / max(1, len(counts) * sum(count * count for count in counts))
