"""Where a repository is, found without running git.

GitPython's configuration reader is used where its place is unusual (`core.worktree`).
"""

import os
import re
from pathlib import Path

import git

from coord.model.errors import Refused, Usage
from coord.model.regex import regex
from coord.model.values import frozen

_UNUSUAL = regex(r"\bworktree\s*=", re.IGNORECASE)
_BARE = regex(r"\bbare\s*=\s*(?:true|yes|on|1)\b", re.IGNORECASE)


@frozen
class Place:
    """Where a caller stands: the main worktree's top, git's common directory, and the worktree's own top."""

    home: Path
    common: Path
    top: Path


def find(start: Path) -> Place:
    """Find the repository around START, without running git.

    Raises:
        Usage: there is none.
        Refused: it is bare, or its main worktree cannot be told.
    """
    begin = Path(os.path.realpath(start))
    for top in (begin, *begin.parents):
        entry = top / ".git"
        if entry.is_dir() and (entry / "HEAD").exists():
            home = _worktree_of(entry, top)
            return Place(home, entry, home)
        if entry.is_file():
            return _linked(entry, top)
        if (top / "HEAD").is_file() and (top / "objects").is_dir() and (top / "refs").is_dir() and top.name != ".git":
            raise _bare(top)
    raise Usage(f"{begin} is not inside a git repository", hint="run `git init` there, or go to the repository")


def may_set(common: Path, name: str) -> bool:
    """Tell whether the repository at COMMON itself may set NAME, which git writes into its configuration alone.

    Where it does not, git need not be asked: that costs a process.
    """
    _, config = _configuration(common)
    return name.rpartition(".")[2].lower() in (said := config.lower()) or "include" in said


def _configuration(common: Path) -> tuple[list[Path], str]:
    files = [file for file in (common / "config", common / "config.worktree") if file.exists()]
    return files, "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in files)


def _linked(entry: Path, top: Path) -> Place:
    words = entry.read_text(encoding="utf-8", errors="surrogateescape")
    if not words.startswith("gitdir:"):
        raise Usage(f"{entry} is no git file", hint="see `git help gitrepository-layout`")
    private = Path(os.path.realpath(top / words.removeprefix("gitdir:").strip()))
    pointer = private / "commondir"
    if not pointer.exists():
        if not (private / "HEAD").exists():
            raise Usage(
                f"{entry} points to {private}, which is no repository", hint="run `git worktree repair` at home"
            )
        return Place(top, private, top)
    common = Path(os.path.realpath(private / pointer.read_text(encoding="utf-8").strip()))
    return Place(home_of(common), common, top)


def home_of(common: Path) -> Path:
    """Return the main worktree of the repository at COMMON, as its other worktrees find it.

    Raises:
        Refused: they cannot, or there is none.
    """
    return _worktree_of(common, common.parent if common.name == ".git" else None)


def _worktree_of(common: Path, usual: Path | None) -> Path:
    """Return the main worktree of the repository at COMMON: USUAL, unless its configuration says otherwise."""
    files, config = _configuration(common)
    if _BARE.search(config):
        raise _bare(common)
    if _UNUSUAL.search(config):
        with git.GitConfigParser(files, read_only=True) as settings:
            named = settings.get_value("core", "worktree", "")
        usual = Path(os.path.realpath(common / str(named))) if named else usual
    if usual is None:
        raise Refused(
            f"the main worktree of {common} cannot be told from here",
            hint=f"run `git -C {common} config core.worktree <its path>`, or use coord from the main worktree",
        )
    return usual


def _bare(common: Path) -> Refused:
    return Refused(f"{common} is a bare repository: it has no worktree to work in", hint="clone it and use coord there")
