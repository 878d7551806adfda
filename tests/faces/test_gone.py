"""In a folder that is gone, as a worktree that was removed under a session, every face says so in a word."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hooking import THIN

GONE = 'cd "$1" && rmdir "$1" && shift && exec "$@"'
COORD = (sys.executable, "-P", "-m", "coord")
SERVES = """
import sys
from coord.thin import entry
sys.argv[0] = "coord"
entry.main()
"""
THIN_ENTRY = (sys.executable, "-P", "-c", SERVES)
STOP = {"hook_event_name": "Stop", "session_id": "one", "cwd": "/nowhere/at/all"}


def gone(tmp_path: Path, *words: str, said: object = "", **env: str) -> subprocess.CompletedProcess[str]:
    folder = tmp_path / "gone"
    folder.mkdir()
    done = subprocess.run(
        ["sh", "-c", GONE, "sh", str(folder), *words],
        input=said if isinstance(said, str) else json.dumps(said),
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.mark.parametrize("words", [("status",), ("init",), ("watch", "--once"), ("mail", "wait"), ("mcp", "--here")])
def test_a_command_says_that_its_folder_is_gone(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = gone(tmp_path, *COORD, *words)
    assert done.returncode == 2
    assert "the folder that this was started in is gone" in done.stderr
    assert "--repo PATH" in done.stderr


@pytest.mark.parametrize("words", [("mcp",), ("mcp", "--repo", "here"), ("mcp", "--as", "backend")])
def test_a_server_says_so_too(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = gone(tmp_path, *THIN_ENTRY, *words)
    assert done.returncode == 2
    assert "the folder that this was started in is gone" in done.stderr
    assert "--repo PATH" in done.stderr


def test_a_server_that_is_told_its_repository_serves(tmp_path: Path, repo: Path) -> None:
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    said = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}) + "\n"
    done = gone(tmp_path, *THIN_ENTRY, "mcp", "--repo", str(repo), "--as", "backend", said=said)
    assert json.loads(done.stdout.splitlines()[0])["result"]["serverInfo"]["name"] == "coord", done.stderr


@pytest.mark.parametrize("beside", [(), ("wait",), ("monitor",)])
@pytest.mark.parametrize("client", ["claude", "codex", "gemini"])
def test_a_hook_says_that_it_looks_at_nothing(tmp_path: Path, client: str, beside: tuple[str, ...]) -> None:
    done = gone(tmp_path, sys.executable, "-I", "-S", str(THIN), client, *beside, said=STOP)
    assert done.returncode == 1
    assert "the folder that this session is in is gone" in done.stderr
    assert done.stdout == ""


def test_a_hook_goes_where_its_client_says(tmp_path: Path, repo: Path) -> None:
    told = gone(
        tmp_path, sys.executable, "-I", "-S", str(THIN), "claude",
        said={**STOP, "hook_event_name": "SessionStart", "source": "startup", "cwd": str(repo)},
        CLAUDE_PROJECT_DIR=str(repo), COORD_AGENT="backend",
    )  # fmt: skip
    assert "you are backend" in told.stdout, told.stderr
    whole = gone(Path(repo), *COORD, "hook", "--here", "claude", said={**STOP, "cwd": str(repo)}, COORD_AGENT="backend")
    assert (whole.returncode, whole.stderr) == (0, "")
