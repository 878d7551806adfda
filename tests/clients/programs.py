"""The three real programs: how each is started, with a home of its own, and what its tools are called."""

import json
import os
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clients.dialects import Anthropic, Google, OpenAI
from clients.standin import Blocks, Call, Dialect, Model, Plain

INSTALLED = Path(os.environ.get("COORD_CLIENTS", ""))
PATH = f"{Path(sys.executable).parent}:{INSTALLED / 'node_modules/.bin'}:/usr/local/bin:/usr/bin:/bin"
NO_KEY = "not-a-real-key"
_LONGEST = 150.0  # seconds for a session that needs ten on a machine with nothing else to do


@dataclass(frozen=True)
class Ran:
    """A session that is over."""

    status: int
    out: str
    err: str


class Program(ABC):
    """One of the coding assistants."""

    name: str
    dialect: Dialect

    @abstractmethod
    def settle(self, home: Path, folders: Sequence[Path]) -> None:
        """Make a HOME as one has it whose owner trusts FOLDERS, so that nothing is asked at the start."""

    @abstractmethod
    def words(self, url: str, prompt: str) -> list[str]:
        """Return the command line of a session that ends when its model has nothing more to say."""

    @abstractmethod
    def words_at_terminal(self, url: str, prompt: str) -> list[str]:
        """Return the command line of a session that a person sits before."""

    @abstractmethod
    def surroundings(self, url: str) -> Mapping[str, str]:
        """Return the variables that lead it to the server at URL, and to nobody else."""

    @abstractmethod
    def edit(self, path: Path, old: str, new: str) -> list[Blocks]:
        """Return the turns in which a model edits a file."""

    @abstractmethod
    def shell(self, command: str) -> Blocks:
        """Return the turn in which a model runs a command."""

    def env(self, url: str, home: Path, **more: str) -> dict[str, str]:
        """Return the whole environment of a session; nothing of the tests' own is in it."""
        plain = {"PATH": PATH, "HOME": str(home), "LANG": "C.UTF-8", "TERM": "xterm-256color", "SHELL": "/bin/sh"}
        return {**plain, **self.surroundings(url), **more}

    def run(self, model: Model, where: Path, home: Path, prompt: str, *more: str, **env: str) -> Ran:
        """Run a session in WHERE until it is over."""
        words = [*self.words(model.url, prompt), *more]
        given = {
            "cwd": where,
            "env": self.env(model.url, home, **env),
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
        }
        with subprocess.Popen(words, start_new_session=True, **given) as process:  # type: ignore[call-overload]
            try:
                out, err = process.communicate(timeout=_LONGEST)
            finally:
                _end(process.pid)
        print(f"---- {self.name} ended with {process.returncode}\n{out[-2000:]}\n{err[-2000:]}")
        return Ran(process.returncode, out, err)


class Claude(Program):
    """Claude Code."""

    name = "claude"
    dialect = Anthropic()

    def settle(self, home: Path, folders: Sequence[Path]) -> None:
        state = {
            "hasCompletedOnboarding": True,
            "theme": "dark",
            "autoUpdates": False,
            "customApiKeyResponses": {"approved": [NO_KEY[-20:]], "rejected": []},
            "projects": {
                str(folder): {
                    "hasTrustDialogAccepted": True,
                    "hasCompletedProjectOnboarding": True,
                    "enabledMcpjsonServers": ["coord"],
                }
                for folder in folders
            },
        }
        _write(home / ".claude.json", state)
        _write(home / ".claude/settings.json", {"permissions": {"allow": ["mcp__coord", "Edit", "Write", "Bash"]}})

    def words(self, url: str, prompt: str) -> list[str]:
        return ["claude", "-p", prompt]

    def words_at_terminal(self, url: str, prompt: str) -> list[str]:
        return ["claude", prompt]

    def surroundings(self, url: str) -> Mapping[str, str]:
        return {
            "ANTHROPIC_BASE_URL": url,
            "ANTHROPIC_API_KEY": NO_KEY,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_ERROR_REPORTING": "1",
            "CLAUDE_CODE_MAX_RETRIES": "0",
        }

    def edit(self, path: Path, old: str, new: str) -> list[Blocks]:
        given = {"file_path": str(path), "old_string": old, "new_string": new}
        return [[Call("Read", {"file_path": str(path)})], [Call("Edit", given)]]

    def shell(self, command: str) -> Blocks:
        return [Call("Bash", {"command": command, "description": "run it"})]


class Codex(Program):
    """OpenAI's Codex."""

    name = "codex"
    dialect = OpenAI()

    def settle(self, home: Path, folders: Sequence[Path]) -> None:
        lines = ['model = "gpt-6-astra"', 'model_provider = "standin"', "check_for_update_on_startup = false"]
        lines += ["[analytics]", "enabled = false"]
        lines += ["[model_providers.standin]", 'name = "standin"', 'wire_api = "responses"', "base_url = 'http://x/v1'"]
        for folder in folders:
            lines += [f"[projects.{json.dumps(str(folder))}]", 'trust_level = "trusted"']
        (home / ".codex").mkdir(parents=True, exist_ok=True)
        (home / ".codex/config.toml").write_text("\n".join(lines) + "\n")

    def words(self, url: str, prompt: str) -> list[str]:
        return ["codex", "exec", *self._flags(url), prompt]

    def words_at_terminal(self, url: str, prompt: str) -> list[str]:
        return ["codex", *self._flags(url), prompt]

    def _flags(self, url: str) -> list[str]:
        flags = ["--dangerously-bypass-approvals-and-sandbox", "--dangerously-bypass-hook-trust"]
        return [*flags, "-c", f'model_providers.standin.base_url="{url}/v1"']

    def surroundings(self, url: str) -> Mapping[str, str]:
        return {"RUST_LOG": "error"}

    def edit(self, path: Path, old: str, new: str) -> list[Blocks]:
        lines = ["*** Begin Patch", f"*** Update File: {path}", "@@", f"-{old}", f"+{new}", "*** End Patch", ""]
        return [[Call("apply_patch", custom="\n".join(lines))]]

    def shell(self, command: str) -> Blocks:
        return [Call("exec_command", {"cmd": command})]


class Gemini(Program):
    """Google's Gemini CLI."""

    name = "gemini"
    dialect = Google()
    _FLAGS = ("--approval-mode", "yolo", "--model", "gemini-3-pro")

    def settle(self, home: Path, folders: Sequence[Path]) -> None:
        quiet = {"general": {"disableAutoUpdate": True, "disableUpdateNag": True}, "telemetry": {"enabled": False}}
        usage = {"privacy": {"usageStatisticsEnabled": False}, "ide": {"enabled": False}}
        _write(
            home / ".gemini/settings.json", {**quiet, **usage, "security": {"auth": {"selectedType": "gemini-api-key"}}}
        )
        _write(home / ".gemini/trustedFolders.json", {str(folder): "TRUST_FOLDER" for folder in folders})

    def words(self, url: str, prompt: str) -> list[str]:
        return ["gemini", *self._FLAGS, "-p", prompt]

    def words_at_terminal(self, url: str, prompt: str) -> list[str]:
        return ["gemini", *self._FLAGS, "-i", prompt]

    def surroundings(self, url: str) -> Mapping[str, str]:
        return {"GEMINI_API_KEY": NO_KEY, "GOOGLE_GEMINI_BASE_URL": url, "GEMINI_CLI_NO_RELAUNCH": "true"}

    def edit(self, path: Path, old: str, new: str) -> list[Blocks]:
        given = {"file_path": str(path), "instruction": "change it", "old_string": old, "new_string": new}
        return [[Call("replace", given)]]

    def shell(self, command: str) -> Blocks:
        return [Call("run_shell_command", {"command": command})]


PROGRAMS: tuple[Program, ...] = (Claude(), Codex(), Gemini())


def _end(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _write(path: Path, plain: Plain) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plain, indent=2))
