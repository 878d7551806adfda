"""Commands that only look: asked of the daemon, which has loaded what they need; its answer is passed on as it is.

The daemon answers what a command prints that finds no fault. Whatever else there is to say (of a mistake, a fault, a
daemon that is another coord or stands still), this process finds out by itself: then `main` says None.
"""

import os
import sys

import coord
from coord.thin import hook, reach

NAME = b"command"
# All commands that neither write nor wait, nor are the owner's alone; a test derives them from the list of commands.
SERVED = frozenset(
    {
        *("status", "mail list", "mail show", "mail thread", "lock list", "lock check", "checkpoint list"),
        *("checkpoint show", "checkpoint restore", "decision list", "worktree list", "guard status", "agents status"),
        *("merge list", "merge show", "merge log", "merge graph", "conflicts", "session list", "log", "history"),
        "watch status",
    }
)
# What is taken from a caller's environment: who it says it is, and how its terminal looks.
TOLD = (
    *("COORD_AGENT", "TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"),
    *("COLUMNS", "LINES"),
)
# What git and the clock obey: where it differs, so might the answer.
_ALIKE = (
    *("HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH"),
    "TZ",
)
_HERE = ("COORD_DEBUG", "_COORD_COMPLETE")  # ask for this process
_BEGINS_WITHIN, _GOES_ON_WITHIN = 0.5, 8.0
_CLEAR = b"\r\x1b[K"


def main(words: list[str]) -> int | None:
    """Run a command line by the daemon and return its exit status; None where this process is to run it."""
    try:
        answer = _answer(words) if name(words) and _is_usual() else None
        return _given(*answer) if answer and len(answer) == 2 else None
    except OSError:  # the daemon's end, or an output that takes nothing: which is said by who runs it here
        return None


def name(words: list[str]) -> str:
    """Return the command of SERVED that a command line runs, or "": another, or help."""
    if any(word == "--help" or word.startswith("-h") for word in words):
        return ""
    said: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in ("--as", "--repo"):
            next(rest, "")
        elif not word.startswith("-"):
            said.append(word)
            if (found := " ".join(said)) in SERVED:
                return found
        elif word != "--json" and not word.startswith(("--as=", "--repo=")):
            return ""
    return ""


def likeness() -> bytes:
    """Return what must be the same on both sides of the door."""
    code = (coord.__version__, os.path.dirname(coord.__file__), sys.prefix, sys.getfilesystemencoding())
    around = (f"{name}={os.environ[name]}" for name in _ALIKE if name in os.environ)
    return os.fsencode("\0".join((*code, str(os.geteuid()), *around)))


def _is_usual() -> bool:
    """Tell whether output and environment are of the kind that the daemon writes for."""
    if any(os.environ.get(name) for name in _HERE) or sys.stdout is None or sys.stderr is None:
        return False
    if os.environ.get("TERM", "").lower() == "unknown":
        return False
    return {sys.stdout.encoding.lower(), sys.stderr.encoding.lower()} == {"utf-8"}


def _answer(words: list[str]) -> list[bytes] | None:
    """Return the daemon's answer, status and output, or None where it gives none."""
    common = reach.common(_start(words))
    door = reach.connect(common) if common else None
    if door is None:
        return None
    shown = False
    try:
        door.settimeout(_BEGINS_WITHIN)
        line = b"\0".join(map(os.fsencode, words))
        told = "\0".join(f"{name}={value}" for name, value in _told().items())
        terminal = b"terminal" if os.isatty(1) else b""
        reach.send(door, NAME, likeness(), os.fsencode(os.getcwd()), line, os.fsencode(told), terminal)
        while True:
            said = reach.receive(door)
            if said is None or len(said) > 1:
                return said
            if said[0] and os.isatty(2):
                shown = True
                hook.write(2, said[0])
            door.settimeout(_GOES_ON_WITHIN)
    finally:
        door.close()
        if shown:
            hook.write(2, _CLEAR)


def _start(words: list[str]) -> str:
    """Return where to look for a daemon; which repository is meant in the end, is for the daemon to see."""
    start = ""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == "--repo":
            start = following
        elif word.startswith("--repo="):
            start = word.removeprefix("--repo=")
    return start or "."


def _told() -> dict[str, str]:
    told = {name: os.environ[name] for name in TOLD if name in os.environ}
    columns, lines = _size()
    return {"COLUMNS": str(columns or 80), "LINES": str(lines or 25)} | {
        name: value for name, value in told.items() if name not in ("COLUMNS", "LINES") or value.isdigit()
    }


def _size() -> tuple[int, int]:
    for descriptor in (0, 1, 2):
        try:
            return os.get_terminal_size(descriptor)
        except OSError:
            continue
    return 0, 0


def _given(status: bytes, out: bytes) -> int:
    try:
        hook.write(1, out)
    except BrokenPipeError:
        return 0  # its reader has what it wanted
    return int(status)
