"""The only door to tmux: one constant line typed into a pane, where that disturbs nobody.

`python -m coord.tmux SOCKET PANE PID LOCK TEXT` is a process of its own: it waits for the pane's program, for which
whoever starts it has no time. A prompt sign is always drawn, a question may be, and a person may be typing: nothing is
typed unless the pane rests, its last lines ask nothing, and what is behind the prompt is nothing, or a client's hint.
"""

import fcntl
import os
import re
import subprocess
import sys
import time
from enum import IntEnum
from pathlib import Path

import psutil

from coord.model.regex import regex
from coord.model.values import frozen

_REST, _TAKEN_UP, _SEEN_WITHIN, _TICK = 0.2, 0.3, 5.0, 0.1  # seconds
_ONE_BURST = 10.0  # seconds in which a pane is typed into once
_LOOKED_AT = 15
_PANE = regex(r"%\d{1,9}")
_PROMPT = regex(r"^[\s│┃|]*(?:[>\u276f\u203a]|\*(?=\s+Type your message))(?:\s+(?P<behind>.*?))?[\s│┃|]*$")
_HINT = regex(r"type your message\b.*", re.IGNORECASE)
_QUESTION = regex(
    r"\b(y/n|yes/no|allow|approve|confirm|permission|password|passphrase|press enter|esc to cancel)\b",
    re.IGNORECASE,
)
_CHOICE = regex(r"^\W*\d{1,2}[.)]\s")
_STATE = "#{pane_pid} #{pane_dead} #{pane_input_off} #{pane_synchronized} #{pane_in_mode}"


class Ended(IntEnum):
    """How it ended, as an exit status."""

    TYPED = 0
    BUSY = 3
    GONE = 4
    UNHEARD = 5
    FAILED = 6


WORDS = {
    Ended.BUSY: "the pane does not rest at an empty prompt: nothing was typed",
    Ended.GONE: "the pane is gone, or another program's: nothing was typed",
    Ended.UNHEARD: "the pane did not change by what was typed",
    Ended.FAILED: "tmux failed",
}


def is_pane(name: str) -> bool:
    """Tell whether NAME is the id of a pane, which no other pane of its server ever has."""
    return _PANE.fullmatch(name) is not None


def command(socket: str, pane: str, pid: int, lock: Path, text: str) -> list[str]:
    """Return the program that types TEXT and Enter into the PANE of the process PID."""
    return [sys.executable, "-P", "-m", "coord.tmux", socket, pane, str(pid), str(lock), text]


@frozen
class Pane:
    """A pane of a server, and the process that it must belong to."""

    socket: str
    id: str
    pid: int

    def nudge(self, lock: Path, text: str) -> Ended:
        """Type TEXT and Enter, once for all who want to at the same time."""
        with lock.open("a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return Ended.TYPED  # another is about to
            file.seek(0)
            last = file.read(64).decode("ascii", "replace")
            if last.isdecimal() and 0 <= time.time() - int(last) < _ONE_BURST:
                return Ended.TYPED
            ended = self._typed(text)
            if ended in (Ended.TYPED, Ended.UNHEARD):
                file.truncate(0)
                file.write(str(int(time.time())).encode())
            return ended

    def _typed(self, text: str) -> Ended:
        if not self._is_ready():
            return Ended.GONE
        before = self._screen()
        time.sleep(_REST)
        if self._screen() != before or not is_empty(before):
            return Ended.BUSY
        buffer = f"coord-{os.getpid()}"
        self._tmux("load-buffer", "-b", buffer, "-", given=text)
        self._tmux("paste-buffer", "-p", "-d", "-b", buffer, "-t", self.id)
        time.sleep(_TAKEN_UP)
        pasted = self._changed(before)
        if pasted is None or not self._is_ready():
            return Ended.UNHEARD
        self._tmux("send-keys", "-t", self.id, "Enter")
        return Ended.UNHEARD if self._changed(pasted) is None else Ended.TYPED

    def _is_ready(self) -> bool:
        """Tell whether the pane is still its process's and takes keys; it has left copy mode then."""
        words = self._tmux("display-message", "-p", "-t", self.id, _STATE).split()
        if len(words) != 5 or words[1:4] != ["0", "0", "0"]:
            return False
        try:
            process = psutil.Process(self.pid)
            above = {self.pid, *(one.pid for one in process.parents())}
            if int(words[0]) not in above or process.status() == psutil.STATUS_STOPPED:
                return False
        except psutil.Error:
            return False
        if words[4] != "0":
            self._tmux("send-keys", "-X", "-t", self.id, "cancel")
        return True

    def _changed(self, before: str) -> str | None:
        over = time.monotonic() + _SEEN_WITHIN
        while (now := self._screen()) == before:
            if time.monotonic() > over:
                return None
            time.sleep(_TICK)
        return now

    def _screen(self) -> str:
        return self._tmux("capture-pane", "-p", "-t", self.id)

    def _tmux(self, *words: str, given: str = "") -> str:
        done = subprocess.run(
            ["tmux", "-S", self.socket, *words], input=given, capture_output=True, text=True, timeout=10, check=False
        )
        if done.returncode and words[0] != "display-message":
            raise OSError(done.stderr)
        return done.stdout


def is_empty(screen: str) -> bool:
    """Tell whether the last lines of a SCREEN show a prompt with nothing behind it, and ask nothing."""
    lines = [line for line in screen.splitlines() if line.strip()][-_LOOKED_AT:]
    prompts = [(number, found) for number, line in enumerate(lines) if (found := _PROMPT.match(line))]
    if not prompts or any(_QUESTION.search(line) for line in lines):
        return False
    number, prompt = prompts[-1]
    behind = prompt["behind"] or ""
    if _HINT.fullmatch(behind):  # it is shown where one may type, and nobody has: what is numbered is text
        return True
    if any(_CHOICE.match(line) for line in lines):
        return False
    if number and lines[number - 1].rstrip().endswith("?"):
        return False
    return not behind


def main(words: list[str]) -> int:
    """Nudge once; returns how it ended."""
    socket, pane, pid, lock, text = words
    try:
        return Pane(socket, pane, int(pid)).nudge(Path(lock), text)
    except (OSError, subprocess.SubprocessError):
        return Ended.FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
