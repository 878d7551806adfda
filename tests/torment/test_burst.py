"""Thousands of files dropped by hand at once: each becomes one message, and the daemon grows no larger."""

from collections import Counter, defaultdict
from pathlib import Path

import crowd
import psutil
import pytest
import tiers
from crowd import Burst, Dropped
from support import eventually, git

from coord.model import keys
from coord.service import mail, verify
from coord.service.coord import Coord

WRITERS = 13
_RETIRED_SOON = "mail: {read_retention: 1s}\nwatch: {scan_every: 1s}\n"
# What Python's and the C library's allocators may keep of a wave that has passed.
_SLACK = 24 << 20


def test_a_burst_is_adopted_whole_and_once(repo: Path) -> None:
    seed, waves, each = tiers.seed(), tiers.rounds(2, 5), tiers.rounds(24, 770)
    crowd.populate(repo, WRITERS, _RETIRED_SOON)
    sizes: list[int] = []
    with crowd.watched(repo) as daemon:
        for wave in range(waves):
            dropped = crowd.drop(repo, Burst(writers=WRITERS, each=each, seed=seed + wave))
            assert len(dropped) == WRITERS * each
            settled(repo)
            assert_adopted(repo, dropped)
            full = daemon.memory_info().rss
            emptied(repo)
            sizes.append(daemon.memory_info().rss)
            print(f"wave {wave}: daemon {full >> 20} MB with {len(dropped)} files there, {sizes[-1] >> 20} MB after")
    assert_flat(sizes)
    verify.verify(Coord.open(repo))


@pytest.mark.parametrize(
    ("mutant", "words"),
    [
        ("adopted again", "is there twice"),
        ("taken and lost", "is lost"),
        ("passed over", "were not taken in"),
        ("taken half", "whole|dead letters"),
    ],
)
def test_what_is_lost_torn_or_twice_is_found(repo: Path, mutant: str, words: str) -> None:
    crowd.populate(repo, WRITERS)
    with crowd.watched(repo, mutant):
        dropped = crowd.drop(repo, Burst(writers=WRITERS, each=10, seed=7, pause=0.3 if mutant == "taken half" else 0))
        with pytest.raises(AssertionError, match=words):
            settled(repo, within=4)
            assert_adopted(repo, dropped)


def test_a_daemon_that_grows_is_found(repo: Path) -> None:
    crowd.populate(repo, WRITERS, _RETIRED_SOON)
    with crowd.watched(repo, "memory kept") as daemon, pytest.raises(AssertionError, match="the daemon grew"):
        assert_flat([grown_by_waves(repo, daemon, seed) for seed in range(3)])


def grown_by_waves(repo: Path, daemon: "psutil.Process", seed: int) -> int:
    """Drop a few files, have them read and retired, and return the daemon's size."""
    crowd.drop(repo, Burst(writers=WRITERS, each=2, seed=seed))
    settled(repo)
    emptied(repo)
    return int(daemon.memory_info().rss)


def settled(repo: Path, within: float | None = None) -> None:
    """Wait until no hand-written file waits any more, and all is in the ledger."""
    journal = Coord.open(repo).journal
    limit = within or tiers.rounds(60, 1800)
    eventually(
        lambda: not by_hand(repo), within=limit, what=f"files were not taken in: {by_hand(repo)[:3]}; taking them"
    )
    eventually(lambda: journal.size() == 0, within=limit, what="committing")


def emptied(repo: Path) -> None:
    """Have all mail read, and wait until the daemon has retired it."""
    for name in (*crowd.names(WRITERS), "owner"):
        with Coord.open(repo, who=name) as coord:
            while mail.read(coord, limit=500).unread:
                pass
    eventually(lambda: not records(repo), within=tiers.rounds(60, 1800), what="retiring what was read")


def assert_adopted(repo: Path, dropped: list[Dropped]) -> None:
    """Each file is one message, whole, in each mailbox it reaches; each is one commit; and nothing else is there."""
    assert not list((repo / "inbox/.dead").glob("*")), "there are dead letters"
    texts = {one.text for one in dropped}
    places: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for path in records(repo):
        body = path.read_bytes().partition(b"\n---\n")[2].decode()
        assert body in texts, f"{path} is not whole"
        places[body].append((path.parent.name, keys.id_in(path.name) or ""))
    everybody = set(crowd.names(WRITERS))
    for one in dropped:
        found = places.pop(one.text, [])
        boxes = [box for box, _ in found]
        assert found, f"{one} is lost"
        assert len(boxes) == len(set(boxes)) and len({identifier for _, identifier in found}) == 1, (
            f"{one} is there twice"
        )
        match one.folder:
            case "all":
                assert set(boxes) == everybody - {one.writer}
            case "auto":
                assert len(boxes) == 1
            case folder:
                assert boxes == [folder]
    assert not places, "there are messages that nobody wrote"
    form = "%(trailers:key=Coord-Id,valueonly,separator=)"
    counted = Counter(git(repo, "log", f"--format={form}", "--grep=^Coord-Event: mail.adopted", "coord/ledger").split())
    assert set(counted.values()) == {1}, "an adoption is in the ledger twice"
    assert {keys.id_in(path.name) or "" for path in records(repo)} <= counted.keys(), "an adoption is not in the ledger"


def assert_flat(sizes: list[int]) -> None:
    """After each wave the daemon is about as large as after the first."""
    grown = max(sizes[1:]) - sizes[0]
    assert grown < _SLACK, f"the daemon grew by {grown >> 20} MB"


def records(repo: Path) -> list[Path]:
    """Return every message of every mailbox."""
    return [path for path in (repo / "inbox").glob("*/**/*.md") if keys.id_in(path.name) and ".dead" not in path.parts]


def by_hand(repo: Path) -> list[str]:
    """Return the files that are no messages yet."""
    boxes = (*crowd.names(WRITERS), "all", "auto")
    files = (path for box in boxes for path in (repo / "inbox" / box).iterdir() if path.is_file())
    return [path.name for path in files if keys.id_in(path.name) is None]
