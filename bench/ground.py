"""The ground to measure on: a fresh repository, and the floor that a durable file costs."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coord.service import setup
from coord.service.coord import Coord
from coord.stores import durable

AGENTS = tuple(f"agent-{number:02}" for number in range(13))
BODY = "x" * 600


@contextmanager
def repository(agents: tuple[str, ...] = AGENTS) -> Iterator[Path]:
    """Make a repository with coord set up in it, on the disk the working folder is on; it goes afterwards."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=Path.cwd(), ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "repo"
        home.mkdir()
        for words in (
            ["init", "-q"],
            ["-c", "user.name=b", "-c", "user.email=b@b", "commit", "-q", "--allow-empty", "-m", "b"],
        ):
            subprocess.run(["git", *words], cwd=home, check=True)
        setup.init(home, agents=agents)
        yield home


def opened(home: Path, who: str) -> Coord:
    """Open the repository as an agent."""
    return Coord.open(home, who=who)


class Floor:
    """The least that a durable file costs: written, fsynced, renamed, its folder fsynced."""

    def __init__(self, home: Path) -> None:
        self.folder = home / ".git" / "floor"
        self.folder.mkdir(exist_ok=True)
        self.data = (BODY + "\n" * 300).encode()
        self.count = 0

    def __call__(self) -> None:
        """Make one more file durable."""
        self.count += 1
        temporary = self.folder / f"tmp-{os.getpid()}"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(fd, self.data)
        durable.sync_file(fd)
        os.close(fd)
        temporary.rename(self.folder / f"{os.getpid()}-{self.count}")
        durable.sync_folder(self.folder)
