"""What a short command loads: its start is most of what it takes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hooking import THIN, daemon

from coord.service import mail
from coord.service.command import Prose
from coord.service.commands import LISTED
from coord.service.coord import Coord

As = Callable[..., Coord]
_SHOWN = """
import sys
from coord import deferral
try:
    {call}
except SystemExit as ended:
    assert not ended.code, ended.code
print(*(name for name, module in sys.modules.items() if type(module) is not deferral.Deferred), file=sys.stderr)
"""
_ALL = {module.__name__ for module, _ in LISTED.values()}
# Each costs a start more than 5 ms.
_HEAVY = {"git", "sqlite_utils", "filelock", "psutil", "rich.console", "difflib", "subprocess", "tempfile", "traceback"}
if sys.version_info < (3, 12):  # from then on `dataclasses` asks it for every class
    _HEAVY.add("inspect")


def loaded(call: str, *words: str, cwd: Path, agent: str, given: str = "") -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", _SHOWN.format(call=call), *words],
        cwd=cwd,
        env={**os.environ, "COORD_AGENT": agent},
        input=given,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stderr.split())


def test_a_command_loads_its_own_module_and_nothing_heavy(repo: Path, coord_for: As) -> None:
    mail.send(coord_for("backend"), ("frontend",), Prose("Hello"))
    coord_for("backend").settle()
    found = loaded("from coord import main; main.main()", "mail", "list", cwd=repo, agent="frontend")
    assert found & _ALL == {"coord.service.mail"}
    assert not found & _HEAVY


def test_a_hook_in_a_process_of_its_own_loads_little_and_runs_no_git(repo: Path, coord_for: As) -> None:
    payload = {
        "session_id": "s1",
        "cwd": str(repo),
        "hook_event_name": "PreToolUse",
        "tool_name": "Edit",
        "tool_input": {"file_path": str(repo / "app.py"), "old_string": "a", "new_string": "b"},
    }

    def again() -> set[str]:
        call = "from coord.thin import here; here.main()"
        return loaded(call, "claude", str(os.getpid()), "", cwd=repo, agent="frontend", given=json.dumps(payload))

    again()  # takes the lease; what follows is every further edit
    found = again()
    assert found & _ALL <= {"coord.service.locks", "coord.service.session.sessions"}
    assert not found & _HEAVY


_INTERRUPTED = """
import signal, sys
loading = sys.argv[1]
class Interrupts:
    def find_spec(self, name, *_):
        if name == loading:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Interrupts())
from coord.thin import entry
entry.sys.argv = ["coord", *sys.argv[2:]]
entry.main()
"""


@pytest.mark.parametrize(
    ("loading", "command", "said"),
    [
        ("coord.main", "mail list", "\ncoord: interrupted; nothing is half done\n"),
        ("coord.service.commands", "status", "\ncoord: interrupted; nothing is half done\n"),
        ("coord.thin.relay", "mcp", "\ncoord: interrupted; nothing is half done\n"),
        ("coord.thin.hook", "hook claude", ""),
    ],
)
def test_an_interrupt_while_it_loads_ends_it_in_a_word(repo: Path, loading: str, command: str, said: str) -> None:
    words = [sys.executable, "-P", "-c", _INTERRUPTED, loading, *command.split()]
    done = subprocess.run(words, cwd=repo, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (130, said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--az", "backend"), "did you mean --as?"),
        (("--repo",), "requires an argument"),
        (("backend",), "backend"),
    ],
)
def test_a_server_whose_words_are_wrong_says_so_though_a_daemon_runs(
    repo: Path, words: tuple[str, ...], said: str
) -> None:
    with daemon(repo):
        command = [sys.executable, "-P", "-m", "coord", "mcp", *words]
        done = subprocess.run(command, cwd=repo, input="", capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_hook_whose_second_word_is_wrong_says_so_and_blocks_nothing(repo: Path) -> None:
    words = [sys.executable, "-I", "-S", str(THIN), "claude", "wiat"]
    done = subprocess.run(words, cwd=repo, input="{}", capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "`wait` and `monitor` alone" in done.stderr
