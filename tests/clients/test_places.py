"""Where coord puts itself is where the programs look, and what it takes out they see no more; Claude takes the plugin."""

import json
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from clients.conftest import Ground
from clients.programs import PROGRAMS, Claude, Program
from clients.standin import Say
from clients.terminal import Terminal
from support import eventually

ROOT = Path(__file__).parents[2]
CLAUDE = Claude()
NOBODY = "http://127.0.0.1:9"
FOUND = {
    "claude": r"coord: coord mcp - ✔ Connected",
    "codex": "coord  coord    mcp   -    -    enabled",
    "gemini": "coord: coord mcp (stdio) - Connected",
}


def call(program: Program, where: Path, home: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [program.name, *words],
        cwd=where,
        env=program.env(NOBODY, home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    print(done.stdout)
    return done.returncode, done.stdout


def test_each_program_finds_the_server_in_a_worktree_until_it_is_removed(ground: Ground, program: Program) -> None:
    tree = ground.tree("backend")
    # Gemini gives a server five seconds here, which the first of a busy machine may miss.
    eventually(lambda: FOUND[program.name] in call(program, tree, ground.home, "mcp", "list")[1], within=120)
    words = ("--repo", str(tree), "agents", "remove", *(one.name for one in PROGRAMS), "--write")
    subprocess.run(["coord", *words], check=True, env=CLAUDE.env(NOBODY, ground.home), capture_output=True, timeout=60)
    assert "coord mcp" not in " ".join(call(program, tree, ground.home, "mcp", "list")[1].split())


@pytest.mark.parametrize("what", ["plugin", "."])
def test_claude_takes_the_plugin_and_the_list_that_leads_to_it(tmp_path: Path, what: str) -> None:
    copy = tmp_path / "copy"
    for name in ("plugin", ".claude-plugin"):
        shutil.copytree(ROOT / name, copy / name)
    words = ("plugin", "validate", str(copy / what), "--strict")
    status, said = call(CLAUDE, copy, tmp_path, *words)
    assert (status, "Validation passed" in said) == (0, True)
    manifest = next((copy / what / ".claude-plugin").iterdir())
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "colour": "green"}))
    assert call(CLAUDE, copy, tmp_path, *words)[0] == 1


def test_a_session_anywhere_has_what_the_plugin_brings(ground: Ground, tmp_path: Path) -> None:
    home = tmp_path / "another"
    CLAUDE.settle(home, [ground.repo])
    for words in (("marketplace", "add", str(ROOT)), ("install", "coord@coord")):
        assert call(CLAUDE, ground.repo, home, "plugin", *words)[0] == 0
    subprocess.run(["git", "rm", "-rq", ".mcp.json", ".claude"], cwd=ground.repo, check=True)
    assert "plugin:coord:coord: coord mcp - ✔ Connected" in call(CLAUDE, ground.repo, home, "mcp", "list")[1]
    said = call(CLAUDE, ground.repo, home, "plugin", "details", "coord")[1]
    for word in ("Skills (4)", "handover, mail, status", "Hooks (8)", "MCP servers (1)"):
        assert word in said


def test_a_session_runs_the_monitor_of_the_plugin(ground: Ground) -> None:
    model = ground.model(CLAUDE, [Say("done")])
    words = [*CLAUDE.words_at_terminal(model.url, "Begin."), "--plugin-dir", str(ROOT / "plugin")]
    env = CLAUDE.env(model.url, ground.home)
    with Terminal(ground.repo.parent / "tmux", words, ground.tree("backend"), env) as terminal:

        def runs() -> bool:
            with suppress(psutil.Error):
                below = psutil.Process(terminal.pid).children(recursive=True)
                return any("coord hook claude monitor" in " ".join(one.cmdline()) for one in below)
            return False

        eventually(runs, within=120, what="the monitor")
