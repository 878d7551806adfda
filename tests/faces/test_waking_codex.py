"""An idle Codex session is woken by the daemon, through `codex queue`: once for a burst, and again if nothing came of it."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hooking import THIN, daemon, hook, recorded
from support import eventually

from coord.config.schema import Config
from coord.daemon.plan import Due, View, Wake
from coord.daemon.rules.wake import wake
from coord.service import history, mail
from coord.service.command import Prose
from coord.service.coord import Coord
from coord.service.session import sessions
from coord.service.wake import waking

As = Callable[..., Coord]
SOON = 90.0
# What it is asked, and then, as Codex does, the hook of the prompt that the message becomes.
CODEX = """#!{python}
import json, os, subprocess, sys
words = dict(word.split("=", 1) for word in sys.argv[2:])
with open({log!r}, "a") as file:
    file.write(json.dumps([sys.argv[1], words, os.environ.get("CODEX_HOME", "")]) + "\\n")
if os.path.exists({deaf!r}):
    sys.exit(1)
payload = {{"session_id": words["--thread"], "cwd": {repo!r}, "hook_event_name": "UserPromptSubmit", "prompt": words["--message"]}}
done = subprocess.run([sys.executable, "-I", "-S", {thin!r}, "codex"], input=json.dumps(payload).encode(), cwd={repo!r}, capture_output=True, check=True)
with open({shown!r}, "ab") as file:
    file.write(done.stdout + b"\\n")
"""


class Codex:
    """A program named codex, and what it was asked."""

    def __init__(self, folder: Path, repo: Path) -> None:
        self.log, self.deaf, self.shown = folder / "log", folder / "deaf", folder / "shown"
        names = {"log": self.log, "deaf": self.deaf, "repo": repo, "thin": THIN, "shown": self.shown}
        program = folder / "codex"
        program.write_text(CODEX.format(python=sys.executable, **{name: str(path) for name, path in names.items()}))
        program.chmod(0o755)

    def asked(self) -> list[list[object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


@pytest.fixture
def codex(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Codex:
    """A program named codex on the daemon's PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return Codex(folder, repo)


def begin(repo: Path) -> None:
    hook(
        "codex",
        recorded("codex-0.169.0.SessionStart", repo, session_id="one"),
        repo,
        "frontend",
        env={"CODEX_HOME": "/home/x/.codex"},
    )
    hook("codex", recorded("codex-0.169.0.Stop", repo, session_id="one"), repo, "frontend")


def send(coord: Coord, text: str) -> str:
    return mail.send(coord, ("frontend",), Prose(text)).message.id


def test_an_idle_session_is_called_once_for_a_burst(repo: Path, coord_for: As, codex: Codex) -> None:
    backend = coord_for("backend")
    with daemon(repo):
        begin(repo)
        sent = [send(backend, f"word {number}; rm -rf /") for number in range(5)]
        eventually(codex.shown.exists, within=SOON, what="that codex is asked")
        eventually(lambda: all(one[-8:] in codex.shown.read_text() for one in sent[:1]), within=SOON)
        (asked,) = codex.asked()
        assert asked == ["queue", {"--thread": "one", "--message": waking.NOTICE}, "/home/x/.codex"]
        eventually(lambda: len(history.log(coord_for("owner"), kind="session.woken").events) == 1, within=SOON)
    (event,) = history.log(coord_for("owner"), kind="session.woken").events
    assert (event.agent, event.facts["Way"], event.facts["Client"]) == ("frontend", "codex queue", "codex")


def test_one_that_nothing_came_of_is_tried_again_later(repo: Path, coord_for: As, codex: Codex) -> None:
    backend = coord_for("backend")
    codex.deaf.touch()
    with (repo / ".coord.yaml").open("a") as file:
        file.write("watch: {scan_every: 200ms}\n")
    begin(repo)
    with daemon(repo):
        send(backend, "word")
        eventually(lambda: len(codex.asked()) == 1, within=SOON)
        send(backend, "another")  # the daemon has looked again when it is adopted
        (repo / "inbox/frontend/by-hand.md").write_text("and a third\n")
        eventually(lambda: not (repo / "inbox/frontend/by-hand.md").exists(), within=SOON)
        assert len(codex.asked()) == 1
        codex.deaf.unlink()
        with sessions.opened(backend, "codex", "one", timeout=SOON) as kept:
            assert kept.session.wake is not None
            kept.session = replace(
                kept.session, wake=replace(kept.session.wake, at=backend.now() - timedelta(minutes=2))
            )
        eventually(codex.shown.exists, within=SOON, what="that it is tried again")
        assert len(codex.asked()) == 2


def test_one_that_is_at_work_or_gone_is_not_called(repo: Path, coord_for: As, codex: Codex) -> None:
    backend = coord_for("backend")
    begin(repo)
    with sessions.opened(backend, "codex", "one", timeout=SOON) as kept:
        assert kept.session.process is not None
        gone = replace(kept.session.process, started_at="1.00")
        kept.session = replace(kept.session, process=gone)
    hook("codex", recorded("codex-0.169.0.UserPromptSubmit", repo, session_id="two"), repo, "frontend")
    with daemon(repo):
        sent = send(backend, "word")
        begin_again = recorded("codex-0.169.0.Stop", repo, session_id="three")
        hook("codex", begin_again, repo, "frontend")
        eventually(codex.shown.exists, within=SOON, what="that the idle one is called")
        assert sent[-8:] in codex.shown.read_text()
        assert [asked[1] for asked in codex.asked()] == [{"--thread": "three", "--message": waking.NOTICE}]


def test_nobody_is_woken_while_the_clock_is_unsteady() -> None:
    due = Due("codex", "one", "codex queue", ("x",))
    view = View(now=datetime(2026, 11, 22, tzinfo=UTC), config=Config(), due=(due,))
    assert wake(view) == [Wake(due)]
    assert wake(replace(view, steady=False)) == []
