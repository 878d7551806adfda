"""coord puts itself into the files of coding assistants and takes itself out, and every other byte stays."""

import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from support import git

from coord.faces.mcp import tools
from coord.model import budget
from coord.model.errors import Conflict, Refused
from coord.service import agents
from coord.service.clients import claude, codex, gemini, guide
from coord.service.coord import Coord

Open = Callable[..., Coord]
README = Path(__file__).parents[2] / "README.md"
ALL: tuple[agents.Target, ...] = ("claude", "codex", "gemini", "guide")
PATHS = [file.path for files in agents.FILES.values() for file in files]


def contents(top: Path) -> dict[str, bytes]:
    return {path: (top / path).read_bytes() for path in PATHS if (top / path).exists()}


def test_without_a_word_to_write_the_diff_is_shown_and_nothing_else_happens(repo: Path, coord_for: Open) -> None:
    shown = agents.install(coord_for("owner"), ("claude",))
    assert contents(repo) == {}
    assert (shown.written, shown.exit_status) == (False, 1)
    assert [edit.path for edit in shown.edits] == [".mcp.json", ".claude/settings.json"]
    assert '+    "coord": {"command": "coord", "args": ["mcp"]}\n' in shown.edits[0].diff


def test_installed_twice_is_installed_once_and_removed_is_gone(repo: Path, coord_for: Open) -> None:
    coord = coord_for("owner")
    assert agents.install(coord, ALL, write=True).exit_status == 0
    first = contents(repo)
    assert sorted(first) == sorted(PATHS)
    again = agents.install(coord, ALL, write=True)
    assert (again.changes, again.exit_status, contents(repo)) == (False, 0, first)
    assert {part.state for part in agents.status(coord).parts} == {"installed"}
    agents.remove(coord, ALL, write=True)
    assert contents(repo) == {}
    assert not (repo / ".claude").exists()
    assert {part.state for part in agents.status(coord).parts} == {"missing"}


def test_the_files_say_what_their_clients_read(repo: Path, coord_for: Open) -> None:
    agents.install(coord_for("owner"), ALL, write=True)
    server = {"coord": {"command": "coord", "args": ["mcp"]}}
    assert json.loads((repo / ".mcp.json").read_text()) == {"mcpServers": server}
    assert tomllib.loads((repo / ".codex/config.toml").read_text()) == {"mcp_servers": server}
    assert json.loads((repo / ".gemini/settings.json").read_text())["mcpServers"] == server
    for path, hooks, client in (
        (".claude/settings.json", claude.HOOKS, "claude"),
        (".codex/hooks.json", codex.HOOKS, "codex"),
        (".gemini/settings.json", gemini.HOOKS, "gemini"),
    ):
        found = json.loads((repo / path).read_text())["hooks"]
        assert found == {event: list(groups) for event, groups in hooks.items()}
        commands = {hook["command"] for groups in found.values() for group in groups for hook in group["hooks"]}
        assert commands - {"coord hook claude wait"} == {f"coord hook {client}"}
    (before,) = json.loads((repo / ".claude/settings.json").read_text())["hooks"]["PreToolUse"]
    assert before["hooks"][0]["onFailure"] == "block"
    for event in ("SessionStart", "Stop"):
        _, waiter = json.loads((repo / ".claude/settings.json").read_text())["hooks"][event]
        assert waiter["hooks"][0]["command"] == "coord hook claude wait"
        assert waiter["hooks"][0]["asyncRewake"] is True


def test_a_broken_file_is_refused_with_its_line_and_nothing_is_written(repo: Path, coord_for: Open) -> None:
    (repo / ".claude").mkdir()
    (repo / ".claude/settings.json").write_text('{\n  "model": "x"\n  "hooks": {}\n}\n')
    before = contents(repo)
    for run in (agents.install, agents.remove):
        with pytest.raises(Refused, match=r"settings\.json, line 3: a comma or } is wanted") as refused:
            run(coord_for("owner"), ("claude",), write=True)
        assert (refused.value.facts["line"], "nothing is written" in refused.value.hint) == (3, True)
    assert contents(repo) == before
    told = agents.status(coord_for("owner"))
    assert [part.state for part in told.parts if part.client == "claude"] == ["missing", "broken"]
    assert "settings.json, line 3" in told.notes[0]


def test_a_file_that_is_no_text_is_refused(repo: Path, coord_for: Open) -> None:
    (repo / ".mcp.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(Refused, match=r"is not UTF-8 \(byte 7\)"):
        agents.install(coord_for("owner"), ("claude",), write=True)


def test_a_link_out_of_the_repository_is_not_written_through(repo: Path, coord_for: Open, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (repo / ".claude").symlink_to(outside)
    with pytest.raises(Refused, match="outside of"):
        agents.install(coord_for("owner"), ("claude",), write=True)
    assert [*outside.iterdir()] == []
    assert not (repo / ".mcp.json").exists()


def test_a_link_within_stays_one_and_a_file_keeps_its_mode(repo: Path, coord_for: Open) -> None:
    (repo / "shared.json").write_text('{\n  "a": 1\n}\n')
    (repo / "shared.json").chmod(0o600)
    (repo / ".mcp.json").symlink_to("shared.json")
    agents.install(coord_for("owner"), ("claude",), write=True)
    assert (repo / ".mcp.json").readlink() == Path("shared.json")
    assert (repo / "shared.json").stat().st_mode & 0o777 == 0o600
    assert json.loads((repo / "shared.json").read_text())["mcpServers"]


def test_what_was_changed_meanwhile_is_not_overwritten(repo: Path, coord_for: Open) -> None:
    coord = coord_for("owner")
    plan = agents._planned(coord, claude.FILES[0], present=True)
    (repo / ".mcp.json").write_text("{}")
    with pytest.raises(Conflict, match="changed meanwhile"):
        agents._write(plan)
    assert (repo / ".mcp.json").read_text() == "{}"


def test_a_server_that_only_has_the_name_stays(repo: Path, coord_for: Open) -> None:
    text = '{\n  "mcpServers": {\n    "coord": {"command": "coordinates"}\n  }\n}\n'
    (repo / ".mcp.json").write_text(text)
    with pytest.raises(Refused, match="line 3: a server named coord"):
        agents.install(coord_for("owner"), ("claude",), write=True)
    agents.remove(coord_for("owner"), ("claude",), write=True)
    assert (repo / ".mcp.json").read_text() == text


def test_it_says_what_keeps_the_files_from_the_agents(
    repo: Path, coord_for: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repo / ".gitignore").write_text(".claude/\n")
    done = agents.install(coord_for("owner"), ("claude",), write=True)
    assert "git ignores .claude/settings.json: the worktrees of agents will not have it" in done.notes
    assert "commit .mcp.json: a worktree has it when its branch has the commit" in done.notes
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "agents")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").symlink_to(next(f"{at}/git" for at in os.get_exec_path() if Path(at, "git").exists()))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    notes = agents.status(coord_for("owner")).notes
    assert not [note for note in notes if note.startswith("commit")]
    assert [note for note in notes if note.startswith("coord is not on the PATH")]


def test_what_teaches_agents_is_short_and_the_readme_quotes_it() -> None:
    section, *_ = guide.FILES
    assert budget.estimate(section.installed("")) < 500
    assert f"```markdown\n{guide.TEXT}```\n" in README.read_text()


def test_a_claude_md_that_leads_to_agents_md_stays(repo: Path, coord_for: Open) -> None:
    (repo / "CLAUDE.md").write_text("# Rules\n\nSee @AGENTS.md first.\n")
    for run in (agents.install, agents.remove):
        run(coord_for("owner"), ("guide",), write=True)
        assert (repo / "CLAUDE.md").read_text() == "# Rules\n\nSee @AGENTS.md first.\n"


def test_nor_does_one_that_is_a_link_to_it(repo: Path, coord_for: Open) -> None:
    (repo / "AGENTS.md").write_text("# Rules\n")
    (repo / "CLAUDE.md").symlink_to("AGENTS.md")
    agents.install(coord_for("owner"), ("guide",), write=True)
    section, *_ = guide.FILES
    assert (repo / "CLAUDE.md").read_text() == section.installed("# Rules\n")
    assert {part.state for part in agents.status(coord_for("owner")).parts if part.client == "guide"} == {"installed"}
    agents.remove(coord_for("owner"), ("guide",), write=True)
    assert ((repo / "CLAUDE.md").is_symlink(), (repo / "CLAUDE.md").read_text()) == (True, "# Rules\n")


def test_no_agent_installs_itself() -> None:
    assert {"agents_install", "agents_remove"} & tools.every().keys() == set()
    assert "agents_status" in tools.every()
