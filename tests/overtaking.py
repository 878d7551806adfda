"""Two agents in worktrees of their own under the commit guard, one of whom is overtaken by the other."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from hooking import hook, recorded
from support import git

from coord.model.fencing import Judged
from coord.service import locks, worktrees
from coord.service.coord import Coord
from coord.service.guard import fencing, placing

Open = Callable[..., Coord]
PATH = "src/held.py"


def guarded(repo: Path, coord_for: Open) -> dict[str, Path]:
    """Make the worktrees of two agents, with the guard in them."""
    (repo / "src").mkdir(exist_ok=True)
    (repo / PATH).write_text("x = 1\n")
    (repo / "src/other.py").write_text("y = 1\n")
    git(repo, "add", "src")
    # Long ago: an edit in the second of a commit counts as part of it.
    long_ago = {**os.environ, "GIT_COMMITTER_DATE": "@1700000000 +0000"}
    subprocess.run(["git", "commit", "-qm", "src"], cwd=repo, check=True, env=long_ago)
    worktrees.add(coord_for("owner"), ("backend", "frontend"))
    placing.install(coord_for("owner"))
    return {name: coord_for("owner").worktree_of(name) for name in ("backend", "frontend")}


def edit(tree: Path, agent: str, path: str = PATH, text: str = "more = 1\n") -> None:
    """Edit a file as a coding assistant does: its hook is asked first."""
    payload = recorded("claude-2.1.330.PreToolUse.Write", tree, tool_input={"file_path": str(tree / path)})
    heard = hook("claude", payload, tree, agent)
    assert (heard.refusal, heard.err) == ("", ""), heard
    write(tree, path, text)


def write(tree: Path, path: str = PATH, text: str = "more = 1\n") -> None:
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    with (tree / path).open("a") as file:
        file.write(text)


def commit(tree: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = ["git", "commit", "-q", *(words or ("-am", "more"))]
    return subprocess.run(command, cwd=tree, env={**os.environ, **env}, capture_output=True, text=True, check=False)


def message(tree: Path, commit: str = "HEAD") -> str:
    return git(tree, "log", "-1", "--format=%B", commit)


def token_of(coord_for: Open, holder: str) -> int:
    return max(lock.token for lock in locks.list_(coord_for("owner")).locks if lock.holder == holder)


def have(coord_for: Open, holder: str, path: str = PATH) -> int:
    """Let somebody have a lease and give it back; returns its token."""
    (lock,) = locks.acquire(coord_for(holder), (path,)).locks
    locks.release(coord_for(holder), (path,))
    return lock.token


def overtake(coord_for: Open, trees: dict[str, Path], path: str = PATH) -> tuple[int, int]:
    """Let frontend change a file under a lease that goes, and backend have it meanwhile; returns both tokens."""
    edit(trees["frontend"], "frontend", path)
    mine = token_of(coord_for, "frontend")
    locks.release(coord_for("frontend"))
    return mine, have(coord_for, "backend", path)


def land(repo: Path, tree: Path, path: str = PATH) -> None:
    """Bring a change of a file to the base branch, by rights of its own."""
    write(tree, path, "theirs = 1\n")
    assert commit(tree).returncode == 0
    git(repo, "merge", "-q", git(tree, "rev-parse", "HEAD"))


def judged(coord_for: Open, tree: Path, head: str = "HEAD", agent: str = "frontend") -> Judged:
    return fencing.of_commits(coord_for(agent, tree), "main", git(tree, "rev-parse", head), agent=agent)
