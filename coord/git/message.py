"""The message of a commit that is being made, in the file that git gives its hooks."""

from collections.abc import Sequence
from pathlib import Path

from coord.git.repo import Git

_CUT = b"------------------------ >8 ------------------------"
_PLAIN = {"trailer.separators": ":"}


def sign(git: Git, file: Path, trailers: Sequence[str]) -> bool:
    """Add to the message in FILE those of TRAILERS that it lacks; False where it is empty, and nothing is committed.

    Comments, and the change that `git commit --verbose` shows below them, stay where they are.
    """
    words, _, _ = file.read_bytes().partition(_CUT)
    if not git.run("stripspace", "--strip-comments", stdin=words).out.strip():
        return False
    asked = [word for trailer in trailers for word in ("--trailer", trailer)]
    how = ("--where", "end", "--if-exists", "addIfDifferent", "--if-missing", "add", "--no-divider")
    git.run("interpret-trailers", "--in-place", *how, *asked, str(file), config=_PLAIN)
    return True
