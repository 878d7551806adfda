"""Before an edit: what another has leased is refused in each client's words, what is free is leased."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from hooking import daemon, hook, recorded
from support import git

from coord.service import locks
from coord.service.coord import Coord

As = Callable[..., Coord]
EDITS = {
    "claude-2.1.330.PreToolUse.Edit": "src/locked.py",
    "claude-2.1.330.PreToolUse.Write": "src/new.py",
    "claude-2.1.330.PreToolUse.NotebookEdit": "n.ipynb",
    "codex-0.169.0.PreToolUse.apply_patch": "locked.py",
    "gemini-0.61.0.BeforeTool.write_file": "locked.py",
    "gemini-0.61.0.BeforeTool.replace": "app.py",
}


@pytest.fixture(params=["with a daemon", "without"])
def served(request: pytest.FixtureRequest, repo: Path) -> Iterator[None]:
    with daemon(repo) if request.param == "with a daemon" else nullcontext():
        yield


def client_of(name: str) -> str:
    return name.partition("-")[0]


def holders(coord: Coord) -> dict[str, str]:
    return {lock.scope: lock.holder for lock in locks.list_(coord).locks}


def test_another_s_lease_refuses_in_every_dialect(repo: Path, coord_for: As, served: None) -> None:
    locks.acquire(coord_for("backend"), ("src", "n.ipynb", "locked.py", "app.py"), note="mine")
    for name in EDITS:
        heard = hook(client_of(name), recorded(name, repo), repo, "frontend")
        assert heard.status == 0
        assert heard.err == ""
        for word in ("backend", "until", "coord mail send backend", "coord lock acquire", "“mine”"):
            assert word in heard.refusal, (name, heard)
        assert set(heard.told) == ({"decision", "reason"} if client_of(name) == "gemini" else {"hookSpecificOutput"})
    assert set(holders(coord_for("frontend")).values()) == {"backend"}


def test_what_is_free_is_leased_to_who_edits_it(repo: Path, coord_for: As, served: None) -> None:
    for name in EDITS:
        heard = hook(client_of(name), recorded(name, repo), repo, "frontend")
        assert (heard.status, heard.out, heard.err) == (0, "", "")
    assert holders(coord_for("owner")) == dict.fromkeys(EDITS.values(), "frontend")
    again = hook("claude", recorded("claude-2.1.330.PreToolUse.Edit", repo), repo, "backend")
    assert "frontend holds src/locked.py" in again.refusal


@pytest.mark.parametrize("mode", ["off", "warn"])
def test_without_auto_no_lease_is_taken_and_others_are_respected(repo: Path, coord_for: As, mode: str) -> None:
    config = repo / ".coord.yaml"
    config.write_text(f"{config.read_text()}hooks: {{lease: {mode}}}\n")
    payload = recorded("claude-2.1.330.PreToolUse.Edit", repo)
    heard = hook("claude", payload, repo, "frontend")
    assert heard.refusal == ""
    assert ("coord lock acquire" in heard.context) == (mode == "warn")
    assert holders(coord_for("owner")) == {}
    locks.acquire(coord_for("backend"), ("src/**",))
    assert "backend" in hook("claude", payload, repo, "frontend").refusal


def test_a_file_is_the_same_in_every_worktree_and_by_every_way(repo: Path, coord_for: As, served: None) -> None:
    git(repo, "worktree", "add", "-q", "../agent-frontend", "-b", "agent/frontend")
    git(repo, "worktree", "add", "-q", "../elsewhere", "-b", "elsewhere")
    (repo.parent / "way").symlink_to(repo / "web_app")
    locks.acquire(coord_for("backend"), ("web_app/index.html",))
    own = repo.parent / "agent-frontend"
    ways = [own / "web_app/index.html", repo / "web_app/index.html", repo.parent / "elsewhere/web_app/index.html"]
    ways += [repo.parent / "way/index.html", Path("web_app/../web_app/index.html")]
    for path in ways:
        payload = recorded("claude-2.1.330.PreToolUse.Write", own, tool_input={"file_path": str(path)})
        assert "backend holds" in hook("claude", payload, own).refusal, path


def test_what_is_none_of_coord_s_business_is_allowed(repo: Path, coord_for: As, tmp_path: Path) -> None:
    locks.acquire(coord_for("backend"), ("**",))
    outside = recorded("claude-2.1.330.PreToolUse.Write", repo, tool_input={"file_path": str(tmp_path / "x")})
    assert hook("claude", outside, repo, "frontend").out == ""
    plain = tmp_path / "plain"
    plain.mkdir()
    for _ in range(2):
        heard = hook("claude", recorded("claude-2.1.330.PreToolUse.Edit", plain), plain, "frontend")
        assert (heard.status, heard.out, heard.err) == (0, "", "")
        git(plain, "init", "-q")
    assert not (plain / ".git/coord").exists()


def test_a_lease_that_cannot_be_read_refuses_and_says_how_to_mend_it(repo: Path, coord_for: As, served: None) -> None:
    (repo / "locks/damaged.yaml").write_text("scope: [\n")
    heard = hook("claude", recorded("claude-2.1.330.PreToolUse.Edit", repo), repo, "frontend")
    assert "locks/damaged.yaml" in heard.refusal
    assert "git show coord/ledger" in heard.refusal
    read = hook("claude", recorded("claude-2.1.330.PreToolUse.Read", repo), repo, "frontend")
    assert read.refusal == ""


def test_leases_that_are_gone_altogether_refuse_where_there_were_any(repo: Path, coord_for: As) -> None:
    payload = recorded("claude-2.1.330.PreToolUse.Edit", repo)
    shutil.rmtree(repo / "locks")
    assert hook("claude", payload, repo, "frontend").refusal == ""
    locks.acquire(coord_for("backend"), ("web_app",))
    shutil.rmtree(repo / "locks")
    assert "coord doctor --fix" in hook("claude", payload, repo, "frontend").refusal
    (repo / "locks").symlink_to(repo.parent)
    assert "no real folder" in hook("claude", payload, repo, "frontend").refusal


def test_a_clone_where_coord_was_never_set_up_allows_and_is_left_alone(repo: Path, coord_for: As) -> None:
    locks.acquire(coord_for("backend"), ("src",))
    git(repo.parent, "clone", "-q", str(repo), "clone")
    clone = repo.parent / "clone"
    for payload in ("claude-2.1.330.PreToolUse.Edit", "claude-2.1.330.SessionStart"):
        assert hook("claude", recorded(payload, clone), clone, "frontend").out == ""
    assert not (clone / ".git/coord").exists()


def test_nothing_in_a_file_s_name_is_magic(repo: Path, coord_for: As) -> None:
    locks.acquire(coord_for("backend"), ("src/abc.py",))
    payload = recorded("claude-2.1.330.PreToolUse.Write", repo, tool_input={"file_path": f"{repo}/src/[a]*.py"})
    assert hook("claude", payload, repo, "frontend").out == ""
    assert holders(coord_for("owner")) == {"src/abc.py": "backend", r"src/\[a]\*.py": "frontend"}


@pytest.mark.parametrize("name", ["a\nb.py", "\x1b[31m.py", "a\udcff.py", "a\x9b.py"])
def test_a_file_whose_name_no_lease_can_have_is_protected_with_its_folder(repo: Path, coord_for: As, name: str) -> None:
    locks.acquire(coord_for("backend"), ("src/**",))
    edit = recorded("claude-2.1.330.PreToolUse.Edit", repo)
    heard = hook("claude", {**edit, "tool_input": {"file_path": f"{repo}/src/{name}"}}, repo, "frontend")
    assert "backend holds src/**" in heard.refusal
    assert not {"\x1b", "\x9b"} & set(heard.refusal)
    free = hook("claude", {**edit, "tool_input": {"file_path": f"{repo}/web_app/{name}"}}, repo, "frontend")
    assert (free.status, free.out, free.err) == (0, "", "")


def test_an_earlier_holder_is_not_vetoed_by_a_later_claim(repo: Path, coord_for: As) -> None:
    locks.acquire(coord_for("frontend"), ("src/**",))
    first = next((repo / "locks").glob("*.yaml"))
    later = first.read_text().replace("src/**", "src/locked.py").replace("holder: frontend", "holder: backend")
    (repo / "locks/src%2Flocked.py.yaml").write_text(later.replace("token: 1", "token: 2"))
    payload = recorded("claude-2.1.330.PreToolUse.Edit", repo)
    assert hook("claude", payload, repo, "frontend").refusal == ""
    assert "frontend" in hook("claude", payload, repo, "backend").refusal
