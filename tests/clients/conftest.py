"""A repository whose agents are real programs, each in its worktree, and the stand-ins of their models."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from clients.figures import FIGURES, LOST
from clients.programs import PATH, PROGRAMS, Program
from clients.standin import Model, Plain, Turn
from hooking import daemon
from support import git

AGENTS = ("backend", "frontend")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was measured, and that nothing could be reached but this machine."""
    terminalreporter.section("figures")
    for line in (
        *FIGURES,
        *(f"{name}: {count} packets for elsewhere, all lost" for name, count in sorted(LOST.items())),
    ):
        terminalreporter.line(line)


@pytest.fixture(autouse=True)
def _offline(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test runs where a program could reach more than loopback; what tried to is counted."""
    interfaces = [line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]]
    assert interfaces == ["lo"], f"run it by tests/clients/offline: there is {interfaces}"
    before = _lost()
    yield
    name = request.node.name.partition("[")[2].rstrip("]") or "claude"
    LOST[name] = LOST.get(name, 0) + _lost() - before


def _lost() -> int:
    names, counts = (line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Ip:"))
    return int(dict(zip(names, counts, strict=True))["OutNoRoutes"])


@dataclass(frozen=True)
class Ground:
    """A repository in which some programs know coord: the owner's checkout, and one for each agent."""

    repo: Path
    home: Path
    daemon: "subprocess.Popen[bytes]"
    stack: ExitStack
    pool: ThreadPoolExecutor = field(default_factory=ThreadPoolExecutor)

    def tree(self, agent: str) -> Path:
        """Return an agent's worktree."""
        return self.repo.parent / f"agent-{agent}"

    def model(self, program: Program, *script: Turn) -> Model:
        """Start a stand-in that plays SCRIPT."""
        folder = self.repo.parent / "transcripts"
        folder.mkdir(exist_ok=True)
        transcript = folder / f"{len(list(folder.iterdir()))}-{program.name}.txt"
        transcript.touch()
        return self.stack.enter_context(Model(program.dialect, script, transcript))

    def run(self, program: Program, agent: str, *script: Turn) -> Model:
        """Run a session in an agent's worktree until it is over; return its model with all that it was shown."""
        return self.start(program, self.tree(agent), *script).result()

    def start(self, program: Program, where: Path, *script: Turn, **env: str) -> "Future[Model]":
        """Start a session in WHERE that runs beside the test."""
        model = self.model(program, *script)

        def played() -> Model:
            ran = program.run(model, where, self.home, "Begin.", **env)
            assert ran.status == 0, ran
            model.played()
            return model

        return self.pool.submit(played)

    def coord(self, agent: str, *words: str) -> Plain:
        """Call coord as somebody else does, and return what it says."""
        command = [sys.executable, "-P", "-m", "coord", "--repo", str(self.repo), "--as", agent, *words, "--json"]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        plain: Plain = json.loads(done.stdout)
        return plain

    def mail(self, to: str, text: str, *words: str) -> Plain:
        """Send mail to an agent from the other one."""
        sender = next(agent for agent in AGENTS if agent != to)
        message: Plain = self.coord(sender, "mail", "send", to, text, *words)["message"]
        return message

    def held(self) -> dict[str, str]:
        """Return who holds which scope."""
        return {lock["scope"]: lock["holder"] for lock in self.coord("owner", "lock", "list")["locks"]}


@pytest.fixture(params=PROGRAMS, ids=lambda program: program.name)
def program(request: pytest.FixtureRequest) -> Program:
    """Each of the programs."""
    found: Program = request.param
    return found


@pytest.fixture
def ground(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    """A repository that all programs know coord in, a worktree for each agent, and a daemon of the same person."""
    home = tmp_path / ".home"
    monkeypatch.setenv("PATH", PATH)
    with ExitStack() as stack:
        found = Ground(repo, home, stack.enter_context(daemon(repo)), stack)
        for program in PROGRAMS:
            program.settle(home, [repo, *map(found.tree, AGENTS)])
        found.coord("owner", "agents", "install", *(program.name for program in PROGRAMS), "--write")
        git(repo, "add", "-A")
        git(repo, "commit", "-qm", "let the assistants know coord")
        found.coord("owner", "worktree", "add", *AGENTS)
        stack.enter_context(found.pool)
        yield found
