"""Where the guard stands: beside husky, in every worktree, and in a folder that others share only when it is told to."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import git

from coord.model.errors import Refused
from coord.service import locks, worktrees
from coord.service.coord import Coord
from coord.service.doctor import command as doctors
from coord.service.guard import placing

Open = Callable[..., Coord]
BIN = Path(sys.executable).parent
HUSKY = Path(__file__).parents[1] / "conformance/node_modules/.bin/husky"
HELD = "apps_script/chefs.js"


def commit(tree: Path, path: str = HELD) -> subprocess.CompletedProcess[str]:
    with (tree / path).open("a") as file:
        file.write("more\n")
    return subprocess.run(["git", "commit", "-qam", "more"], cwd=tree, capture_output=True, text=True, check=False)


def states(coord: Coord) -> set[str]:
    return {hook.state for hook in placing.status(coord).hooks}


def found(coord: Coord, *, fix: bool = False) -> list[tuple[str, str]]:
    report = doctors.doctor(coord, fix=fix)
    return [(one.code, one.state) for one in report.findings if one.code == "guard-missing"]


def npm(folder: Path, *words: str) -> None:
    env = {**os.environ, "PATH": f"{HUSKY.parent}:{BIN}:{os.environ['PATH']}"}
    words = (str(BIN / "npm"), *words, "--silent")
    subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=True)


@pytest.mark.skipif(
    not HUSKY.exists() and not os.environ.get("CI"),
    reason="`make test` installs husky with npm, which found no registry",
)
@pytest.mark.timeout(300)
def test_beside_husky_the_guard_stands_in_new_worktrees_and_comes_back_after_npm(repo: Path, coord_for: Open) -> None:
    package = {"name": "farm", "private": True, "scripts": {"prepare": "husky"}}
    (repo / "package.json").write_text(json.dumps(package))
    (repo / ".gitignore").write_text("node_modules/\n")
    (repo / ".husky").mkdir()
    (repo / ".husky/pre-commit").write_text("echo ran >> ran\n")
    npm(repo, "run", "prepare")
    assert git(repo, "config", "core.hooksPath") == ".husky/_"
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "husky")
    assert (repo / "ran").exists()
    owner = coord_for("owner")
    placing.install(owner)
    npm(repo, "run", "prepare")
    worktrees.add(owner, ("backend", "frontend"))  # made while husky had taken the guard out at home
    tree = owner.worktree_of("frontend")
    assert git(tree, "status", "--porcelain") == ""
    locks.acquire(coord_for("backend"), (HELD,))
    assert "backend holds" in commit(tree).stderr
    assert found(owner) == [("guard-missing", "found")]
    assert found(owner, fix=True) == [("guard-missing", "mended")]
    assert (found(owner), states(owner)) == ([], {"installed"})
    (repo / "ran").unlink()
    assert "backend holds" in commit(repo).stderr
    assert commit(repo, "README.md").returncode == 1  # what is held is staged still
    git(repo, "restore", "--staged", "--worktree", HELD)
    assert commit(repo, "README.md").returncode == 0
    assert (repo / "ran").exists()
    npm(tree, "run", "prepare")
    assert commit(tree).returncode == 0
    assert found(owner, fix=True) == [("guard-missing", "mended")]
    assert "backend holds" in commit(tree).stderr
    placing.uninstall(owner)
    assert (found(owner), states(owner)) == ([], {"missing"})


def test_a_worktree_made_by_git_alone_and_a_hook_that_git_passes_over_are_found(repo: Path, coord_for: Open) -> None:
    owner = coord_for("owner")
    git(repo, "config", "core.hooksPath", "own-hooks")
    assert found(owner) == []
    placing.install(owner)
    assert found(owner) == []
    git(repo, "worktree", "add", "-q", "-b", "side", str(repo.parent / "side"))
    assert found(owner, fix=True) == [("guard-missing", "mended")]
    (repo / "own-hooks/pre-commit").chmod(0o644)
    assert "not executable" in states(owner)
    assert found(owner, fix=True) == [("guard-missing", "mended")]
    assert states(owner) == {"installed"}
    placing.uninstall(owner)
    assert not (repo / "own-hooks").exists()
    assert not (repo.parent / "side/own-hooks").exists()


def test_a_folder_that_others_share_is_written_only_when_told_to(repo: Path, coord_for: Open, tmp_path: Path) -> None:
    shared = tmp_path / "shared hooks"
    shared.mkdir()
    mine = "#!/bin/sh\necho mine >> mine\n"
    (shared / "pre-commit").write_text(mine)
    (shared / "pre-commit").chmod(0o755)
    git(repo, "config", "--global", "core.hooksPath", str(shared))
    owner = coord_for("owner")
    with pytest.raises(Refused, match="outside this repository") as refused:
        placing.install(owner)
    assert "--shared" in refused.value.hint
    assert "git config core.hooksPath" in refused.value.hint
    assert [*shared.iterdir()] == [shared / "pre-commit"]
    placing.install(owner, shared=True)
    assert states(owner) == {"installed"}
    locks.acquire(coord_for("backend"), (HELD,))
    assert "backend holds" in commit(repo).stderr
    other = tmp_path / "other"
    git(tmp_path, "init", "-q", "other")
    (other / HELD).parent.mkdir()
    (other / HELD).write_text("theirs\n")
    git(other, "add", "-A")
    done = commit(other)
    assert (done.returncode, done.stderr) == (0, "")
    assert (other / "mine").exists()
    (shared / "pre-push").unlink()
    assert found(owner, fix=True) == [("guard-missing", "mended")]
    with pytest.raises(Refused, match="outside this repository"):
        placing.uninstall(owner)
    placing.uninstall(owner, shared=True)
    assert (shared / "pre-commit").read_text() == mine
    assert [*shared.iterdir()] == [shared / "pre-commit"]
    placing.uninstall(owner)  # nothing of coord's is there


def test_hooks_that_git_was_told_not_to_run_are_no_place(repo: Path, coord_for: Open) -> None:
    git(repo, "config", "core.hooksPath", "/dev/null")
    with pytest.raises(Refused, match="git runs no hooks here") as refused:
        placing.install(coord_for("owner"))
    assert "core.hooksPath is /dev/null" in refused.value.message
    assert "--show-origin" in refused.value.hint
    assert states(coord_for("owner")) == {"missing"}


def test_a_hook_in_another_language_runs_behind_a_shell_s_as_the_refusal_says(repo: Path, coord_for: Open) -> None:
    hook = repo / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!{sys.executable}\nopen('ran', 'w').close()\n")
    hook.chmod(0o755)
    with pytest.raises(Refused, match="no shell script") as refused:
        placing.install(coord_for("owner"))
    steps = refused.value.hint.partition(": ")[2].removesuffix(" && coord guard install")
    subprocess.run(["sh", "-ec", steps], cwd=repo, check=True)
    placing.install(coord_for("owner"))
    locks.acquire(coord_for("backend"), (HELD,))
    assert "backend holds" in commit(repo).stderr
    assert not (repo / "ran").exists()
    git(repo, "restore", "--staged", "--worktree", HELD)
    assert commit(repo, "README.md").returncode == 0
    assert (repo / "ran").exists()


def test_a_hook_that_pre_commit_put_aside_and_runs_is_the_guard_s_no_more(repo: Path, coord_for: Open) -> None:
    hooks = repo / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    mine = "#!/bin/sh\necho mine >> mine\n"
    (hooks / "commit-msg").write_text(mine)
    owner = coord_for("owner")
    placing.install(owner)
    for name in ("pre-commit", "commit-msg"):  # as `pre-commit install` does
        (hooks / name).rename(hooks / f"{name}.legacy")
        (hooks / name).write_text(f'#!/usr/bin/env bash\nexec .git/hooks/{name}.legacy "$@"\n')
        (hooks / name).chmod(0o755)
    assert found(owner, fix=True) == [("guard-missing", "mended")]
    assert states(owner) == {"installed"}
    assert not (hooks / "pre-commit.legacy").exists()  # nothing else was in it
    assert (hooks / "commit-msg.legacy").read_text() == mine
    (hooks / "pre-commit").rename(hooks / "pre-commit.legacy")
    (hooks / "pre-commit").write_text("#!/usr/bin/env bash\nexec .git/hooks/pre-commit.legacy\n")
    placing.uninstall(owner)
    assert not [
        one for one in hooks.iterdir() if "coord" in one.read_text(errors="replace") and one.suffix != ".sample"
    ]
