"""What mending must replace goes aside first, under its own name, and stays there."""

import errno
import os
import shutil
from pathlib import Path

from coord.service.coord import Coord
from coord.stores import durable

FOLDER = "kept"


class Kept:
    """One mending's own folder below `.git/coord/kept/`, made when the first thing goes there."""

    def __init__(self, coord: Coord) -> None:
        self._home = coord.home
        self._folder = coord.private / FOLDER / coord.new_id()
        self.names: list[str] = []

    def move(self, path: Path) -> None:
        """Put what PATH is (a file, a link, a whole folder) aside, durably; nothing where nothing is."""
        if not os.path.lexists(path):
            return
        target = self._target(path)
        with durable.faults(f"put {path} aside"):
            try:
                path.rename(target)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                shutil.move(path, target)
            durable.sync_folder(target.parent)
            durable.sync_folder(path.parent)

    def copy(self, path: Path) -> None:
        """Put a copy of the file at PATH aside, durably."""
        target = self._target(path)
        with durable.faults(f"put a copy of {path} aside"):
            durable.replace(target, path.read_bytes())

    def _target(self, path: Path) -> Path:
        inside = path.relative_to(self._home) if path.is_relative_to(self._home) else path.relative_to("/")
        target = self._folder / inside
        number = 1
        while not self._is_free(target):
            number += 1
            target = self._folder / f"{number}" / inside
        with durable.faults(f"make {target.parent}"):
            durable.make_folder(target.parent)
        self.names.append(str(target.relative_to(self._home) if target.is_relative_to(self._home) else target))
        return target

    def _is_free(self, target: Path) -> bool:
        """Tell whether nothing is at TARGET, and no link that was put aside leads elsewhere on the way to it."""
        above = [path for path in target.parents if path.is_relative_to(self._folder)]
        return not os.path.lexists(target) and not any(
            path.is_symlink() or (path.exists() and not path.is_dir()) for path in above
        )
