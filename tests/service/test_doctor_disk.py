"""A disk that is full or mounted read-only, a real one of 1 MiB: what can be read is read, the rest says why not."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import git

from coord.service import setup

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="mounting a file system takes root on Linux"
)
READS = ("log", "status", "mail list --read", "mail show {id}", "mail thread {id}", "checkpoint restore", "lock list")
WRITES = ("mail send frontend hi", "mail read", "lock acquire src", "checkpoint save words", "doctor --fix")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A repository on a disk of its own, with a message in it, and nothing indexed yet."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], check=False)
    if mounted.returncode:
        pytest.skip("this container may not mount")
    try:
        git(place, "init", "-q", "--template=")
        setup.init(place, agents=("backend", "frontend"))
        assert run(place, "mail send frontend hello").returncode == 0
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def run(home: Path, words: str) -> "subprocess.CompletedProcess[str]":
    who = "backend" if "send" in words else "frontend"
    identifier = next((home / "inbox/frontend").rglob("*.md"), Path("-")).name[:26]
    command = [sys.executable, "-m", "coord", "--as", who, *words.format(id=identifier).split()]
    return subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)


def remount(home: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(home)], check=True)


@pytest.mark.parametrize("indexed", [False, True], ids=["no index", "index"])
def test_a_read_only_disk_is_named_and_read(home: Path, indexed: bool) -> None:
    if indexed:
        assert run(home, "log").returncode == 0
    remount(home, "ro")
    for words in READS:
        done = run(home, words)
        assert done.returncode == 0, (words, done.stderr)
    assert "hello" in run(home, "log").stdout
    assert "mail.sent" in run(home, "log").stdout
    for words in WRITES:
        done = run(home, words)
        assert done.returncode == 6, words
        assert "mount it writable" in done.stderr
    found = run(home, "doctor")
    assert found.returncode == 7
    assert "mounted read-only" in found.stdout
    assert f"mount -o remount,rw {home}" in found.stdout
    assert found.stdout.count("✗") == 1
    remount(home, "rw")
    assert run(home, "doctor").returncode == 0


@pytest.mark.parametrize("indexed", [False, True], ids=["no index", "index"])
def test_a_full_disk_is_named_and_read_and_works_again_with_room(home: Path, indexed: bool) -> None:
    if indexed:
        assert run(home, "log").returncode == 0
    with (home / "fill").open("wb", buffering=0) as fill, pytest.raises(OSError, match="No space"):
        while True:
            fill.write(b"x" * 4096)
    for words in READS:
        done = run(home, words)
        assert done.returncode == 0, (words, done.stderr)
    assert "hello" in run(home, "log").stdout
    done = run(home, "mail send frontend hi")
    assert done.returncode == 6
    assert "free some disk space" in done.stderr
    found = run(home, "doctor")
    assert "bytes are free there" in found.stdout
    assert found.returncode == 7
    (home / "fill").unlink()
    assert run(home, "mail send frontend again").returncode == 0
    assert run(home, "doctor --fix").returncode == 0
    assert run(home, "ledger verify").returncode == 0
