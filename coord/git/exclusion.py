"""Whether the code branches keep their hands off the live folders."""

from pathlib import Path

from coord.git import worktree
from coord.git.repo import Git
from coord.model import keys

_LINK = "120000"


def tracked_live(git: Git) -> tuple[str, ...]:
    """Return what the index tracks of the live records, and of the links that worktrees have in their place."""
    listed = git.run("ls-files", "-z", "--stage", "--", *keys.FOLDERS).out.decode(errors="surrogateescape").split("\0")
    pairs = (line.partition("\t")[::2] for line in listed if line)
    return tuple(
        path for facts, path in pairs if keys.is_record(path) or (facts.startswith(_LINK) and path.count("/") < 2)
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
