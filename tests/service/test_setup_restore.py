"""On a clone, and where the folders were emptied, setting up brings the ledger's state back into files."""

import os
import subprocess
from pathlib import Path

import pytest
from neverset import NOW, farm_in, git, message, publish, traces

from coord.model import codec, keys
from coord.model.errors import Corrupt
from coord.model.records import Change, Lock
from coord.service import livefolders, setup, verify
from coord.service.coord import Coord
from coord.stores import oslock


@pytest.fixture
def farm(tmp_path: Path) -> Path:
    """A repository with a commit, in which coord was never set up."""
    return farm_in(tmp_path / "farm")


def clone_of(home: Path, where: Path) -> Path:
    git(home.parent, "clone", "-q", str(home), str(where))
    return where


def test_a_clone_gets_its_files_back(farm: Path, tmp_path: Path) -> None:
    setup.init(farm, agents=("backend", "frontend"))
    unread, read = keys.message("frontend", message(1)), keys.as_read(keys.message("backend", message(2)))
    lock = Lock(scope="a b/*.js", holder="backend", token=7, granted_at=NOW, expires_at=NOW)
    wanted = {unread: codec.encode(message(1)), read: codec.encode(message(2)), keys.lock(lock): codec.encode(lock)}
    publish(farm, ("backend", dict(wanted)), ("backend", {"inbox/.dead/x": b"\xff dead"}))
    there = clone_of(farm, tmp_path / "clone")
    before = traces(there)
    done = setup.init(there)
    assert done.restored == 4
    assert {key: (there / key).read_bytes() for key in wanted} == wanted
    assert (there / "inbox/.dead/x").read_bytes() == b"\xff dead"
    assert git(there, "rev-parse", "coord/ledger") == git(farm, "rev-parse", "coord/ledger")
    assert traces(there) == before
    # The next committer need not search the history that came for what it is about to commit.
    assert Coord.open(there).journal.read().tip == git(there, "rev-parse", "coord/ledger")
    assert setup.init(there).restored == 0


def test_a_clone_without_a_configuration_takes_the_agents_of_the_ledger(farm: Path, tmp_path: Path) -> None:
    setup.init(farm, agents=("backend",))
    key = keys.message("frontend", message(1))
    publish(farm, ("backend", {key: codec.encode(message(1))}), ("security", {}), ("owner", {}))
    there = clone_of(farm, tmp_path / "clone")
    done = setup.init(there)
    assert done.agents == ("backend", "frontend", "security")
    assert any("ledger names" in note for note in done.notes)


def test_restoring_never_overwrites(farm: Path, tmp_path: Path) -> None:
    setup.init(farm, agents=("backend", "frontend"))
    key, other = keys.message("frontend", message(1)), keys.message("frontend", message(2))
    publish(farm, ("backend", {key: codec.encode(message(1)), other: codec.encode(message(2))}))
    there = clone_of(farm, tmp_path / "clone")
    (there / key).parent.mkdir(parents=True)
    (there / key).write_text("mine\n")
    assert setup.init(there).restored == 1
    assert (there / key).read_text() == "mine\n"


def test_a_restore_that_was_cut_off_goes_on(farm: Path, tmp_path: Path) -> None:
    """Folders are marked when they are full: without the mark, setting up fills them."""
    setup.init(farm, agents=("backend", "frontend"))
    both = [keys.message("frontend", message(number)) for number in (1, 2)]
    lock = Lock(scope="a.js", holder="backend", token=7, granted_at=NOW, expires_at=NOW)
    publish(farm, ("backend", {key: codec.encode(message(number)) for number, key in enumerate(both, 1)}))
    publish(farm, ("backend", {keys.lock(lock): codec.encode(lock)}))
    there = clone_of(farm, tmp_path / "clone")
    assert setup.init(there).restored == 3
    (there / "inbox" / livefolders.MARKER).unlink()
    (there / both[1]).unlink()
    (there / keys.lock(lock)).unlink()
    assert setup.init(there).restored == 1
    assert (there / both[1]).is_file()
    (there / both[1]).unlink()
    assert setup.init(there).restored == 0, "one file of a folder that is full was removed on purpose"


def test_a_folder_that_was_emptied_is_filled_again(farm: Path) -> None:
    setup.init(farm, agents=("backend", "frontend"))
    key = keys.message("frontend", message(1))
    with Coord.open(farm, who="backend") as coord:
        coord.record(coord.event("mail.sent", "word", [Change(key, codec.encode(message(1)))]))
    git(farm, "clean", "-qfdx", "--exclude=.coord.yaml")
    assert not (farm / "inbox").exists()
    other = keys.message("frontend", message(2))
    with Coord.open(farm, who="backend") as coord:
        coord.record(coord.event("mail.sent", "word", [Change(other, codec.encode(message(2)))]))
    assert [(one.key, one.what) for one in verify.drift(coord)] == [(key, "folder emptied")]
    assert verify.reconcile(coord, verify.drift(coord)) == 0
    with pytest.raises(Corrupt) as caught:
        verify.verify(coord, commit=True)
    assert "coord init" in caught.value.hint
    assert setup.init(farm).restored == 1
    assert verify.verify(coord).records == 2


def test_what_somebody_is_still_publishing_is_left_to_them(farm: Path) -> None:
    setup.init(farm, agents=("backend", "frontend"))
    key = keys.message("frontend", message(1))
    coord = Coord.open(farm, who="backend")
    coord.record(coord.event("mail.sent", "word", [Change(key, codec.encode(message(1)))]))
    coord.settle()
    (farm / "inbox" / livefolders.MARKER).unlink()
    writer = oslock.process_of(os.getppid())
    assert writer is not None
    event = coord.event("mail.read", "word", [Change(keys.as_read(key), codec.encode(message(1))), Change(key, None)])
    coord.journal.append(event, writer)
    assert setup.init(farm).restored == 0
    assert (farm / key).exists()
    assert not (farm / keys.as_read(key)).exists()


def test_strange_paths_of_a_foreign_ledger_stay_there(farm: Path, tmp_path: Path) -> None:
    setup.init(farm, agents=("backend",))
    blob = (
        subprocess.run(["git", "hash-object", "-w", "--stdin"], cwd=farm, input=b"x", check=True, capture_output=True)
        .stdout.decode()
        .strip()
    )
    shape = [f"100644 blob {blob}\tREADME.md", f"120000 blob {blob}\tlink"]
    dots = _tree(farm, [f"100644 blob {blob}\t..", f"100644 blob {blob}\t.swp"])
    inbox = _tree(farm, [f"100644 blob {blob}\tREADME.md", f"040000 tree {dots}\t.dead", f"040000 tree {dots}\t.."])
    top = _tree(farm, [*shape, f"040000 tree {inbox}\tinbox", f"040000 tree {dots}\tlocks"])
    commit = git(farm, "commit-tree", top, "-p", "coord/ledger", "-m", "by hand")
    git(farm, "update-ref", "refs/remotes/origin/coord/ledger", commit)
    git(farm, "update-ref", "-d", "refs/heads/coord/ledger")
    assert setup.init(farm).restored == 0
    assert {path.name for path in farm.iterdir()} == {".coord.yaml", ".git", "README.md", *keys.FOLDERS}
    assert not (farm / "inbox/README.md").exists()


def _tree(home: Path, lines: list[str]) -> str:
    text = "".join(f"{line}\n" for line in sorted(lines, key=lambda line: line.partition("\t")[2]))
    done = subprocess.run(["git", "mktree"], cwd=home, input=text.encode(), check=True, capture_output=True)
    return done.stdout.decode().strip()


def test_origin_is_preferred_and_others_are_named(farm: Path) -> None:
    setup.init(farm, agents=("backend",))
    mine = git(farm, "rev-parse", "coord/ledger")
    publish(farm, ("backend", {}))
    git(farm, "update-ref", "refs/remotes/alien/coord/ledger", "coord/ledger")
    git(farm, "update-ref", "refs/remotes/origin/coord/ledger", mine)
    git(farm, "update-ref", "-d", "refs/heads/coord/ledger")
    done = setup.init(farm)
    assert git(farm, "rev-parse", "coord/ledger") == mine
    assert any("alien" in note for note in done.notes)


def test_a_ledger_that_began_by_itself_on_a_clone_is_told_how_to_go_on(farm: Path, tmp_path: Path) -> None:
    """Somebody sent mail on the clone before setting up, so that its ledger has a beginning of its own."""
    setup.init(farm, agents=("backend", "frontend"))
    git(farm, "add", ".coord.yaml")
    git(farm, "commit", "-qm", "coord")
    there = clone_of(farm, tmp_path / "clone")
    with Coord.open(there, who="backend") as coord:
        key = keys.message("frontend", message(1))
        coord.record(coord.event("mail.sent", "word", [Change(key, codec.encode(message(1)))]))
    assert git(there, "rev-list", "--count", "coord/ledger") == "1"
    note, no_gate = setup.init(there).notes
    git(there, *note.split("`")[1].split()[1:])
    assert setup.init(there).notes == ("the branch coord/ledger was made from origin/coord/ledger", no_gate)
    with Coord.open(there) as coord:
        assert verify.reconcile(coord, verify.drift(coord)) == 1
    assert git(there, "rev-list", "--count", "coord/ledger") == "2"
