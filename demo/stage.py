"""The processes of the demonstration: started here, watched here, and none of them left behind."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from demo.farm import ROOT
from demo.player import COORD, environment

DAEMON = "coord watch"
# Every process started here, and every one that they start, has this in its environment: so
# none is overlooked at the end, and nobody else's is ever ended.
TAG = "FARM_DEMONSTRATION"
_POLITE = 4.0
# Should whoever started it be killed outright, the daemon ends by itself all the same.
_AT_MOST = "150"


class Stage:
    """Starts processes in sessions of their own, so that ^C reaches the director alone, and reads what they say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "farm"
        self.heard: queue.Queue[tuple[str, str]] = queue.Queue()
        self.running: dict[str, subprocess.Popen[str]] = {}

    def run(self, *words: str, cwd: Path) -> str:
        """Run a program to its end and return what it printed.

        Raises:
            CalledProcessError: it failed; its output is in the error.
        """
        with subprocess.Popen(
            words,
            cwd=cwd,
            env={**environment(), TAG: str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                out, err = process.communicate()
            except BaseException:
                _signal(process.pid, signal.SIGKILL)
                raise
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, words, out, err)
        return out.strip()

    def coord(self, *words: str) -> str:
        """Run a command of coord in the owner's checkout."""
        return self.run(*COORD, *words, cwd=self.home)

    def start_daemon(self) -> int:
        """Start `coord watch` in the foreground of its own session."""
        return self._start(DAEMON, [*COORD, "watch", "--seconds", _AT_MOST], self.home)

    def start_agent(self, name: str, *, again: bool = False) -> int:
        """Start the process of an agent."""
        words = [sys.executable, "-m", "demo.agent", name, str(self.folder), *(["--again"] if again else [])]
        return self._start(name, words, ROOT)

    def call(self, name: str, act: int) -> None:
        """Call an act out to an agent; one that is dead hears nothing, and its silence is seen later."""
        out = self.running[name].stdin
        assert out is not None
        with suppress(BrokenPipeError):
            out.write(f"act {act}\n")
            out.flush()

    def kill(self, name: str) -> int:
        """Kill a process at once, as a crash would, and return its id."""
        process = self.running.pop(name)
        process.kill()
        process.wait()
        return process.pid

    def stop_agents(self) -> None:
        """Let the agents end: nothing more is called out."""
        names = [name for name in self.running if name != DAEMON]
        for name in names:
            out = self.running[name].stdin
            assert out is not None
            out.close()
        for name in names:
            self._wait(name)

    def stop_daemon(self) -> None:
        """Ask the daemon to finish and end."""
        if DAEMON in self.running:
            self.running[DAEMON].send_signal(signal.SIGTERM)
            self._wait(DAEMON)

    def stop_all(self) -> None:
        """End everything within seconds: the agents at once, the daemon when it has noted what it does."""
        for name in [name for name in self.running if name != DAEMON]:
            process = self.running.pop(name)
            _signal(process.pid, signal.SIGKILL)
            process.wait()
        self.stop_daemon()
        for stray in strays(self.folder):
            with suppress(psutil.Error):
                stray.kill()

    def _wait(self, name: str) -> None:
        process = self.running.pop(name)
        try:
            process.wait(_POLITE)
        except subprocess.TimeoutExpired:
            _signal(process.pid, signal.SIGKILL)
            process.wait()

    def _start(self, name: str, words: list[str], cwd: Path) -> int:
        process = subprocess.Popen(
            words,
            cwd=cwd,
            env={**environment(), TAG: str(self.folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.running[name] = process
        threading.Thread(target=self._listen, args=(name, process), daemon=True).start()
        return process.pid

    def _listen(self, name: str, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self.heard.put((name, line.rstrip("\n")))


def spoken(line: str) -> dict[str, object]:
    """Return what an agent told; a line that is no JSON is what a program cried when it fell."""
    try:
        found = json.loads(line)
    except ValueError:
        return {"say": line, "tone": "bad"}
    return found if isinstance(found, dict) else {"say": line, "tone": "bad"}


def strays(folder: Path, *, patience: float = 0.0) -> list[psutil.Process]:
    """Return the processes of the demonstration in FOLDER that still run after PATIENCE seconds."""
    deadline = time.monotonic() + patience
    while True:
        found = [process for process in psutil.process_iter() if _works_in(process, str(folder))]
        if not found or time.monotonic() >= deadline:
            return found
        time.sleep(0.05)


def _works_in(process: psutil.Process, folder: str) -> bool:
    try:
        return process.environ().get(TAG) == folder and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
