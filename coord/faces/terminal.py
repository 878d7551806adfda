"""Where a command line comes from: its folder, its variables, and where its words go."""

import os
import sys
from collections.abc import Mapping
from typing import Self, TextIO


class Terminal:
    """One caller's; `progress` hears how far a long reading is, None where nobody looks."""

    def __init__(
        self, folder: str, environ: Mapping[str, str], out: TextIO, err: TextIO, progress: TextIO | None = None
    ) -> None:
        self.folder = folder
        self.environ = environ
        self.out = out
        self.err = err
        self.progress = progress

    @property
    def encoding(self) -> str:
        """The encoding of its output; "" where that is closed."""
        return getattr(self.out, "encoding", "") or ""

    @classmethod
    def own(cls) -> Self:
        """Return this process's."""
        progress = sys.stderr if sys.stderr and sys.stderr.isatty() else None
        return cls(".", os.environ, sys.stdout, sys.stderr, progress)
