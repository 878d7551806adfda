"""Setting up: in every kind of repository, twice, on a clone, and without a trace elsewhere."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from coord.git import history
from coord.git.repo import Git
from coord.model import codec, keys
from coord.model.errors import ConfigError, CoordError, Corrupt, Refused, Unavailable, Usage
from coord.model.records import Change, Event, Lock, Message
from coord.service import setup, verify
from coord.service.coord import Coord
from coord.stores import oslock

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
IDS = [f"01KAJ3X5ZC9Q0V7T2D4M8N6P{number:02d}" for number in range(10, 40)]
FLOW = Path(__file__).parent.parent / "fixtures" / "claude-flow.yaml"


def git(cwd: Path, *args: str) -> str:
    done = subprocess.run(["git", "--no-optional-locks", *args], cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def farm(tmp_path: Path) -> Path:
    """A repository with a commit, in which coord was never set up."""
    return _farm(tmp_path / "farm")


def _farm(home: Path, *files: str) -> Path:
    home.mkdir()
    git(home, "init", "-q")
    for name in ("README.md", *files):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(f"{name}\n")
    git(home, "add", "-A")
    git(home, "commit", "-qm", "start")
    return home


def message(number: int, *, sender: str = "backend", to: str = "frontend") -> Message:
    return Message(
        id=IDS[number],
        sender=sender,
        to=(to,),
        subject=f"word {number}",
        body="so it is\n",
        sent_at=NOW,
        thread=IDS[number],
    )


def publish(home: Path, *events: tuple[str, dict[str, bytes | None]]) -> None:
    """Put events on the ledger alone, as if their files had never come here."""
    coord = Coord.open(home)
    made = [
        Event(
            id=IDS[-1 - number],
            kind="mail.sent",
            agent=agent,
            subject="word",
            at=NOW,
            changes=tuple(Change(key, data) for key, data in changes.items()),
        )
        for number, (agent, changes) in enumerate(events)
    ]
    coord.ledger.append(made, parent=coord.ledger.tip(), now=NOW)


def traces(home: Path) -> dict[str, object]:
    """Everything of the owner's that setting up must leave as it is."""
    common = home / ".git"
    return {
        "index": (common / "index").read_bytes() if (common / "index").exists() else None,
        "HEAD": (common / "HEAD").read_bytes(),
        "config": (common / "config").read_bytes(),
        "hooks": sorted((path.name, path.read_bytes()) for path in (common / "hooks").iterdir()),
        "status": git(home, "status", "--porcelain", "--untracked-files=all").replace("?? .coord.yaml", "").strip(),
        "refs": [line for line in git(home, "for-each-ref").splitlines() if "coord/ledger" not in line],
        "files": {path: (home / path).read_bytes() for path in git(home, "ls-files").splitlines()},
    }


def test_a_fresh_repository_gets_everything_and_loses_nothing(farm: Path) -> None:
    before = traces(farm)
    done = setup.init(farm, agents=("backend", "frontend"))
    assert done.agents == ("backend", "frontend")
    assert done.existed == ()
    assert {".coord.yaml", "inbox", "inbox/backend", "inbox/owner", "inbox/auto", "coord/ledger"} <= set(done.made)
    for name in ("backend", "frontend", "owner", "all", "auto"):
        assert (farm / "inbox" / name).is_dir()
    assert (farm / "inbox/backend/read").is_dir()
    assert traces(farm) == before


def test_the_ledger_begins_with_an_event(farm: Path) -> None:
    setup.init(farm, agents=("backend",))
    (first,) = history.entries(Git(farm))
    assert (first.kind, first.agent, first.subject) == ("coord.initialised", "coord", "backend")


def test_doing_it_again_makes_nothing(farm: Path) -> None:
    first = setup.init(farm, agents=("backend",))
    config, tip = (farm / ".coord.yaml").read_bytes(), git(farm, "rev-parse", "coord/ledger")
    exclude = (farm / ".git/info/exclude").read_bytes()
    again = setup.init(farm)
    assert (again.made, again.existed) == ((), first.made)
    assert (farm / ".coord.yaml").read_bytes() == config
    assert (farm / ".git/info/exclude").read_bytes() == exclude
    assert git(farm, "rev-parse", "coord/ledger") == tip


def test_an_agent_added_to_the_configuration_gets_a_mailbox(farm: Path) -> None:
    setup.init(farm, agents=("backend",))
    path = farm / ".coord.yaml"
    path.write_text("agents: [backend, mobile]\n")
    assert setup.init(farm).made == ("inbox/mobile",)
    assert path.read_text() == "agents: [backend, mobile]\n"


def test_agents_with_an_existing_configuration_are_refused(farm: Path) -> None:
    (farm / ".coord.yaml").write_text("# mine\n")
    with pytest.raises(Refused, match="never rewritten") as caught:
        setup.init(farm, agents=("backend",))
    assert "editor" in caught.value.hint
    assert not (farm / "inbox").exists()
    with pytest.raises(Refused):
        setup.init(farm, from_file=FLOW)


def test_without_agents_the_configuration_is_empty_and_says_how(farm: Path) -> None:
    done = setup.init(farm)
    assert done.agents == ()
    assert any("no agents yet" in note for note in done.notes)
    assert "# agents:" in (farm / ".coord.yaml").read_text()


def test_a_claude_flow_file_is_imported(farm: Path) -> None:
    done = setup.init(farm, from_file=FLOW)
    assert "pm-architect" in done.agents
    assert Coord.open(farm).config.coordinator == "pm-architect"
    assert any("topology" in note for note in done.notes)


@pytest.mark.parametrize(
    ("agents", "from_file", "kind", "word"),
    [
        (("Backend",), "", Usage, "Backend"),
        (("owner",), "", Usage, "taken"),
        (("a",), "flow.yaml", Usage, "twice"),
        ((), "nowhere.yaml", Unavailable, "nowhere.yaml"),
        ((), "latin.yaml", ConfigError, "UTF-8"),
        ((), "empty.yaml", ConfigError, "queen"),
    ],
)
def test_wrong_words_leave_nothing_behind(
    farm: Path, agents: tuple[str, ...], from_file: str, kind: type[CoordError], word: str
) -> None:
    (farm / "latin.yaml").write_bytes(b"queen: \xe9\n")
    (farm / "empty.yaml").write_text("")
    with pytest.raises(kind, match=word):
        setup.init(farm, agents=agents, from_file=farm / from_file if from_file else None)
    assert not (farm / ".coord.yaml").exists()
    assert not (farm / "inbox").exists()


def test_names_given_twice_count_once(farm: Path) -> None:
    assert setup.init(farm, agents=("backend", " backend ", "")).agents == ("backend",)


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    home = tmp_path / "empty"
    home.mkdir()
    git(home, "init", "-q", "--initial-branch=weird/über branch".replace(" ", "-"))
    before = traces(home)
    setup.init(home, agents=("backend",))
    assert traces(home) == before
    assert git(home, "rev-list", "--count", "coord/ledger") == "1"
    assert git(home, "symbolic-ref", "HEAD") == "refs/heads/weird/über-branch"


def test_from_a_subfolder_and_from_a_linked_worktree(farm: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git(farm, "worktree", "add", "-q", str(linked))
    (linked / "deep").mkdir()
    assert setup.init(linked / "deep", agents=("backend",)).home == str(farm)
    assert (farm / ".coord.yaml").is_file()
    assert not (linked / "inbox").exists()
    assert not git(linked, "status", "--porcelain")


def test_a_repository_that_tracks_files_in_the_folders(tmp_path: Path) -> None:
    home = _farm(tmp_path / "tracks", "inbox/README.md", "locks/README.md")
    before = traces(home)
    done = setup.init(home, agents=("backend",))
    assert "inbox" in done.existed
    assert traces(home) == before
    assert history.tree(Git(home), "coord/ledger") == {}


def test_a_bare_repository_is_refused(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    with pytest.raises(Refused, match="bare"):
        setup.init(tmp_path / "bare.git")


def test_no_repository_is_usage(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="not inside a git repository"):
        setup.init(tmp_path)


@pytest.mark.parametrize("what", ["link", "file"])
def test_something_in_a_folders_place_is_refused_before_anything_is_done(farm: Path, tmp_path: Path, what: str) -> None:
    if what == "link":
        (farm / "locks").symlink_to(tmp_path)
    else:
        (farm / "locks").write_text("not a folder\n")
    with pytest.raises(Corrupt, match="locks is no real folder"):
        setup.init(farm, agents=("backend",))
    assert not (farm / ".coord.yaml").exists()


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
    (there / "inbox" / verify.MARKER).unlink()
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
    (farm / "inbox" / verify.MARKER).unlink()
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
    (note,) = setup.init(there).notes
    git(there, *note.split("`")[1].split()[1:])
    assert setup.init(there).notes == ("the branch coord/ledger was made from origin/coord/ledger",)
    with Coord.open(there) as coord:
        assert verify.reconcile(coord, verify.drift(coord)) == 1
    assert git(there, "rev-list", "--count", "coord/ledger") == "2"


def test_a_branch_in_the_ledgers_way_is_named(farm: Path) -> None:
    git(farm, "branch", "coord")
    with pytest.raises(Refused, match="branch named coord"):
        setup.init(farm, agents=("backend",))
    git(farm, "branch", "-m", "coord", "other")
    assert setup.init(farm).home == str(farm)
    assert git(farm, "rev-list", "--count", "coord/ledger") == "1"


def test_many_at_once_make_one(farm: Path, tmp_path: Path) -> None:
    code = "import os, sys; from pathlib import Path; from coord.service import setup\n"
    code += "home, go = map(Path, sys.argv[1:])\n"
    code += "(go / str(os.getpid())).touch()\nwhile not (go / 'go').exists(): pass\nsetup.init(home, agents=())"
    go = tmp_path / "go"
    go.mkdir()
    running = [subprocess.Popen([sys.executable, "-c", code, str(farm), str(go)]) for _ in range(4)]
    deadline = time.monotonic() + 30
    while len(list(go.iterdir())) < len(running):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (go / "go").touch()
    assert [process.wait(60) for process in running] == [0] * len(running)
    assert git(farm, "rev-list", "--count", "coord/ledger") == "1"
