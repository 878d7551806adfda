"""The steps of a merge by name: what the queue does to the world, and on whose behalf inside coord."""

from collections import Counter
from pathlib import Path
from types import FrameType

import coord

_CODE = f"{Path(coord.__file__).parent}/"
_BEGINNINGS = {("service/merging/landing.py", "advance"), ("service/merging/landing.py", "tend")}
_THROUGH = ("git/repo.py",)


class Steps:
    """Names the points of a process that lie within a merge, and counts how often each name came."""

    def __init__(self) -> None:
        self.seen = Counter[str]()

    def named(self, frame: FrameType, called: str) -> str:
        """Return a point's name, the first `…#1`, or "" where no merge is under way."""
        way = _way(frame)
        if way is None:
            return ""
        name = f"{way}: {called}{_told(frame, called)}"
        self.seen[name] += 1
        return f"{name}#{self.seen[name]}"

    def all(self) -> list[str]:
        """Return the names of all points so far, each with its number."""
        return [f"{name}#{number}" for name, count in self.seen.items() for number in range(1, count + 1)]


def _way(frame: FrameType | None) -> str | None:
    """Return the way through coord's own code from the queue's step to a point."""
    names: list[str] = []
    while frame is not None:
        code = frame.f_code
        path = code.co_filename.removeprefix(_CODE)
        if path != code.co_filename:
            if (path, code.co_name) in _BEGINNINGS:
                return " > ".join(reversed(names))
            if path not in _THROUGH:
                names.append(f"{Path(path).stem}.{code.co_name}")
        frame = frame.f_back
    return None


def _told(frame: FrameType, called: str) -> str:
    """Return which program is begun."""
    if called != "fork_exec":
        return ""
    program, *words = map(str, frame.f_locals.get("args", ("?",)))
    while words[:1] == ["-c"]:
        del words[:2]
    return f" {program} {words[0] if program == 'git' and words else ''}".rstrip()
