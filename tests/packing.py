"""Packs made to measure, and what must hold of them."""

import subprocess
from pathlib import Path

from coord.git import packs


def sh(cwd: Path, *args: str, stdin: str = "") -> str:
    done = subprocess.run(["git", *args], cwd=cwd, check=True, capture_output=True, text=True, input=stdin)
    return done.stdout.strip()


def folder(top: Path) -> Path:
    return packs.folder_of(top / ".git")


def pack(top: Path, *texts: str) -> Path:
    """Make a pack of texts, of which none is loose."""
    made = [sh(top, "hash-object", "-w", "--stdin", stdin=text) for text in texts]
    name = sh(top, "pack-objects", "-q", ".git/objects/pack/pack", stdin="\n".join(made) + "\n")
    sh(top, "prune-packed", "-q")
    return folder(top) / f"pack-{name}.pack"


def small(top: Path, count: int) -> list[Path]:
    return [pack(top, f"small {number}", f"also small {number}") for number in range(count)]


def objects(top: Path) -> set[str]:
    listed = sh(top, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    return set(listed.split())


def is_loose(top: Path, name: str) -> bool:
    return (top / ".git/objects" / name[:2] / name[2:]).exists()


def assert_sound(top: Path, told: set[str]) -> None:
    assert objects(top) >= told
    sh(top, "fsck", "--strict", "--full")


def assert_tidy(top: Path) -> None:
    left = set(folder(top).iterdir())
    assert left == {pack.with_suffix(kind) for pack in packs.joinable(top / ".git") for kind in (".pack", ".idx")}
    assert not (top / ".git/coord/joining").exists()
