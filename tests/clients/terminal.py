"""A terminal for a program that a person sits before: a pane of a tmux server of the test's own."""

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from support import eventually

_PANE = "=program:"


class Terminal:
    """A program in a terminal; on leaving, both are gone."""

    def __init__(self, socket: Path, words: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        self._tmux = ["tmux", "-S", str(socket), "-f", "/dev/null"]
        plain = shlex.join(["env", "-i", *(f"{name}={value}" for name, value in env.items()), *words])
        self._begin = ["new-session", "-d", "-s", "program", "-x", "160", "-y", "48", "-c", str(cwd), f"exec {plain}"]
        self.pid = 0

    def __enter__(self) -> Self:
        self._run("-u", *self._begin)
        self._run("set-option", "-g", "remain-on-exit", "on")
        self.pid = int(self._run("list-panes", "-t", _PANE, "-F", "#{pane_pid}"))
        return self

    def __exit__(self, *_: object) -> None:
        print(f"---- the terminal at the end\n{self.screen()}")
        self.kill()
        self._run("kill-server")

    def screen(self) -> str:
        """Return what is to be seen."""
        return self._run("capture-pane", "-p", "-t", _PANE).rstrip()

    def type(self, text: str) -> None:
        """Type a line."""
        self._run("send-keys", "-t", _PANE, "-l", text)
        self._run("send-keys", "-t", _PANE, "Enter")

    def kill(self) -> None:
        """End the program as if its machine had: it says nothing and cleans nothing up."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        eventually(lambda: self._run("list-panes", "-t", _PANE, "-F", "#{pane_dead}") == "1", what="its end")

    def _run(self, *words: str) -> str:
        done = subprocess.run([*self._tmux, *words], capture_output=True, text=True, check=True, timeout=30)
        return done.stdout.strip("\n")
