"""A line is typed into a pane of a real tmux, once, and only where that disturbs nobody."""

import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import mutants_waking
import pytest
from hooking import THIN, daemon
from support import eventually

from coord import tmux
from coord.model.errors import NotFound
from coord.service import history, mail
from coord.service.command import Prose
from coord.service.coord import Coord
from coord.service.session import sessions
from coord.service.wake import calling, waking
from coord.tmux import Ended, Pane

As = Callable[..., Coord]
SOON = 90.0
# As a client does: it shows TEXT, calls its hooks, and logs what lines it gets.
PROGRAM = """
import json, os, subprocess, sys
shown, log, repo, thin = sys.argv[1:]
def hook(event, **more):
    if repo:
        payload = json.dumps({"session_id": "one", "cwd": repo, "hook_event_name": event, **more}).encode()
        subprocess.run([sys.executable, "-I", "-S", thin, "gemini"], input=payload, cwd=repo, stdout=subprocess.DEVNULL)
hook("SessionStart", source="startup")
while True:
    print(shown, end="", flush=True)
    line = input()
    with open(log, "a") as file:
        file.write(line + "\\n")
    hook("BeforeAgent", prompt=line)
    hook("AfterAgent", prompt=line, prompt_response="done")
"""


class Server:
    """A server of tmux, with the program in its only pane."""

    def __init__(self, folder: Path) -> None:
        self.socket, self.log, self.lock = folder / "socket", folder / "log", folder / "lock"
        self.folder = folder

    def run(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", str(self.socket), "-f", "/dev/null", *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def begin(self, shown: str, *, repo: str = "", env: tuple[str, ...] = ()) -> Pane:
        words = [sys.executable, "-c", PROGRAM, shown, str(self.log), repo, str(THIN)]
        made = self.run(
            "new-session", "-d", "-x", "100", "-y", "20", "-P", "-F", "#{pane_id} #{pane_pid}", *env, *words
        )
        pane, pid = made.split()
        last = shown.splitlines()[-1].strip()
        eventually(lambda: last in self.run("capture-pane", "-p", "-t", pane), within=SOON, what="the prompt")
        return Pane(str(self.socket), pane, int(pid))

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def nudge(self, pane: Pane) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(tmux.command(pane.socket, pane.id, pane.pid, self.lock, waking.NOTICE))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "terminal"
    folder.mkdir()
    made = Server(folder)
    yield made
    subprocess.run(["tmux", "-S", str(made.socket), "kill-server"], capture_output=True, check=False)


@pytest.mark.parametrize(
    "shown", ["ready\n> ", "> Type your message or @path/to/file\n", "1. Tip\n *   Type your message\n"]
)
def test_an_idle_prompt_gets_one_line(server: Server, shown: str) -> None:
    assert server.begin(shown).nudge(server.lock, waking.NOTICE) == Ended.TYPED
    eventually(server.lines, within=SOON)
    assert server.lines() == [waking.NOTICE]


def test_five_at_once_are_one_line(server: Server) -> None:
    pane = server.begin("> ")
    for process in [server.nudge(pane) for _ in range(5)]:
        assert process.wait(SOON) == Ended.TYPED
    eventually(server.lines, within=SOON)
    assert server.lines() == [waking.NOTICE]


@pytest.mark.parametrize(
    "shown",
    [
        "Allow this command\n> ",
        "1. Yes\n2. No\n> ",
        "Overwrite [y/N]\n> ",
        "Which one?\n> ",
        "> half a pro",
        "no prompt",
    ],
)
def test_nothing_is_typed_into_a_question_or_a_half_typed_prompt(server: Server, shown: str) -> None:
    pane = server.begin(shown)
    before = server.run("capture-pane", "-p", "-t", pane.id)
    assert pane.nudge(server.lock, waking.NOTICE) == Ended.BUSY
    assert server.run("capture-pane", "-p", "-t", pane.id) == before
    assert server.lines() == []


def test_copy_mode_is_left_first(server: Server) -> None:
    pane = server.begin("> ")
    server.run("copy-mode", "-t", pane.id)
    assert pane.nudge(server.lock, waking.NOTICE) == Ended.TYPED
    eventually(server.lines, within=SOON)
    assert server.lines() == [waking.NOTICE]


def test_nothing_is_typed_where_the_pane_is_gone_or_another_s(server: Server) -> None:
    pane = server.begin("> ")
    assert Pane(pane.socket, "%999", pane.pid).nudge(server.lock, waking.NOTICE) == Ended.GONE
    with subprocess.Popen(["sleep", "600"]) as other:
        ended = Pane(pane.socket, pane.id, other.pid).nudge(server.lock, waking.NOTICE)
        other.kill()
    assert ended == Ended.GONE
    server.run("kill-server")
    assert pane.nudge(server.lock, waking.NOTICE) == Ended.GONE
    assert server.lines() == []


@pytest.mark.timeout(400)
@pytest.mark.parametrize("mode", ["tmux", "off"])
def test_the_daemon_wakes_an_idle_session_so_where_that_is_allowed(
    repo: Path, coord_for: As, server: Server, mode: str
) -> None:
    with (repo / ".coord.yaml").open("a") as file:
        file.write(f"hooks: {{nudge: {mode}}}\n")
    backend = coord_for("backend")
    pane = server.begin("> ", repo=str(repo), env=("-e", "COORD_AGENT=frontend"))
    session = sessions.find(backend, "gemini", "one")
    assert session is not None
    assert (session.socket, session.pane, session.state) == (str(server.socket), pane.id, "idle")
    mail.send(backend, ("frontend",), Prose("word; rm -rf /"))
    if mode == "off":
        assert list(calling.due(backend)) == []
        return
    with daemon(repo):
        owner = coord_for("owner")
        eventually(lambda: history.log(owner, kind="session.woken").events, within=SOON, what="that it is woken")
    (event,) = history.log(owner, kind="session.woken").events
    assert (event.agent, event.facts["Way"], event.facts["Client"]) == ("frontend", "tmux", "gemini")
    assert server.lines() == [waking.NOTICE]


def test_where_there_is_no_tmux_that_is_said(
    repo: Path, coord_for: As, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (repo / ".coord.yaml").open("a") as file:
        file.write("hooks: {nudge: tmux}\n")
    backend = coord_for("backend")
    server.begin("> ", repo=str(repo), env=("-e", "COORD_AGENT=frontend"))
    mail.send(backend, ("frontend",), Prose("word"))
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(NotFound, match="tmux is not on the daemon's PATH"):
            calling.begin(backend, "gemini", "one", "tmux")
    assert server.lines() == []


@pytest.mark.parametrize("mutant", mutants_waking.PANE)
def test_a_planted_fault_is_caught(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, mutant: str
) -> None:
    plant, check = mutants_waking.PANE[mutant]
    wanted = inspect.signature(globals()[check]).parameters
    given = {name: "Which one?\n> " if name == "shown" else request.getfixturevalue(name) for name in wanted}
    plant(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception, OSError)):
        globals()[check](**given)
