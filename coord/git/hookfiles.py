"""Lines of coord's own in git's hooks, beside whatever else is in them: added, found and taken away exactly."""

import os
import re
import shlex
from pathlib import Path
from typing import Literal

from coord.git import discovery
from coord.git.repo import Git
from coord.model.errors import Refused, Unavailable
from coord.model.regex import regex
from coord.model.values import frozen

State = Literal["installed", "missing", "other version", "not executable"]
_BEGIN, _END = "# >>> coord >>>", "# <<< coord <<<"
_OURS = regex(rf"{re.escape(_BEGIN)}\n.*?{re.escape(_END)}\n", re.DOTALL)
_SHELL = regex(r"#!\s*(?:/\S*/)?(?:env\s+(?:-\S+\s+)*)?(?:sh|bash|dash|zsh|ksh)\b")
_SHEBANG = "#!/bin/sh\n"
_KEPT = ".legacy"  # pre-commit puts a hook aside under this name, and runs it
_IGNORED, _ALL = ".gitignore", b"*\n"


@frozen
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
    return Path(os.path.realpath(git.cwd / (named or own_folder(git))))


def find(git: Git, name: str, lines: str) -> HookFile:
    """Tell whether coord's LINES are in a hook."""
    path = folder(git) / name
    text = _read(path)
    found = _OURS.search(text or "")
    state: State = "missing"
    if found is not None:
        as_now: State = "installed" if found[0] == _block(lines) else "other version"
        state = as_now if os.access(path, os.X_OK) else "not executable"
    return HookFile(name, path, state)


def add(git: Git, name: str, lines: str) -> HookFile:
    """Put coord's LINES at the beginning of a hook, which is made where there is none.

    Raises:
        Refused: the hook is no shell script, is kept by git itself, or leads elsewhere; says what to do by hand.
    """
    path = folder(git) / name
    if path.parent.exists() and not path.parent.is_dir():
        raise Refused(
            f"git runs no hooks here: core.hooksPath is {path.parent}, which is no folder",
            hint="git config --show-origin core.hooksPath says where that is set; take it out there, "
            f"or name a folder for this repository: git config core.hooksPath {shlex.quote(str(own_folder(git)))}",
        )
    text = _read(path)
    by_hand = f"add these lines to it yourself:\n{lines}"
    if path.is_symlink():
        raise Refused(f"{path} is a link to {path.readlink()}", hint=by_hand)
    if text is not None and _OURS.search(text) is None:
        if not _SHELL.match(text):
            raise Refused(f"{path} is no shell script, and coord leaves it alone", hint=_run_by_a_shell(path))
        if _is_kept(git, path):
            raise Refused(f"{path} is a file of the repository, and coord leaves it alone", hint=by_hand)
    if text is None:
        made = _SHEBANG + _block(lines)
    elif _OURS.search(text):
        made = _OURS.sub(lambda _: _block(lines), text, count=1)
    else:
        shebang, _, rest = text.partition("\n")
        made = f"{shebang}\n{_block(lines)}{rest}"
    _write(path, made, hide=not path.is_relative_to(discovery.find(git.cwd).common))
    _take_out(path.with_name(f"{name}{_KEPT}"))
    return find(git, name, lines)


def remove(git: Git, name: str) -> bool:
    """Take coord's lines out of a hook, and the hook away where nothing else was in it; False where none were."""
    path = folder(git) / name
    kept = _take_out(path.with_name(f"{name}{_KEPT}"))
    return _take_out(path) or kept


def _take_out(path: Path) -> bool:
    text = _read(path)
    if text is None or _OURS.search(text) is None:
        return False
    left = _OURS.sub("", text, count=1)
    if left == _SHEBANG:
        path.unlink()
        _leave(path.parent)
    else:
        _write(path, left, hide=False)
    return True


def own_folder(git: Git) -> Path:
    """Return the folder for hooks that git makes in each repository."""
    return discovery.find(git.cwd).common / "hooks"


def _run_by_a_shell(path: Path) -> str:
    named, own = shlex.quote(str(path)), shlex.quote(f"{path}.own")
    runs = f'printf \'#!/bin/sh\\nexec "$0.own" "$@"\\n\' > {named} && chmod +x {named}'
    return f"let a shell script run it, then install again: mv {named} {own} && {runs} && coord guard install"


def _block(lines: str) -> str:
    return f"{_BEGIN}\n{lines.rstrip()}\n{_END}\n"


def _read(path: Path) -> str | None:
    """Return the text of a hook byte for byte, or None where there is none."""
    try:
        return path.read_bytes().decode(errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return None


def _write(path: Path, text: str, *, hide: bool) -> None:
    """Write a hook whole; HIDE a folder that is made for it, which a working tree must not show."""
    beside = path.with_name(f"{path.name}.coord-tmp")
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True)
            if hide:
                (path.parent / _IGNORED).write_bytes(_ALL)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o755
        beside.write_bytes(text.encode(errors="surrogateescape"))
        beside.chmod(mode | 0o111)
        beside.replace(path)
    except OSError as error:
        raise Unavailable(f"cannot write the hook {path}: {error.strerror}", hint="see who may write there") from error


def _leave(folder: Path) -> None:
    """Remove a folder that only coord's hooks were in."""
    ignored = folder / _IGNORED
    if [*folder.iterdir()] == [ignored] and ignored.read_bytes() == _ALL:
        ignored.unlink()
        folder.rmdir()


def _is_kept(git: Git, path: Path) -> bool:
    done = git.run("ls-files", "--error-unmatch", "--", f":(top,literal){_below(git, path)}", check=False)
    return done.status == 0


def _below(git: Git, path: Path) -> str:
    return os.path.relpath(path, os.path.realpath(git.text("rev-parse", "--show-toplevel")))
