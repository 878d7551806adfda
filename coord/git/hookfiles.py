"""Lines of coord's own in git's hooks, beside whatever else is in them: added, found and taken away exactly."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from coord.git import discovery
from coord.git.repo import Git
from coord.model.errors import Refused, Unavailable

State = Literal["installed", "missing", "other version"]
_BEGIN, _END = "# >>> coord >>>", "# <<< coord <<<"
_OURS = re.compile(rf"{re.escape(_BEGIN)}\n.*?{re.escape(_END)}\n", re.DOTALL)
_SHELL = re.compile(r"#!\s*(?:/\S*/)?(?:env\s+(?:-\S+\s+)*)?(?:sh|bash|dash|zsh|ksh)\b")
_SHEBANG = "#!/bin/sh\n"


@dataclass(frozen=True, slots=True)
class HookFile:
    """One of git's hooks as a worktree sees it: where it is, and whether coord's lines are in it."""

    name: str
    path: Path
    state: State


def folder(git: Git) -> Path:
    """Return where git looks for the hooks of a worktree, as `core.hooksPath` says."""
    # The last one is coord's own, which keeps hooks out of what coord itself runs.
    *others, _own = git.run("config", "--path", "--null", "--get-all", "core.hooksPath").out.split(b"\0")[:-1]
    named = os.fsdecode(others[-1]) if others else ""
    return Path(os.path.realpath(git.cwd / (named or discovery.find(git.cwd).common / "hooks")))


def find(git: Git, name: str, lines: str) -> HookFile:
    """Tell whether coord's LINES are in a hook."""
    path = folder(git) / name
    text = _read(path)
    found = _OURS.search(text or "")
    state: State = "missing" if found is None else "installed" if found[0] == _block(lines) else "other version"
    return HookFile(name, path, state)


def add(git: Git, name: str, lines: str) -> HookFile:
    """Put coord's LINES at the beginning of a hook, which is made where there is none.

    Raises:
        Refused: the hook is no shell script, is kept by git itself, or leads elsewhere; says what to add by hand.
    """
    path = folder(git) / name
    text = _read(path)
    by_hand = f"add these lines to it yourself:\n{lines}"
    if path.is_symlink():
        raise Refused(f"{path} is a link to {path.readlink()}", hint=by_hand)
    if text is not None and _OURS.search(text) is None:
        if not _SHELL.match(text):
            raise Refused(f"{path} is no shell script, and coord leaves it alone", hint=by_hand)
        if _is_kept(git, path):
            raise Refused(f"{path} is a file of the repository, and coord leaves it alone", hint=by_hand)
    if text is None:
        made = _SHEBANG + _block(lines)
    elif _OURS.search(text):
        made = _OURS.sub(lambda _: _block(lines), text, count=1)
    else:
        shebang, _, rest = text.partition("\n")
        made = f"{shebang}\n{_block(lines)}{rest}"
    _write(path, made)
    return find(git, name, lines)


def remove(git: Git, name: str) -> bool:
    """Take coord's lines out of a hook, and the hook away where nothing else was in it; False where none were."""
    path = folder(git) / name
    text = _read(path)
    if text is None or _OURS.search(text) is None:
        return False
    left = _OURS.sub("", text, count=1)
    if left == _SHEBANG:
        path.unlink()
    else:
        _write(path, left)
    return True


def _block(lines: str) -> str:
    return f"{_BEGIN}\n{lines.rstrip()}\n{_END}\n"


def _read(path: Path) -> str | None:
    """Return the text of a hook byte for byte, or None where there is none."""
    try:
        return path.read_bytes().decode(errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return None


def _write(path: Path, text: str) -> None:
    beside = path.with_name(f"{path.name}.coord-tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o755
        beside.write_bytes(text.encode(errors="surrogateescape"))
        beside.chmod(mode | 0o111)
        beside.replace(path)
    except OSError as error:
        raise Unavailable(f"cannot write the hook {path}: {error.strerror}", hint="see who may write there") from error


def _is_kept(git: Git, path: Path) -> bool:
    done = git.run("ls-files", "--error-unmatch", "--", f":(top,literal){_below(git, path)}", check=False)
    return done.status == 0


def _below(git: Git, path: Path) -> str:
    return os.path.relpath(path, os.path.realpath(git.text("rev-parse", "--show-toplevel")))
