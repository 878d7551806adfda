"""coord's entries in the files of coding assistants: shown first, written when told to, taken out exactly."""

import difflib
import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Protocol

from coord.git.repo import Git
from coord.model.errors import Conflict, Refused
from coord.model.values import frozen
from coord.service.clients import claude, codex, gemini, guide
from coord.service.clients.jsonread import Broken
from coord.service.clients.names import Client
from coord.service.command import command
from coord.service.coord import Coord
from coord.stores import durable

Target = Literal[Client, "guide"]
State = Literal["installed", "missing", "other version", "broken"]


class File(Protocol):
    """A file of an assistant: where it is, and its text with and without what is coord's."""

    @property
    def path(self) -> str:
        """Where it is, below the top of a worktree."""
        ...

    def installed(self, text: str) -> str:
        """Return TEXT with coord's part as it is now."""
        ...

    def removed(self, text: str) -> str:
        """Return TEXT without it."""
        ...


FILES: Mapping[Target, Sequence[File]] = {
    "claude": claude.FILES,
    "codex": codex.FILES,
    "gemini": gemini.FILES,
    "guide": guide.FILES,
}
_TRUSTS = {
    "claude": "Claude Code asks its user whether to trust the folder, and whether to start the server",
    "codex": "Codex reads them where its user trusts the repository, and runs hooks that its user reviewed (/hooks)",
    "gemini": "Gemini reads them in a folder that its user trusts; each worktree is one (/permissions)",
}


@frozen
class Edit:
    """What one file gets or loses, as a unified diff; an empty one says that it stays as it is."""

    path: str
    diff: str


@frozen
class Edits:
    """What the files of some assistants get or lose, and whether that is written or only shown."""

    edits: tuple[Edit, ...]
    written: bool
    notes: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether any file differs from what it should be."""
        return any(edit.diff for edit in self.edits)

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that were looked at."""
        return tuple(edit.path for edit in self.edits)

    @property
    def exit_status(self) -> int:
        """0 if the files are as they should be now."""
        return 0 if self.written or not self.changes else 1


@frozen
class Part:
    """One file of one assistant, and whether coord's part is in it."""

    client: Target
    path: str
    state: State


@frozen
class Parts:
    """What coord has in the files of each assistant, in the worktree that one stands in."""

    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()


@frozen
class _Planned:
    """A file as it was found, and as it should be; None where there is none."""

    name: str
    path: Path
    old: bytes | None
    new: bytes | None


_CLIENTS = "claude, codex, gemini; guide: the section of AGENTS.md that teaches agents coord…"


@command("agents install", writes=True, example="coord agents install claude guide --write")
def install(
    coord: Coord,
    clients: Annotated[tuple[Target, ...], _CLIENTS],
    *,
    write: Annotated[bool, "write the files; without it the diff is only shown"] = False,
) -> Edits:
    """Put coord into the files that coding assistants read: the server, and the hooks.

    Shows the diff, and writes it with `--write`; exits with 1 where there is one that is
    not written. Whatever else is in the files stays as it is, byte for byte. Safe to run again:
    what an older version wrote is brought up to date.

    Raises:
        Refused: a file is broken, has something else in the place of an entry, or lies outside of the repository.
    """
    done = _done([_planned(coord, file, present=True) for _, file in _files(coord, clients)], write)
    trusts = (_TRUSTS[one] for one in dict.fromkeys(clients) if one in _TRUSTS)
    return replace(done, notes=(*_told(coord, done.paths), *trusts)) if done.changes else done


@command("agents remove", writes=True, example="coord agents remove claude --write")
def remove(
    coord: Coord,
    clients: Annotated[tuple[Target, ...], _CLIENTS],
    *,
    write: Annotated[bool, "write the files; without it the diff is only shown"] = False,
) -> Edits:
    """Take coord's entries out of the files of coding assistants, and nothing else.

    Raises:
        Refused: a file is broken, or lies outside of the repository.
    """
    return _done([_planned(coord, file, present=False) for _, file in _files(coord, clients)], write)


@command("agents status", example="coord agents status")
def status(coord: Coord) -> Parts:
    """Tell what coord has in the files of each coding assistant."""
    parts: list[Part] = []
    notes: list[str] = []
    for client, file in _files(coord, [*FILES]):
        try:
            state = _state(coord, file)
        except Refused as fault:
            state = "broken"
            notes.append(fault.message)
        parts.append(Part(client, file.path, state))
    there = [part.path for part in parts if part.state in ("installed", "other version")]
    return Parts(tuple(parts), (*notes, *(_told(coord, there) if there else ())))


def _state(coord: Coord, file: File) -> State:
    found, bare = _planned(coord, file, present=True), _planned(coord, file, present=False)
    return "installed" if found.new == found.old else "missing" if bare.new == bare.old else "other version"


def _files(coord: Coord, clients: Sequence[Target]) -> Iterator[tuple[Target, File]]:
    """Yield each file once: a CLAUDE.md that is a link to AGENTS.md needs nothing of its own."""
    seen: set[str] = set()
    for client, file in [(one, file) for one in dict.fromkeys(clients) for file in FILES[one]]:
        path = os.path.realpath(coord.place.top / file.path)
        if path not in seen:
            seen.add(path)
            yield client, file


def _planned(coord: Coord, file: File, *, present: bool) -> _Planned:
    path = _place(coord, file.path)
    old = _read(path)
    try:
        text = (old or b"").decode()
        made = file.installed(text) if present else file.removed(text)
    except UnicodeDecodeError as fault:
        raise Refused(f"{path} is not UTF-8 (byte {fault.start})", hint="save it as UTF-8, then run it again") from None
    except Broken as fault:
        raise Refused(
            f"{path}, line {fault.line}: {fault.reason}",
            hint="mend it with an editor, then run it again; nothing is written",
            path=str(path),
            line=fault.line,
        ) from None
    return _Planned(file.path, path, old, made.encode() if made or (made == text and old is not None) else None)


def _place(coord: Coord, name: str) -> Path:
    """Return the file itself, behind links; they may not lead out of the worktree."""
    top = os.path.realpath(coord.place.top)
    path = os.path.realpath(coord.place.top / name)
    if os.path.commonpath((top, path)) != top:
        raise Refused(f"{name} leads to {path}, outside of {top}", hint="edit it by hand, or take the link away")
    return Path(path)


def _read(path: Path) -> bytes | None:
    with durable.faults(f"read {path}"):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None


def _done(plans: Sequence[_Planned], write: bool) -> Edits:
    for plan in plans if write else ():
        _write(plan)
    return Edits(tuple(Edit(plan.name, _diff(plan)) for plan in plans), write)


def _diff(plan: _Planned) -> str:
    if plan.old == plan.new:
        return ""
    old, new = ((one or b"").decode().splitlines(keepends=True) for one in (plan.old, plan.new))
    before = "/dev/null" if plan.old is None else f"a/{plan.name}"
    after = "/dev/null" if plan.new is None else f"b/{plan.name}"
    lines = difflib.unified_diff(old, new, before, after)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _write(plan: _Planned) -> None:
    if plan.new == plan.old:
        return
    if _read(plan.path) != plan.old:
        raise Conflict(f"{plan.path} was changed meanwhile", hint="run it again")
    with durable.faults(f"write {plan.path}"):
        if plan.new is None:
            plan.path.unlink()
            with suppress(OSError):  # it holds other files, and stays
                plan.path.parent.rmdir()
            return
        plan.path.parent.mkdir(parents=True, exist_ok=True)
        mode = stat.S_IMODE(plan.path.stat().st_mode) if plan.old is not None else None
        durable.replace(plan.path, plan.new, mode=mode)


def _told(coord: Coord, names: Sequence[str]) -> Iterator[str]:
    """Yield what stands between these files and the agents that should read them."""
    if shutil.which("coord") is None:
        yield "coord is not on the PATH here: assistants start it by this name"
    git = Git(coord.place.top)
    if ignored := git.run("check-ignore", "--", *names, check=False).out.decode().splitlines():
        yield f"git ignores {', '.join(ignored)}: the worktrees of agents will not have it"
    loose = git.run("ls-files", "-mo", "--exclude-standard", "--deduplicate", "--", *names).out.decode().splitlines()
    if loose:
        yield f"commit {', '.join(loose)}: a worktree has it when its branch has the commit"
