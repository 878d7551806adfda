"""An agent as a process: its worktree, its words, and its way to the command line and to git."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# -P: the farm is a clone of this repository, and its copy of coord is not the one to be run.
COORD = (sys.executable, "-P", "-m", "coord")
_LIMIT = 45.0
_LOOK = 0.04
_ID = 26


class Unfinished(Exception):
    """Something that the story rests on did not happen."""


class Player:
    """One agent, who knows its own worktree and nothing else."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.tree = folder / f"agent-{name}"
        self.inbox = self.tree / "inbox" / name
        self.marks = folder / "marks"
        self.branch = f"agent/{name}"
        self.letter = ""
        self.decision = ""
        self.env = environment()

    def say(self, text: str, tone: str = "") -> None:
        """Say one line to whoever watches."""
        tell(say=text, tone=tone)

    def fact(self, kind: str, **known: Any) -> None:
        """Note what must be found in the ledger or in git at the end."""
        tell(fact={"kind": kind, "agent": self.name, **known})

    def coord(self, *words: str, refusal: str = "") -> dict[str, Any]:
        """Run one command in the own worktree and return what it printed; REFUSAL is the error it may meet."""
        done = run([*COORD, "--json", *words], self.tree, self.env)
        found: dict[str, Any] = json.loads(done.stdout) if done.stdout.strip() else {}
        if done.returncode and found.get("error", {}).get("code", "") != refusal:
            raise Unfinished(f"`coord {' '.join(words)}` ended with {done.returncode}: {done.stdout}{done.stderr}")
        return found

    def refused(self, done: dict[str, Any], code: str) -> None:
        """Tell of the error that a command ended with; there must be one."""
        if "error" not in done:
            raise Unfinished(f"it should have been refused ({code}) and was not: {done}")
        error = done["error"]
        self.say(f"refused: {error['message']}; {error['hint']}", "bad")
        self.fact("refused", code=code, facts=error["facts"])

    def git(self, *words: str) -> str:
        """Run git in the own worktree, as this agent."""
        done = run(["git", *words], self.tree, {**self.env, **_identity(self.name)})
        if done.returncode:
            raise Unfinished(f"`git {' '.join(words)}` ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout.strip()

    def letters(self, words: str = "", after: str = "") -> list[str]:
        """Look into the own folder: the names of unread letters with WORDS in them that came after an id."""
        names = sorted(path.name for path in self.inbox.glob("*.md") if len(path.stem) > _ID)
        return [name for name in names if words in name[_ID:] and name > after]

    def await_letter(self, words: str, after: str = "") -> str:
        """Look into the own folder until such a letter is there, and return the name of the first."""
        self.until(lambda: bool(self.letters(words, after)), f"mail about {words}")
        return self.letters(words, after)[0]

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until HOLDS says so."""
        deadline = time.monotonic() + _LIMIT
        while not holds():
            if time.monotonic() > deadline:
                raise Unfinished(f"waited {_LIMIT:.0f} s in vain for {what}")
            time.sleep(_LOOK)


def tell(**what: Any) -> None:
    """Write one line for the director."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def run(words: Sequence[str], cwd: Path, env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end and return what it printed."""
    pipe = subprocess.PIPE
    return subprocess.run(
        words,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        text=True,
        timeout=_LIMIT,
        check=False,
    )


def environment() -> dict[str, str]:
    """Return the environment without what would point git or coord elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "COORD_"))}


def _identity(name: str) -> dict[str, str]:
    """Return what makes git sign commits as this agent."""
    roles = ("AUTHOR", "COMMITTER")
    names = {f"GIT_{role}_NAME": name for role in roles}
    return {**names, **{f"GIT_{role}_EMAIL": f"{name}@coord.local" for role in roles}}
