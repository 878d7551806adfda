"""Commands at the daemon's door: the same command line, for callers that only look and load nothing themselves.

A caller can ask for nothing that it could not ask of the server that assistants start: of this repository alone, and
of its own environment only who it is and how its terminal looks. Whoever gets no answer does it all by itself, and so
finds the words for what is wrong.
"""

import io
import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import click

import coord
from coord.faces import cli, options
from coord.faces.terminal import Terminal
from coord.model.errors import CoordError, Usage
from coord.service import commands
from coord.thin import command, reach

_PATIENCE = 30.0  # seconds that a caller may take to take its answer


def visitors(common: Path) -> Callable[[socket.socket, Sequence[bytes]], None]:
    """Return what answers commands at the door of the daemon of the repository whose git directory is COMMON."""
    tree = cli.Tree("coord", {name: partial(commands.find, name) for name in command.SERVED})
    loaded = _Source()

    def serve(visitor: socket.socket, fields: Sequence[bytes]) -> None:
        likeness, folder, line, told, terminal = fields
        words = [os.fsdecode(word) for word in line.split(b"\0")]
        if likeness != command.likeness() or not command.name(words) or loaded.has_changed():
            return
        visitor.settimeout(_PATIENCE)
        reach.send(visitor, b"")
        pairs = (pair.partition("=")[::2] for pair in os.fsdecode(told).split("\0"))
        environ = {name: value for name, value in pairs if name in command.TOLD}
        out, err = _Output(terminal=bool(terminal)), _Output()
        given = _Visitor(Terminal(os.fsdecode(folder), environ, out, err, _Progress(visitor)), common)
        try:
            status = tree.main(words, prog_name="coord", standalone_mode=False, obj=given)
        except (click.ClickException, CoordError, OSError):
            return
        if not err.written():
            reach.send(visitor, b"%d" % (status if isinstance(status, int) else 0), out.written())

    return serve


class _Visitor(options.Given):
    def __init__(self, terminal: Terminal, common: Path) -> None:
        super().__init__(terminal=terminal)
        self._common = common

    def start(self) -> Path:
        """Return the folder to look for the repository from.

        Raises:
            Usage: it is in another repository than the daemon's.
        """
        start = super().start()
        found = reach.common(str(start))
        if not found or os.path.realpath(found) != os.path.realpath(self._common):
            raise Usage(f"{start} is in another repository")
        return start


class _Output(io.TextIOWrapper):
    """What is written, as the bytes that a caller's own output would get."""

    def __init__(self, *, terminal: bool = False) -> None:
        self._bytes = io.BytesIO()
        self._terminal = terminal
        super().__init__(self._bytes, encoding="utf-8", errors="backslashreplace", newline="\n")

    def isatty(self) -> bool:
        """Tell whether the caller's is a terminal."""
        return self._terminal

    def written(self) -> bytes:
        """Return all of it."""
        self.flush()
        return self._bytes.getvalue()


class _Progress(io.StringIO):
    """Passes on at once what is said of how far a long reading is: a sign of life, too."""

    def __init__(self, visitor: socket.socket) -> None:
        super().__init__()
        self._visitor = visitor

    def write(self, text: str) -> int:
        """Pass TEXT on.

        Raises:
            Usage: nobody listens any more.
        """
        try:
            reach.send(self._visitor, text.encode())
        except OSError:
            raise Usage("whoever asked has gone") from None  # click would take that for its own output's end
        return len(text)


class _Source:
    """The files that coord was loaded from, and is still to be loaded from."""

    def __init__(self) -> None:
        self._paths = list(map(str, Path(coord.__file__).parent.rglob("*.py")))
        self._times = self._look()

    def has_changed(self) -> bool:
        """Tell whether they are others now than when the daemon began: then a caller's coord is not this one."""
        return self._look() != self._times

    def _look(self) -> list[int]:
        try:
            return [os.stat(path).st_mtime_ns for path in self._paths]
        except OSError:
            return []
