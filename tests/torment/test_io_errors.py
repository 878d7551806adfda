"""Any file operation fails: the command says so or does its work, leaves nothing behind, and works once the fault is gone."""

import errno
import fcntl
import gc
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path

import pytest
import tiers
from disk import NUMBERS, PRIVATE, Disk, Fault
from happened import Account, Found, kept
from mutants_disk import ERRORS
from plays import PLAYS, Play, stage
from support import eventually

from coord.faces import report
from coord.model import keys
from coord.model.errors import Conflict, CoordError, NotFound, Refused, Unavailable
from coord.model.records import Change
from coord.service import verify
from coord.service.coord import Coord
from coord.stores import durable
from coord.stores.files import FileStore

CASES = tiers.rounds(10, 1 << 30)
# Older Pythons leave the pipes of a process open that they could not start for want of descriptors.
CLOSES = hasattr(subprocess.Popen, "_on_error_fd_closer")


class Tried:
    """A play on a disk that fails: each case begins with the same repository."""

    def __init__(self, play: Play, home: Path) -> None:
        self.play = play
        self._home = home
        with _opened(home) as coord:
            self.before = Found.at(coord)
            self.blob = coord.blob_id
            self.blob(b"")
        self._folders = _folders(home)
        self._spare = home.parent / "spare"
        home.rename(self._spare)

    def faults(self) -> Iterator[Fault]:
        """Yield every fault: each way to fail, at each operation that it can befall."""
        with self._fresh() as home, Disk(home) as disk:
            self.play.work(home)
        for number in NUMBERS:
            for at in range(1, disk.reached(number) + 1):
                for lasting in (False, True):
                    yield Fault(number, at, lasting=lasting)
                    if number == errno.ENOSPC:
                        yield Fault(number, at, lasting=lasting, short=True)

    def check(self, fault: Fault) -> bool:
        """Prove that nothing is lost, half done or left behind; False says that the fault struck nowhere."""
        with self._fresh() as home:
            gc.collect()  # or what earlier tests left would be closed meanwhile, and hide one of ours
            open_before = set(_descriptors())
            with Disk(home, fault) as disk, kept(disk) as account:
                error = self._error(home)
            if not disk.struck:
                return False
            assert error is None or error.hint, f"no next step: {error}"
            _assert_closed(open_before)
            _assert_free(home)
            if fault.number != errno.EIO:  # which keeps also from removing
                assert _staged(home) == [], f"left behind: {_staged(home)}"
            if not fault.lasting:
                made = {one for one in _folders(home) - self._folders if not any((home / one).iterdir())}
                assert not made, f"half-made folders: {made}"
            self._assert_kept(home, account, fault)
        return True

    def _error(self, home: Path) -> CoordError | None:
        try:
            self.play.work(home)
        except CoordError as error:
            return error
        except OSError as error:
            return report.from_os(error)  # as the command line does
        return None

    def _assert_kept(self, home: Path, account: Account, fault: Fault) -> None:
        with _opened(home) as coord:
            coord.committer.settle()
            found = Found.at(coord)
            self._must_match(found, account, fault)
        with suppress(Conflict, NotFound, Refused):  # what it wanted had been done before the fault
            self.play.work(home)
        with _opened(home) as coord:
            coord.committer.settle()
            last = Found.at(coord)
            assert last.events[: len(found.events)] == found.events
            assert len(set(last.events)) == len(last.events), "an event is twice in the ledger"
            assert {key: self.blob(data) for key, data in last.files.items()} == last.tree
            verify.verify(coord)
        assert _temporary(home) <= {"state.json.tmp"}, f"left behind: {_temporary(home)}"

    def _must_match(self, found: Found, account: Account, fault: Fault) -> None:
        """What was noted is there; what could not be is not, unless even that could not be noted."""
        withdrawn = not fault.lasting
        choices = [
            (True,) if one.done is not None else (False,) if withdrawn else (False, True) for one in account.noted
        ]
        for chosen in product(*choices):
            events = [one.event for one, there in zip(account.noted, chosen, strict=True) if there]
            wanted = self.before.after(events, self.blob)
            if wanted.files == found.files and wanted.ledger == found.ledger:
                return
        sure = [one.event for one in account.noted if one.done is not None]
        raise AssertionError(self.before.after(sure, self.blob).unlike(found))

    @contextmanager
    def _fresh(self) -> Iterator[Path]:
        shutil.copytree(self._spare, self._home, symlinks=True)
        try:
            yield self._home
        finally:
            shutil.rmtree(self._home)


@contextmanager
def _opened(home: Path) -> Iterator[Coord]:
    coord = Coord.open(home, who="owner")
    try:
        yield coord
    finally:
        coord.index.close()


def _descriptors() -> dict[str, str]:
    """Return what each open descriptor is, on Linux by name."""
    found = {}
    for name in os.listdir("/dev/fd"):
        with suppress(OSError):  # the listing's own
            os.fstat(int(name))
            link = Path("/proc/self/fd") / name
            found[name] = str(link.readlink()) if link.is_symlink() else name
    return found


def _assert_closed(before: set[str]) -> None:
    """Whatever was opened is closed; threads that earlier tests left may take a moment with what is theirs."""

    def left() -> dict[str, str]:
        found = {name: what for name, what in _descriptors().items() if name not in before}
        return {name: what for name, what in found.items() if CLOSES or not what.startswith(("/dev/null", "pipe:"))}

    try:
        eventually(lambda: not left(), within=5, what="closing")
    except AssertionError:
        raise AssertionError(f"a descriptor is open still: {left()}") from None


def _assert_free(home: Path) -> None:
    for path in (home / PRIVATE / "guards").iterdir():
        with path.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _staged(home: Path) -> list[str]:
    staged = [path.name for path in (home / PRIVATE / "tmp").iterdir()]
    hidden = [path.name for folder in keys.FOLDERS for path in (home / folder).rglob(".*~*")]
    return staged + hidden


def _temporary(home: Path) -> set[str]:
    """Name the temporary files that have a name of their own: the next writer takes them over."""
    return {path.name for path in (home / PRIVATE).rglob("*") if path.suffix in (".tmp", ".begun")}


def _folders(home: Path) -> set[str]:
    inside = (path for folder in keys.FOLDERS for path in (home / folder).rglob("*"))
    return {path.relative_to(home).as_posix() for path in inside if path.is_dir()}


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.name)
def test_a_failing_disk_loses_nothing_and_leaves_nothing(play: Play) -> None:
    rng = random.Random(tiers.seed())
    with stage(play) as home:
        tried = Tried(play, home)
        faults = list(tried.faults())
        rng.shuffle(faults)
        checked = 0
        for fault in faults:
            try:
                checked += tried.check(fault)
            except Exception as wrong:
                raise AssertionError(f"{play.name}, {fault}: {wrong}") from wrong
            if checked == CASES:
                break
        print(f"{play.name}: {len(faults)} faults, {checked} tried")
        assert checked


def test_a_folder_whose_name_could_not_be_synced_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: int) -> None:
        raise OSError(errno.EIO, "the disk")

    store = FileStore(tmp_path, tmp_path / "private")
    monkeypatch.setattr(durable, "sync_names", fails)
    with pytest.raises(Unavailable):
        store.apply([Change("inbox/backend/x.md", b"mail")])
    assert not (tmp_path / "inbox").exists()


@pytest.mark.parametrize("mutant", ERRORS)
def test_each_planted_fault_is_found(mutant: str) -> None:
    rng = random.Random(tiers.seed())
    play = next(play for play in PLAYS if play.name == "checkpoint")
    with stage(play) as home:
        tried = Tried(play, home)
        plant, reveals = ERRORS[mutant]
        faults = [fault for fault in tried.faults() if reveals(fault)]
        rng.shuffle(faults)
        with plant():
            for number, fault in enumerate(faults):
                try:
                    tried.check(fault)
                except (AssertionError, BlockingIOError, CoordError) as found:
                    print(f"found at the {number}th fault: {fault}: {found}")
                    return
    raise AssertionError(f"{mutant}: not found with {len(faults)} faults")
