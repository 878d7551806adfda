"""Setting up: in every kind of repository, twice, at once, and without a trace elsewhere."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from neverset import farm_in, git, traces

from coord.git import history
from coord.git.repo import Git
from coord.model.errors import ConfigError, CoordError, Corrupt, Refused, Unavailable, Usage
from coord.service import branches, setup
from coord.service.coord import Coord

FLOW = Path(__file__).parent.parent / "fixtures" / "claude-flow.yaml"


@pytest.fixture
def farm(tmp_path: Path) -> Path:
    """A repository with a commit, in which coord was never set up."""
    return farm_in(tmp_path / "farm")


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


@pytest.mark.parametrize("way", [{"agents": ("backend",)}, {"from_file": FLOW}, {}], ids=["agents", "flow", "nobody"])
def test_the_branch_that_is_checked_out_then_is_the_base_for_good(farm: Path, way: dict[str, Any]) -> None:
    git(farm, "switch", "-qc", "trunk")
    done = setup.init(farm, **way)
    assert any("merged into trunk" in note for note in done.notes)
    assert "into: trunk" in (farm / ".coord.yaml").read_text()
    git(farm, "switch", "-qc", "an-idea")
    assert branches.base(Coord.open(farm)) == "trunk"


@pytest.mark.parametrize("where", ["--detach", "agent/backend", "coord/mine"])
def test_where_no_branch_can_be_meant_as_the_base_that_is_said(farm: Path, where: str) -> None:
    git(farm, "switch", "-q", *(["--detach"] if where == "--detach" else ["-c", where]))
    done = setup.init(farm, agents=("backend",))
    assert any("set merge.into" in note for note in done.notes)
    assert Coord.open(farm).config.merge.into == ""


def test_that_an_older_configuration_names_no_base_is_said(farm: Path) -> None:
    (farm / ".coord.yaml").write_text("agents: [backend]\n")
    assert any("set merge.into" in note for note in setup.init(farm).notes)
    (farm / ".coord.yaml").write_text("agents: [backend]\nmerge: {into: main}\n")
    assert not any("merge.into" in note for note in setup.init(farm).notes)


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
    home = farm_in(tmp_path / "tracks", "inbox/README.md", "locks/README.md")
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
