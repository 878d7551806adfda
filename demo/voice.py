"""How the story is told: one line for each thing that happens, in colour on a terminal, plain in a pipe."""

import os
import re
import shutil
import sys
from datetime import datetime
from typing import TextIO

from coord.model.untrusted import clean_line

_COLOURS = {"bad": "33", "good": "32", "dim": "2", "alarm": "1;31", "ledger": "36", "head": "1", "who": "1"}
_LEDGER = re.compile(r"(\d\d:\d\d:\d\d) ([a-z]+\.[a-z]+) (.*)")
_WHO = 16
_LEAST = 60


class Voice:
    """Writes lines; one at a time, from one thread."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self.out = out
        drawn = out.isatty() and os.environ.get("TERM") != "dumb" and "NO_COLOR" not in os.environ
        self.colour = drawn
        self.width = max(shutil.get_terminal_size().columns, _LEAST) if out.isatty() else 0

    def plain(self, text: str = "", tone: str = "") -> None:
        """Write a line as it is."""
        self.out.write(f"{self.painted(text, tone)}\n")
        self.out.flush()

    def act(self, number: int, title: str, about: str) -> None:
        """Write the heading of an act."""
        self.plain()
        self.plain(f"{self.painted(f'{number}. {title}', 'head')} {self.painted(f'- {about}', 'dim')}")

    def happened(self, who: str, text: str, tone: str = "", clock: str = "") -> None:
        """Write what somebody did, now or at the time given."""
        clock = clock or f"{datetime.now().astimezone():%H:%M:%S}"
        room = self.width - len(clock) - _WHO - 4 if self.width else 1000
        line = clean_line(text, room) if not text.startswith(" ") else f"  {clean_line(text, room - 2)}"
        shade = "ledger" if tone == "ledger" else "who"
        self.plain(f"{self.painted(clock, 'dim')}  {self.painted(f'{who:<{_WHO}}', shade)}  {self._told(line, tone)}")

    def watched(self, line: str) -> tuple[str, str]:
        """Write a line of `coord watch`; return the event's kind and subject, or nothing where it tells of none."""
        found = _LEDGER.fullmatch(line)
        if found is None:
            self.happened("coord watch", line, "dim")
            return "", ""
        clock, kind, subject = found.groups()
        self.happened(kind, subject, "ledger", clock)
        return kind, subject

    def _told(self, text: str, tone: str) -> str:
        return text if tone == "ledger" else self.painted(text, tone)

    def painted(self, text: str, tone: str) -> str:
        """Return TEXT in the colour of TONE, where there are colours."""
        return f"\x1b[{_COLOURS[tone]}m{text}\x1b[0m" if self.colour and tone else text
