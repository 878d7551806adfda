"""Who calls over HTTP: a secret for each agent, in a file that only its owner can read."""

import hmac
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

FOLDER = "http"


class Tokens:
    """The files below coord's private folder, one named after each agent."""

    def __init__(self, private: Path) -> None:
        self.folder = private / FOLDER

    def prepare(self, names: Iterable[str]) -> None:
        """Make the files that are missing."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in names:
            if not (self.folder / name).exists():
                made = self.folder / f".{name}.{os.getpid()}"
                made.unlink(missing_ok=True)
                descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "w") as file:
                    file.write(f"{secrets.token_urlsafe(32)}\n")
                made.rename(self.folder / name)

    def owner(self, names: Iterable[str], header: str) -> str | None:
        """Return whose token an Authorization header carries, among NAMES; a file that others can read counts not."""
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return None
        found = None
        for name in names:
            path = self.folder / name
            if not path.is_file() or path.stat().st_mode & 0o077:
                continue
            if hmac.compare_digest(path.read_bytes().strip(), token.strip().encode()):
                found = name
        return found
