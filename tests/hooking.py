"""Call the hook as a client does: the recorded payloads, made to happen in a repository of the test's own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import eventually

import coord
from coord.service import watching
from coord.service.coord import Coord

RECORDED = Path(__file__).parent / "fixtures" / "hooks"
THIN = Path(coord.__file__).parent / "thin" / "hook.py"
_THERE = "/home/dev/project"


@dataclass(frozen=True)
class Heard:
    """What a client hears from its hook."""

    status: int
    out: str
    err: str

    @property
    def told(self) -> dict[str, Any]:
        found = json.loads(self.out or "{}")
        assert isinstance(found, dict)
        return found

    @property
    def context(self) -> str:
        return str(self.told.get("hookSpecificOutput", {}).get("additionalContext", ""))

    @property
    def refusal(self) -> str:
        """Why the tool may not run, in whichever dialect, or "" where it may."""
        if self.status == 2:
            return self.err
        inside = self.told.get("hookSpecificOutput", {})
        if inside.get("permissionDecision") == "deny":
            return str(inside["permissionDecisionReason"])
        return str(self.told["reason"]) if self.told.get("decision") in ("deny", "block") else ""


def recorded(name: str, repo: Path, **other: object) -> dict[str, Any]:
    """Return a recorded payload as if the project were REPO, with OTHER fields put over it."""
    text = (RECORDED / f"{name}.json").read_text().replace(_THERE, str(repo))
    return {**json.loads(text), **other}


def hook(
    client: str, payload: Mapping[str, object] | bytes, cwd: Path, agent: str = "", *, env: Mapping[str, str] = {}
) -> Heard:
    """Call the hook with a payload as CLIENT does."""
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    given = {**os.environ, **({"COORD_AGENT": agent} if agent else {}), **env}
    words = [sys.executable, "-I", "-S", str(THIN), client]
    done = subprocess.run(words, input=data, cwd=cwd, env=given, capture_output=True, timeout=60, check=False)
    heard = Heard(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in heard.err, heard.err
    return heard


@contextmanager
def daemon(repo: Path, *, env: Mapping[str, str] = {}) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon, and be back when its door is open."""
    words = [sys.executable, "-P", "-m", "coord", "--repo", str(repo), "watch"]
    around = {**os.environ, **env}
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=around) as process:
        try:
            eventually(lambda: watching.find(Coord.open(repo)).state == "running", within=60, what="the daemon's start")
            eventually((repo / ".git/coord/door").exists, within=60, what="the daemon's door")
            yield process
        finally:
            process.kill()
