"""Whether the code branches keep their hands off the live folders."""

from pathlib import Path

from coord.git import output, worktree
from coord.git.output import LINK
from coord.git.repo import Git
from coord.model import keys


def tracked_live(git: Git) -> tuple[str, ...]:
    """Return what the index tracks of the live records, and of the links that worktrees have in their place."""
    listed = output.entries(git.run("ls-files", "-z", "--stage", "--", *keys.FOLDERS).out)
    return tuple(
        one.path for one in listed if keys.is_record(one.path) or (one.mode == LINK and one.path.count("/") < 2)
    )


def not_hidden(git: Git) -> tuple[str, ...]:
    """Return which of the three folders git would add to a branch."""
    return tuple(
        folder
        for folder in keys.FOLDERS
        if git.run("check-ignore", "--quiet", "--no-index", "--", f"{folder}/.coord", check=False).status == 1
    )


def can_hide(common: Path) -> bool:
    """Tell whether `worktree.hide` would add anything: what a `.gitignore` un-ignores it cannot hide."""
    exclude = common / "info" / "exclude"
    present = {line.strip() for line in exclude.read_bytes().splitlines()} if exclude.exists() else set()
    return not present.issuperset(worktree.HIDDEN)
