"""The daemon puts the commit guard back where it was taken out, if the owner had installed it, and says so once."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hooking import daemon
from support import eventually, git

from coord.daemon.unguarded import Unguarded
from coord.service import locks, mail
from coord.service.coord import Coord
from coord.service.guard import placing

Open = Callable[..., Coord]
HELD = "apps_script/chefs.js"
# What husky's `prepare` does: its folder is made anew, with each of its hooks.
HUSKY = """
rm -rf .husky/_ && mkdir -p .husky/_ && echo '*' > .husky/_/.gitignore && git config core.hooksPath .husky/_
for name in pre-commit commit-msg pre-push; do
    printf '#!/usr/bin/env sh\\necho theirs >> ran\\n' > .husky/_/$name && chmod +x .husky/_/$name
done
"""


@contextmanager
def watched(repo: Path) -> Iterator[None]:
    (repo / ".coord.yaml").write_text((repo / ".coord.yaml").read_text() + "watch: {scan_every: 200ms}\n")
    with daemon(repo):
        yield


def prepare(repo: Path) -> None:
    subprocess.run(["sh", "-ec", HUSKY], cwd=repo, check=True)


def states(coord: Coord) -> set[str]:
    return {hook.state for hook in placing.status(coord).hooks}


def told(coord: Coord) -> list[str]:
    return [item.message.subject for item in mail.list_(coord).items]


def put_back(coord: Coord) -> int:
    return sum(1 for _ in coord.indexed().entries(kind="guard.restored"))


def test_what_npm_takes_out_is_put_back_beside_theirs_and_told_once(repo: Path, coord_for: Open) -> None:
    prepare(repo)
    owner = coord_for("owner")
    placing.install(owner)
    locks.acquire(coord_for("backend"), (HELD,))
    with watched(repo):
        for times in (1, 2):
            prepare(repo)
            assert states(owner) == {"missing"}
            eventually(lambda: states(owner) == {"installed"}, within=60, what="the guard in its hooks")
            eventually(lambda times=times: put_back(owner) == times, within=60, what="the record of it")  # type: ignore[misc]
        (repo / HELD).write_text("more\n")
        done = subprocess.run(["git", "commit", "-qam", "x"], cwd=repo, capture_output=True, text=True, check=False)
        assert "backend holds" in done.stderr
        git(repo, "restore", "--staged", "--worktree", HELD)
        git(repo, "commit", "-q", "--allow-empty", "-m", "free")
        assert (repo / "ran").exists()
    assert told(owner) == ["the commit guard was put back into git's hooks"]


def test_a_worktree_that_git_alone_made_gets_it(repo: Path, coord_for: Open) -> None:
    git(repo, "config", "core.hooksPath", "own-hooks")
    owner = coord_for("owner")
    placing.install(owner)
    with watched(repo):
        git(repo, "worktree", "add", "-q", "-b", "side", str(repo.parent / "side"))
        eventually(lambda: states(owner) == {"installed"}, within=60, what="the guard in the worktree's hooks")


def test_where_it_was_never_installed_or_is_no_longer_wanted_nothing_is_touched(repo: Path, coord_for: Open) -> None:
    owner = coord_for("owner")
    prepare(repo)
    assert (Unguarded(owner).look(), placing.restore(owner), states(owner)) == ((), False, {"missing"})
    placing.install(owner)
    looks = Unguarded(owner)
    assert looks.look() == ()  # they may be half written
    prepare(repo)
    eventually(looks.look, what="a look that finds them")
    placing.uninstall(owner)
    assert (looks.look(), placing.restore(owner), states(owner)) == ((), False, {"missing"})
    assert (told(owner), put_back(owner)) == ([], 0)


def test_a_hook_that_cannot_be_written_keeps_it_out_of_no_other(repo: Path, coord_for: Open) -> None:
    owner = coord_for("owner")
    placing.install(owner)
    hooks = repo / ".git/hooks"
    with watched(repo):
        (hooks / "pre-commit").write_text(f"#!{sys.executable}\n")
        (hooks / "pre-push").unlink()
        eventually((hooks / "pre-push").exists, within=60, what="the guard in the other hook")
    assert (hooks / "pre-commit").read_text() == f"#!{sys.executable}\n"
