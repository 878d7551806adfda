"""Links planted in coord's folders, standing still or swapped while coord reads and writes: none leads out."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import mangled
import mutants_inputs
import pytest
import tiers

from coord.model import codec
from coord.model.errors import CoordError
from coord.model.records import Change
from coord.service import checkpoints, locks, mail, verify
from coord.service.byhand import adopt
from coord.service.command import Prose
from coord.service.coord import Coord

ACTS = tiers.rounds(120, 3_000)
SECRET = "what lies outside"
CAN_SWAP = hasattr(ctypes.CDLL(None), "renameat2")
# Exchanges two names, over and over, until its standard input ends or one is gone.
SWAPPER = """
import ctypes, select, sys
swap = ctypes.CDLL(None).renameat2
one, other = (name.encode() for name in sys.argv[1:])
count = 0
while count % 2 or not select.select([sys.stdin], [], [], 0)[0]:
    if swap(-100, one, -100, other, 2):
        break  # coord has taken the file in
    count += 1
    if count == 1:
        print(flush=True)
"""


@contextmanager
def swapped(one: Path, other: Path) -> Iterator[None]:
    """Swap two names without pause; they are back in their places in the end."""
    with subprocess.Popen(
        [sys.executable, "-c", SWAPPER, str(one), str(other)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdout.readline()
        try:
            yield
        finally:
            child.stdin.close()
            assert child.wait(60) == 0


@pytest.fixture
def beyond(repo: Path) -> Path:
    """A folder outside the repository, with the names that coord's own folders have, and a file worth stealing."""
    folder = repo.parent / "beyond"
    for name in ("", "read", "frontend", "backend"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "note.md").write_text(SECRET)
    (folder / "01KAJ3X5ZC9Q0V7T2D4M8N6P1R-x.md").write_text(SECRET)
    (folder / "docs.yaml").write_text(SECRET)
    return folder


def holdings(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def acts(repo: Path, rng: Random) -> list[Callable[[], Any]]:
    """Return what reads and writes in the folders."""
    me, other = (Coord.open(repo, who=who) for who in ("frontend", "backend"))
    key = f"inbox/frontend/01KAJ3X5ZC9Q0V7T2D4M8N6P1{rng.choice('ABCD')}-y.md"
    return [
        lambda: me.store.apply((Change(key, codec.encode(mangled.message(rng))),)),
        lambda: me.store.apply((Change(key, None),)),
        lambda: me.store.get("inbox/frontend/01KAJ3X5ZC9Q0V7T2D4M8N6P1R-x.md"),
        lambda: list(me.store.list("inbox")),
        lambda: mail.send(other, ("frontend",), Prose("hello")),
        lambda: mail.read(me),
        lambda: adopt.adopt(me, "inbox/frontend/note.md"),
        lambda: adopt.adopt_waiting(me),
        lambda: locks.acquire(me, ("docs",)),
        lambda: locks.release(me),
    ]


def shown(act: Callable[[], Any]) -> str:
    """Do something; return what it gave or how it refused."""
    try:
        return str(act())
    except CoordError as fault:
        return f"{fault.message} {fault.hint}"


def nothing_leads_out(repo: Path, beyond: Path, place: Path, rng: Random, *, most: int, still: bool) -> None:
    """Put a link to BEYOND in the place of a folder or a file, and read and write there."""
    before = holdings(beyond)
    aside = repo.parent / "aside"
    aside.symlink_to(beyond / place.name if place.suffix else beyond)
    todo = acts(repo, rng)
    if still:
        place.rename(repo.parent / "real")
        aside.rename(place)
        said = [shown(act) for act in todo for _ in range(2)]
        place.unlink()
        (repo.parent / "real").rename(place)
    else:
        with swapped(place, aside):
            said = [shown(rng.choice(todo)) for _ in range(most)]
        aside.unlink(missing_ok=True)
    assert not any(SECRET in one for one in said)
    assert holdings(beyond) == before
    owner = Coord.open(repo, who="owner")
    owner.committer.settle()
    for path in repo.rglob("*.md"):
        with suppress(OSError):
            assert SECRET not in path.read_text(errors="replace")
    assert SECRET not in str([mail.list_(owner, mailbox_=box, read=True) for box in ("frontend", "owner")])


PLACES = ("inbox/frontend", "inbox", "locks", "inbox/frontend/read", "inbox/frontend/note.md")


def planted(repo: Path, name: str) -> Path:
    place = repo / name
    if place.suffix:
        place.write_text("hello\n")
        os.utime(place, (1, 1))
    return place


@pytest.mark.parametrize("name", PLACES)
def test_a_link_in_a_folders_place_leads_nowhere(repo: Path, beyond: Path, name: str) -> None:
    nothing_leads_out(repo, beyond, planted(repo, name), Random(tiers.seed()), most=0, still=True)
    assert verify.verify(Coord.open(repo, who="owner"), commit=True).ok


@pytest.mark.skipif(not CAN_SWAP, reason="this system has no renameat2")
@pytest.mark.parametrize("name", PLACES)
def test_a_link_swapped_in_meanwhile_leads_nowhere(repo: Path, beyond: Path, name: str) -> None:
    nothing_leads_out(repo, beyond, planted(repo, name), Random(tiers.seed()), most=ACTS, still=False)
    assert verify.verify(Coord.open(repo, who="owner"), commit=True).ok


def test_a_checkpoint_follows_no_link(repo: Path, beyond: Path) -> None:
    (repo / "checkpoints/backend").symlink_to(beyond)
    before = holdings(beyond)
    with pytest.raises(CoordError):
        checkpoints.save(Coord.open(repo, who="backend"), Prose("done"))
    assert holdings(beyond) == before


@pytest.mark.parametrize("mutant", mutants_inputs.LINKS, ids=lambda mutant: mutant.name)
def test_a_planted_fault_is_found(
    repo: Path, beyond: Path, mutant: mutants_inputs.Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mutant.where == "race" and not CAN_SWAP:
        pytest.skip("this system has no renameat2")
    mutant.plant(monkeypatch)
    name = "inbox/frontend" if mutant.attribute != "_READ" else "inbox/frontend/01KAJ3X5ZC9Q0V7T2D4M8N6P1R-x.md"
    with pytest.raises(AssertionError):
        nothing_leads_out(
            repo, beyond, planted(repo, name), Random(tiers.seed()), most=1_000, still=mutant.where == "links"
        )
