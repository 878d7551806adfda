"""What every test may ask for: a real repository, and coord opened in it as somebody."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import git

from coord.service import setup
from coord.service.coord import Coord

# The real assistants are large downloads: `make test-clients` installs them, and says where.
collect_ignore = [] if os.environ.get("COORD_CLIENTS") else ["clients"]

# A shell that begins this behind itself has it ignore interrupts, and so would all that is begun here.
signal.signal(signal.SIGINT, signal.default_int_handler)

CONFIG = """\
format: 1
agents:
  backend: {role: Backend Developer, domain: [apps_script/**, "*.js"]}
  frontend: {role: Frontend Developer, domain: [web_app/**, pages]}
  security: {role: Security, domain: [auth, secrets, permissions]}
  pm-architect: {role: Orchestrator}
coordinator: pm-architect
groups:
  web: [backend, frontend]
"""


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the developer's git settings or identity, nor leaves traces in their home."""
    home = tmp_path / ".home"
    home.mkdir()
    for name in [name for name in os.environ if name.startswith(("GIT_", "COORD_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Owner\n\temail = owner@example.com\n[init]\n\tdefaultBranch = main\n"
    )


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository of an owner: one commit on main, a few files, coord set up in it."""
    home = tmp_path / "farm"
    home.mkdir()
    git(home, "init", "-q")
    for name, text in {
        "README.md": "# Farm\n",
        "apps_script/chefs.js": "var a = 1;\n",
        "web_app/index.html": "<p>\n",
    }.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (home / ".coord.yaml").write_text(CONFIG)
    git(home, "add", "-A")
    git(home, "commit", "-qm", "start")
    setup.init(home)
    return home


@pytest.fixture
def coord_for(repo: Path) -> Iterator[Callable[..., Coord]]:
    """Open the repository as an agent; what it recorded is committed when the test ends."""
    opened: list[Coord] = []

    def open_as(who: str = "", start: Path | None = None) -> Coord:
        opened.append(Coord.open(start or repo, who=who))
        return opened[-1]

    yield open_as
    for coord in opened:
        coord.settle()
