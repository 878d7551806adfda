"""A stand-in for a coding assistant: a real process that calls coord's hooks as Claude Code was seen to call them.

`python standin.py FOLDER AGENT SESSION LOG`. On its standard input come lines: `prompt TEXT` is its person's word,
`clear SESSION` begins another session in the same process, `monitor` starts what runs beside it as long as it lives, each
line of which wakes it, `end` ends it. It starts a waiter at its start and at every
stop, goes on when one ends with 2, and hands what that said to its hook as a prompt. Each line of LOG is what its model
was shown, or what it did. It acknowledges every message that it is shown.
"""

import contextlib
import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import coord

HOOK = f"exec {sys.executable} -I -S {Path(coord.__file__).parent / 'thin' / 'hook.py'} claude"
WOKEN = """<task-notification>\n<summary>Stop hook feedback</summary>\n</task-notification>
<system-reminder>\nStop hook blocking error from command "Stop": {}\n</system-reminder>"""
_SHOWN = re.compile(r"^- ([0-9A-Z]{8}) ", re.MULTILINE)


class Standin:
    def __init__(self, folder: Path, agent: str, session: str, log: Path) -> None:
        self.folder, self.session, self.log = folder, session, log
        self.env = {**os.environ, "COORD_AGENT": agent, "CLAUDE_CODE_SESSION_ATTENDED": "1"}
        self.heard: queue.Queue[tuple[str, str]] = queue.Queue()
        self.acked: set[str] = set()

    def run(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()
        self._start("startup")
        while True:
            what, text = self.heard.get()
            if what == "monitor":
                threading.Thread(target=self._monitor, daemon=True).start()
            elif what == "end":
                self._hook("SessionEnd", reason="other")
                return
            elif what == "clear":
                self._hook("SessionEnd", reason="clear")
                self.session = text
                self._start("clear")
            else:
                self._note(what, text=text)
                self._turn(WOKEN.format(text) if what == "woken" else text)

    def _start(self, source: str) -> None:
        self._beside("SessionStart", source=source)
        self._hook("SessionStart", source=source)
        self._note("idle")

    def _turn(self, prompt: str) -> None:
        self._hook("UserPromptSubmit", prompt=prompt)
        self._hook("PreToolUse", tool_name="Read", tool_input={"file_path": "README.md"})
        self._hook("PostToolUse", tool_name="Read", tool_input={"file_path": "README.md"})
        again = False
        while True:
            self._beside("Stop", stop_hook_active=again)
            if not self._hook("Stop", stop_hook_active=again):
                break
            again = True
        self._note("idle")

    def _payload(self, event: str, more: dict[str, object]) -> bytes:
        told = {"session_id": self.session, "cwd": str(self.folder), "hook_event_name": event, **more}
        return json.dumps(told).encode()

    def _hook(self, event: str, **more: object) -> bool:
        """Call a hook; True where it has the turn go on."""
        data, words = self._payload(event, more), ["sh", "-c", HOOK]
        done = subprocess.run(words, input=data, cwd=self.folder, env=self.env, capture_output=True, check=False)
        if done.returncode or done.stderr:
            self._note("fault", text=f"{event}: {done.returncode} {done.stderr.decode()}")
        told = json.loads(done.stdout or b"{}")
        shown = told.get("hookSpecificOutput", {}).get("additionalContext", "") or told.get("reason", "")
        found = _SHOWN.findall(shown)
        if found:
            self._note("shown", event=event, ids=found)
            if fresh := set(found) - self.acked:
                words = [sys.executable, "-P", "-m", "coord", "mail", "ack", *sorted(fresh)]
                subprocess.run(words, cwd=self.folder, env=self.env, capture_output=True, check=False)
                self.acked |= fresh
                self._note("acked", ids=sorted(fresh))
        return bool(told.get("decision") == "block")

    def _beside(self, event: str, **more: object) -> None:
        words = ["sh", "-c", f"{HOOK} wait" if os.getpid() % 2 else f"{HOOK.removeprefix('exec ')} wait; exit $?"]
        waiter = subprocess.Popen(
            words, stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.PIPE, cwd=self.folder, env=self.env
        )
        data = self._payload(event, more)
        threading.Thread(target=self._await, args=(waiter, data), daemon=True).start()

    def _await(self, waiter: "subprocess.Popen[bytes]", data: bytes) -> None:
        out, err = waiter.communicate(data)
        self._note("waiter", status=waiter.returncode, text=(out + err).decode())
        if waiter.returncode == 2:
            self.heard.put(("woken", err.decode()))

    def _monitor(self) -> None:
        words = ["sh", "-c", f"{HOOK} monitor"]
        with subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=self.folder, env=self.env, text=True
        ) as monitor:
            self._note("monitor", pid=monitor.pid)
            for line in monitor.stdout or ():
                self.heard.put(("woken", line))
        self._note("monitor ended", status=monitor.returncode)

    def _listen(self) -> None:
        for line in sys.stdin:
            what, _, text = line.rstrip("\n").partition(" ")
            self.heard.put((what, text))

    def _note(self, what: str, **more: object) -> None:
        line = json.dumps({"at": time.time(), "what": what, "session": self.session, **more})
        with self.log.open("a") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    folder, agent, session, log = sys.argv[1:]
    with contextlib.suppress(BrokenPipeError):
        Standin(Path(folder), agent, session, Path(log)).run()
