"""`coord bench`: figures beside their floors, from a repository that is gone afterwards, whatever ended the run."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from support import eventually

from coord.faces.pages.bench import cells
from coord.model.errors import Refused, Unavailable, Usage
from coord.service.coord import Coord
from coord.service.measuring import bench, benchground, benchrows
from coord.service.measuring.benchcrowd import crowd
from coord.service.measuring.benchrows import Row
from coord.stores import oslock

As = Callable[..., Coord]
BENCH = (sys.executable, "-m", "coord", "bench", "--json", "--seconds")


def begun(repo: Path, seconds: float) -> subprocess.Popen[str]:
    """Run `coord bench` so that all its processes, and theirs, can be told by their environment."""
    marked = {**os.environ, "BENCH_IN": str(repo)}
    return subprocess.Popen(
        [*BENCH, str(seconds)], cwd=repo, env=marked, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def running(repo: Path) -> list[str]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("BENCH_IN") == str(repo) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(str(process))
    return found


def left(repo: Path) -> list[str]:
    """What of a run is still there: its folder, and its processes."""
    place = repo / ".git" / "coord" / "bench"
    return [*running(repo), *[str(one) for one in (place,) if one.exists()]]


def test_every_figure_has_its_floor_or_its_mark_and_nothing_is_left(repo: Path) -> None:
    process = begun(repo, 0.3)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    rows = json.loads(said)["rows"]
    assert len(rows) == 7
    assert all(row["value"] > 0 and row["mark"] and row["met"] in (True, False) for row in rows)
    assert sum(row["floor"] is not None for row in rows) == 5
    assert left(repo) == []


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at_work", [1, 13], ids=["alone", "in the crowd"])
def test_an_interrupt_at_any_time_leaves_nothing(repo: Path, asked: signal.Signals, at_work: int) -> None:
    process = begun(repo, 6)
    floor = repo / ".git" / "coord" / "bench" / "repository" / ".git" / "floor"
    try:
        eventually(lambda: any(floor.glob("*")) and len(running(repo)) >= at_work, within=60, what="the run")
        process.send_signal(asked)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, said
    assert left(repo) == []


def test_what_a_killed_run_left_goes_with_the_next(repo: Path, coord_for: As) -> None:
    old = repo / ".git" / "coord" / "bench" / "repository" / "old"
    old.mkdir(parents=True)
    with bench._place(coord_for(), "") as place:
        assert place == old.parents[1]
        assert list(place.iterdir()) == []
    assert not place.exists()


def test_two_runs_at_once_would_slow_each_other_down(repo: Path, coord_for: As) -> None:
    lock = oslock.singleton(repo / ".git" / "coord" / "guards" / "bench.lock")
    assert lock is not None
    with lock, pytest.raises(Refused, match="another"):
        bench.bench(coord_for())


def test_another_disk_is_named_by_a_folder(tmp_path: Path, coord_for: As) -> None:
    other = tmp_path / "other disk"
    with pytest.raises(Usage, match="no folder"):
        bench.bench(coord_for(), folder=str(other))
    other.mkdir()
    with bench._place(coord_for(), str(other)) as place:
        assert place.parent == other
    assert list(other.iterdir()) == []


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e9, float("nan")])
def test_no_time_is_no_measure(coord_for: As, seconds: float) -> None:
    with pytest.raises(Usage, match="no time to measure in"):
        bench.bench(coord_for(), seconds=seconds)


def crowd_in_a_process_of_its_own(program: str) -> subprocess.CompletedProcess[str]:
    """Forking is for a process without threads, which a test runner's may not be."""
    text = f"from coord.service.measuring.benchcrowd import crowd\nimport os, time\n{program}"
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)


def test_a_crowd_begins_together_and_does_its_rounds() -> None:
    done = crowd_in_a_process_of_its_own(
        "seen = []\n"
        "took = crowd(5, lambda n: lambda: time.sleep(0.01 * n), rounds=3, meanwhile=lambda: seen.append(1))\n"
        "assert [one.done for one in took] == [3] * 5, took\n"
        "assert all(9 * n <= ms for n, one in enumerate(took) for ms in one.took), took\n"
        "assert seen\n"
    )
    assert done.returncode == 0, done.stderr


def test_who_waits_for_ever_is_stopped_and_counts_as_waiting() -> None:
    done = crowd_in_a_process_of_its_own(
        "took = crowd(2, lambda n: lambda: time.sleep(60 * n), seconds=0.1, grace=0.5)\n"
        "assert took[0].done == len(took[0].took) > 0, took\n"
        "assert (took[1].done, len(took[1].took)) == (0, 1), took\n"
        "assert 200 <= took[1].took[0] < 60_000, took\n"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("start", "reason"),
    [("lambda n: [lambda: 0][n]", "IndexError"), ("lambda n: lambda: os._exit(1)", "it was ended")],
)
def test_who_fails_in_a_crowd_is_no_figure(start: str, reason: str) -> None:
    done = crowd_in_a_process_of_its_own(f"crowd(3, {start}, rounds=1)")
    assert done.returncode == 1
    assert f"{Unavailable.__name__}: a process of the crowd failed: {reason}" in done.stderr
    assert crowd.__name__ in done.stderr


def test_a_median_over_its_mark_is_missed() -> None:
    floor = [1.0] * 100
    assert benchrows.times("x", [2.0] * 100, floor, 2).met is True
    assert benchrows.times("x", [2.1] * 100, floor, 2).met is False
    tail = [1.0] * 90 + [9.0] * 10
    assert benchrows.times("x", tail, floor, 2).met is True
    assert benchrows.times("x", tail, floor, 2, p99=True).met is False
    assert benchrows.limits("x", tail, 2).met is True
    assert benchrows.limits("x", tail, 2, 8).met is False
    assert benchrows.rate("x", 49, 100, 1 / 2, "").met is False
    assert benchrows.rate("x", 50, 100, 1 / 2, "").met is True


def test_the_floor_is_as_large_as_a_message_in_its_mailbox(repo: Path, tmp_path: Path) -> None:
    del repo
    home = benchground.make(tmp_path / "ground")
    floor = benchground.Floor(home)
    floor()
    (made,) = (home / ".git" / "floor").iterdir()
    coord = Coord.open(home, who=benchground.AGENTS[0])
    stored = [coord.store.get(key) for key in coord.records(f"inbox/{benchground.AGENTS[1]}")]
    assert [one.data for one in stored if one] == [made.read_bytes()]
    assert made.stat().st_size > benchground.BODY_SIZE
    assert len(benchground.text(1)) == benchground.BODY_SIZE
    assert benchground.text(1) != benchground.text(2)


def test_the_projects_own_benchmarks_run() -> None:
    words = [sys.executable, "-m", "bench", "--quick", "without_daemon"]
    done = subprocess.run(words, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith("| 2 of 2 |  |  | every one | yes |")


def test_a_figure_is_shown_with_what_it_lacks() -> None:
    row = Row("x", "ms", 1.234, 5678.9, 0.5, 0.25, 2.468, "≤ 2 x", met=False)
    assert cells(row) == ("x", "1.23 / 5,679 ms", "0.5 / 0.25", "2.47", "≤ 2 x", "no")
    assert cells(Row("y", "ms", note="no Postgres here")) == ("y", "no Postgres here", "", "", "", "")


def test_a_daemon_that_cannot_start_is_said(tmp_path: Path, repo: Path) -> None:
    del repo
    home = benchground.make(tmp_path / "ground")
    with benchground.daemon(home), pytest.raises(Unavailable, match="no daemon starts"), benchground.daemon(home):
        pass
