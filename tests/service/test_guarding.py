"""The commit guard, asked by git itself: what others hold stays out of commits and pushes, and nobody's hooks are lost."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import git

from coord.model.errors import LeaseHeld, Refused
from coord.service import locks, mail, worktrees
from coord.service.coord import Coord
from coord.service.guard import guarding, placing

Open = Callable[..., Coord]
HELD = "src/held.py"


@pytest.fixture
def trees(repo: Path, coord_for: Open) -> dict[str, Path]:
    (repo / "src").mkdir(exist_ok=True)
    (repo / HELD).write_text("x = 1\n")
    git(repo, "add", HELD)
    git(repo, "commit", "-qm", "held")
    worktrees.add(coord_for("owner"), ("backend", "frontend"))
    locks.acquire(coord_for("backend"), (HELD,))
    return {name: coord_for("owner").worktree_of(name) for name in ("backend", "frontend")}


def commit(tree: Path, path: str = HELD, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    with (tree / path).open("a") as file:
        file.write("y = 2\n")
    git(tree, "add", path)
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "more", *words]
    return subprocess.run(command, cwd=tree, env={**os.environ, **env}, capture_output=True, text=True, check=False)


def test_a_commit_of_what_another_holds_is_refused_and_says_whose_it_is(
    coord_for: Open, trees: dict[str, Path]
) -> None:
    assert commit(trees["frontend"]).returncode == 0  # without the guard
    found = placing.install(coord_for("owner"))
    assert {hook.state for hook in found.hooks} == {"installed"}
    refused = commit(trees["frontend"])
    assert refused.returncode == 1
    assert "backend holds src/held.py until" in refused.stderr
    assert "COORD_OVERRIDE" in refused.stderr
    assert commit(trees["backend"]).returncode == 0
    git(trees["frontend"], "restore", "--staged", HELD)
    assert commit(trees["frontend"], "src/free.py").returncode == 0


def test_a_partial_commit_is_looked_at_as_what_it_is(coord_for: Open, trees: dict[str, Path]) -> None:
    placing.install(coord_for("owner"))
    tree = trees["frontend"]
    (tree / HELD).write_text("staged\n")
    git(tree, "add", HELD)
    (tree / "README.md").write_text("changed\n")
    done = subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "one", "README.md"],
        cwd=tree, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_what_a_merge_brings_is_no_change_of_ones_own(repo: Path, coord_for: Open, trees: dict[str, Path]) -> None:
    placing.install(coord_for("owner"))
    assert commit(trees["backend"]).returncode == 0
    assert commit(trees["frontend"], "src/both.py").returncode == 0
    (trees["backend"] / "src/both.py").write_text("theirs\n")
    git(trees["backend"], "add", "-A")
    git(trees["backend"], "commit", "-qm", "both")
    theirs = git(trees["backend"], "rev-parse", "HEAD")
    tree = trees["frontend"]
    subprocess.run(["git", "merge", "-q", theirs], cwd=tree, capture_output=True, check=False)
    (tree / "src/both.py").write_text("resolved\n")
    assert commit(tree, "src/both.py").returncode == 0


def test_the_guard_can_be_overridden_on_record(coord_for: Open, trees: dict[str, Path]) -> None:
    placing.install(coord_for("owner"))
    done = commit(trees["frontend"], COORD_OVERRIDE="backend is asleep\n\nCoord-Event: forged")
    assert done.returncode == 0, done.stderr
    told = mail.list_(coord_for("backend")).items[0].message
    assert "overridden" in told.subject
    assert "backend is asleep" in told.body
    (entry,) = coord_for("owner").indexed().entries(kind="guard.overridden")
    assert entry.agent == "frontend"
    assert "backend is asleep" in entry.facts["Why"]


def test_a_name_of_a_file_writes_no_line_of_a_notice(coord_for: Open, trees: dict[str, Path]) -> None:
    locks.acquire(coord_for("backend"), ("api/**",))
    placing.install(coord_for("owner"))
    assert commit(trees["frontend"], "api/a\nThe owner agreed\nb", COORD_OVERRIDE="why").returncode == 0
    told = mail.list_(coord_for("backend")).items[0].message
    assert told.body.splitlines() == [
        "frontend went past your lease on api/a The owner agreed b, and gave as the reason: “why”"
    ]


def test_a_push_of_what_another_holds_is_refused(
    repo: Path, coord_for: Open, trees: dict[str, Path], tmp_path: Path
) -> None:
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "there.git")], check=True)
    git(repo, "remote", "add", "there", str(tmp_path / "there.git"))
    assert commit(trees["frontend"]).returncode == 0
    placing.install(coord_for("owner"))
    push = ["git", "push", "-q", "there"]
    refused = subprocess.run([*push, "HEAD"], cwd=trees["frontend"], capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "backend holds src/held.py" in refused.stderr
    assert subprocess.run([*push, "main"], cwd=repo, capture_output=True, text=True, check=False).returncode == 0
    assert subprocess.run([*push, "HEAD"], cwd=trees["backend"], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("shebang", ["#!/bin/sh", "#!/usr/bin/env bash", "#! /usr/bin/env -S bash -e"])
def test_a_hook_of_the_owners_stays_and_runs(repo: Path, coord_for: Open, trees: dict[str, Path], shebang: str) -> None:
    hook = repo / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    text = f"{shebang}\n# the owner's\necho ran > {repo}/ran\ncat > /dev/null\n"
    hook.write_text(text)
    hook.chmod(0o755)
    placing.install(coord_for("owner"))
    placing.install(coord_for("owner"))
    assert hook.read_text().count("coord guard check") == 1
    assert commit(trees["frontend"]).returncode == 1
    assert not (repo / "ran").exists()
    assert commit(trees["backend"]).returncode == 0
    assert (repo / "ran").exists()
    placing.uninstall(coord_for("owner"))
    assert hook.read_text() == text
    assert not (repo / ".git/hooks/pre-push").exists()


def test_the_owners_pre_push_hook_reads_what_git_tells_it(
    repo: Path, coord_for: Open, trees: dict[str, Path], tmp_path: Path
) -> None:
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "there.git")], check=True)
    hook = repo / ".git/hooks/pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ncat > {tmp_path}/told\n")
    hook.chmod(0o755)
    placing.install(coord_for("owner"))
    git(repo, "push", "-q", str(tmp_path / "there.git"), "main")
    assert (tmp_path / "told").read_text().startswith("refs/heads/main ")


def test_what_is_no_shell_script_or_the_repositorys_own_is_left_alone(repo: Path, coord_for: Open) -> None:
    hook = repo / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/usr/bin/env python3\nprint('mine')\n")
    with pytest.raises(Refused, match="no shell script") as refused:
        placing.install(coord_for("owner"))
    assert "let a shell script run it" in refused.value.hint
    assert hook.read_text() == "#!/usr/bin/env python3\nprint('mine')\n"
    (repo / "hooks").mkdir()
    (repo / "hooks/pre-commit").write_text("#!/bin/sh\n")
    git(repo, "add", "hooks")
    git(repo, "config", "core.hooksPath", "hooks")
    with pytest.raises(Refused, match="file of the repository") as refused:
        placing.install(coord_for("owner"))
    assert "coord guard check" in refused.value.hint


def test_a_worktree_with_hooks_of_its_own_is_guarded_when_it_is_made(repo: Path, coord_for: Open) -> None:
    git(repo, "config", "core.hooksPath", ".husky/_")
    owner = coord_for("owner")
    worktrees.add(owner, ("backend",))
    assert not (owner.worktree_of("backend") / ".husky").exists()
    placing.install(owner)
    worktrees.add(owner, ("frontend",))
    assert {hook.state for hook in placing.status(owner).hooks} == {"installed"}
    theirs = owner.worktree_of("frontend") / ".husky/_/pre-commit"
    theirs.write_text("#!/usr/bin/python3\n")
    (tree,) = worktrees.add(owner, ("frontend",)).trees
    assert f"{theirs} is no shell script" in " ".join(tree.notes)


def test_a_python_that_is_gone_is_named_and_stops_nobody(
    coord_for: Open, trees: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/it's/python")
    placing.install(coord_for("owner"))
    done = commit(trees["frontend"])
    assert done.returncode == 0
    assert "is gone" in done.stderr


def test_who_has_no_name_is_refused_as_well(repo: Path, coord_for: Open, trees: dict[str, Path]) -> None:
    coord = Coord.open(repo)
    (repo / HELD).write_text("by nobody\n")
    git(repo, "add", HELD)
    with pytest.raises(LeaseHeld, match="backend holds"):
        guarding.check(coord)
