"""The power goes after any file operation: whatever the disk kept, the next start makes it whole again."""

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tiers
from disk import AREAS, LEFT_OUT, PRIVATE, Disk
from happened import Found, kept
from mutants_disk import POWER
from plays import PLAYS, Play, booted, stage
from powercut import Cut, Run, State

from coord.model import keys
from coord.model.errors import CoordError
from coord.service import mail, verify
from coord.service.byhand import adopt
from coord.service.command import Prose
from coord.service.coord import Coord

MIXED = tiers.rounds(3, 12)
STATES = tiers.rounds(24, 1 << 30)


class Recorded:
    """A play, recorded to its end, in a repository from which every state can be laid out."""

    def __init__(self, play: Play, home: Path) -> None:
        self._home = home
        self._bare = home.parent / "bare"
        with booted(1), _opened(home) as coord:
            self.before = Found.at(coord)
            tip = coord.ledger.tip() or ""
            coord.index.close()
            shutil.copytree(home, self._bare, symlinks=True, ignore=_ignored)
            with Disk(home) as disk, kept(disk) as self.account:
                play.work(home)
            self.blob = coord.blob_id
            self.blob(b"")
        self.run = Run(disk, tip)
        assert self.run.end().files == _snapshot(home), "an operation escaped"
        # A state has all that git wrote, and of what git wrote nothing but the ledger's tip is its own.
        shutil.copytree(home / ".git" / "objects", self._bare / ".git" / "objects", dirs_exist_ok=True)
        self._seen: set[object] = set()

    def cuts(self, rng: random.Random) -> Iterator[Cut]:
        """Yield every cut."""
        for at in range(len(self.run.ops) + 1):
            yield from self.run.cuts(at, rng, mixed=MIXED)

    def check(self, cut: Cut) -> bool:
        """Prove that the next start makes all good; False says that this was proven before."""
        state = self.run.state(cut)
        seen = (state.digest, self.account.between(cut.at))
        if seen in self._seen:
            return False
        self._seen.add(seen)
        home = self._home.parent / "cut"
        shutil.copytree(self._bare, home, symlinks=True)
        try:
            state.lay(home)
            with booted(2):
                self._recover(home, state)
        finally:
            shutil.rmtree(home)
        return True

    def _recover(self, home: Path, state: State) -> None:
        with _opened(home) as coord:
            assert coord.left is None, coord.left
            least, most = self.account.between(state.cut.at)
            self._must_match(Found.at(coord), least, most, committed=False)
            coord.committer.settle()
            found = Found.at(coord)
            self._must_match(found, least, most)
            assert not coord.journal.read().events, "something waits still"
        for key, data in found.strays.items():
            assert data in self.before.strays.values(), f"a torn file, {key}: {data!r}"
        rest = _snapshot(home)
        with _opened(home) as coord:
            coord.committer.settle()
            assert _snapshot(home) == rest, "a second settle changed something"
            if {key: self.blob(data) for key, data in found.files.items()} == found.tree:
                verify.verify(coord)
            adopt.adopt_waiting(coord)
            coord.committer.settle()
            self._taken_in_once(Found.at(coord))
            _serves(coord)

    def _must_match(self, found: Found, least: int, most: int, *, committed: bool = True) -> None:
        """The sure events have happened, and perhaps the one in flight, each wholly and no other."""
        events = [one.event for one in self.account.noted]
        for count in range(least, most + 1):
            wanted = self.before.after(events[:count], self.blob)
            if wanted.files == found.files and (not committed or wanted.ledger == found.ledger):
                return
        wanted = self.before.after(events[:least], self.blob)
        raise AssertionError(f"{least} to {most} events must be there: {wanted.unlike(found)}")

    def _taken_in_once(self, found: Found) -> None:
        """What hands wrote is mail now, once in each mailbox, and once in the ledger."""
        times = Counter(found.events)
        for event in (one.event for one in self.account.noted if one.event.kind in ("mail.adopted", "mail.dead")):
            assert times[event.id] == 1, f"{event.subject}: {times[event.id]} times in the ledger"
            meant = {
                change.key for change in event.changes if change.data is not None and keys.id_in(change.key) == event.id
            }
            there = [key.replace("/read/", "/") for key in found.files if keys.id_in(key) == event.id]
            assert sorted(there) == sorted(meant), f"{event.subject}: at {there}"


def _serves(coord: Coord) -> None:
    """What happens from now on comes to the ledger."""
    sent = mail.send(coord, ("backend",), Prose("after the cut"))
    coord.committer.settle()
    found = Found.at(coord)
    assert found.events[-1] == sent.message.id, "what is sent from now on does not come to the ledger"
    assert keys.message("backend", sent.message) in found.tree


@contextmanager
def _opened(home: Path) -> Iterator[Coord]:
    coord = Coord.open(home, who="owner")
    try:
        yield coord
    finally:
        coord.index.close()


def _ignored(folder: str, names: list[str]) -> list[str]:
    """Name what belongs to a state."""
    inside = f"{folder}/"
    private = inside.endswith(f"/{PRIVATE}/")
    areas = [name for name in names if any(f"{inside}{name}".endswith(f"/{area}") for area in AREAS if area != PRIVATE)]
    return [name for name in names if not name.startswith("index.db")] if private else areas


def _snapshot(home: Path) -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {".git": None}
    for area in AREAS:
        for path in (home / area, *(home / area).rglob("*")):
            key = path.relative_to(home).as_posix()
            if not key.startswith(LEFT_OUT):
                found[key] = None if path.is_dir() else path.read_bytes()
    return found


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.name)
def test_what_was_acknowledged_outlives_the_power(play: Play) -> None:
    rng = random.Random(tiers.seed())
    with stage(play) as home:
        recorded = Recorded(play, home)
        cuts = list(recorded.cuts(rng))
        rng.shuffle(cuts)
        checked = 0
        for cut in cuts:
            try:
                checked += recorded.check(cut)
            except Exception as fault:
                raise AssertionError(f"{play.name}, {cut}: {fault}") from fault
            if checked == STATES:
                break
        print(f"{play.name}: {len(recorded.run.ops)} operations, {len(cuts)} cuts, {checked} states proven")
        assert checked


@pytest.mark.parametrize("mutant", POWER)
def test_each_planted_fault_is_found(mutant: str) -> None:
    rng = random.Random(tiers.seed())
    play = next(play for play in PLAYS if play.name == "batch")
    with stage(play) as home, POWER[mutant]():
        recorded = Recorded(play, home)
        cuts = list(recorded.cuts(rng))
        rng.shuffle(cuts)
        for number, cut in enumerate(cuts):
            try:
                recorded.check(cut)
            except (AssertionError, CoordError) as fault:
                print(f"found at the {number}th cut: {cut}: {fault}")
                return
    raise AssertionError(f"{mutant}: not found in {len(cuts)} cuts")
