import contextlib
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from support import eventually

from coord.daemon import door
from coord.thin import reach

ASK = """
import sys; sys.path.insert(0, sys.argv[1])
from coord.thin import reach
common = reach.common(".")
visitor = reach.connect(common)
if visitor is None: print("nobody"); sys.exit()
reach.send(visitor, b"echo", b"", b"a\\0b\\n" * 100_000)
print([len(one) for one in reach.receive(visitor) or [b"none"]])
"""
ROOT = Path(door.__file__).parents[2]


def echo(visitor: socket.socket, fields: Sequence[bytes]) -> None:
    visitor.sendall(b" ".join(b"%d" % len(one) for one in fields) + b"\n" + b"".join(fields))


def ask(where: Path, code: str = ASK) -> str:
    words = [sys.executable, "-I", "-S", "-c", code, str(ROOT)]
    return subprocess.run(words, cwd=where, check=True, capture_output=True, text=True, timeout=20).stdout.strip()


@pytest.fixture
def private(repo: Path) -> Path:
    return repo / ".git/coord"


@pytest.fixture
def said(private: Path) -> Iterator[list[str]]:
    lines: list[str] = []

    def fail(*_: object) -> None:
        raise RuntimeError("a fault")

    with door.opened(private, {"echo": echo, "fail": fail}, lines.append):
        yield lines


def test_a_bare_interpreter_is_answered(repo: Path, said: list[str]) -> None:
    assert ask(repo) == "[0, 400000]"
    inner = repo / "web_app"
    inner.mkdir(exist_ok=True)
    assert ask(inner) == "[0, 400000]"


def test_where_nobody_listens_nobody_waits(repo: Path) -> None:
    assert ask(repo) == "nobody"


def test_what_a_dead_daemon_left_is_replaced(repo: Path, private: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(private / "door"))
    assert ask(repo) == "nobody"
    with door.opened(private, {"echo": echo}, print):
        assert ask(repo) == "[0, 400000]"
    assert not (private / "door").exists()


def test_nobody_else_may_come_in(private: Path, said: list[str]) -> None:
    assert (private / "door").stat().st_mode & 0o077 == 0


def test_a_long_path_is_no_obstacle(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120) / "project"
    deep.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(deep)], check=True)
    with door.opened(deep / ".git/coord", {"echo": echo}, print):
        assert ask(deep) == "[0, 400000]"


@pytest.mark.parametrize(
    "words", [b"\n", b"x" * 500, b"9999999999\n", b"4 3\nech", b"4\nfail", b"4\nnone", b"-1\n", b""]
)
def test_strangers_end_nothing(repo: Path, private: Path, said: list[str], words: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        with contextlib.chdir(private):
            stranger.connect("door")
        stranger.sendall(words)
        stranger.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            assert stranger.recv(100) == b""
    assert ask(repo) == "[0, 400000]"
    assert [("a fault" in line) for line in said] == ([True] if words == b"4\nfail" else [])


def test_where_files_run_out_visitors_wait_and_are_served_when_there_are_some(
    private: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(private)  # a socket's path may have no more than some hundred characters
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as visitor:
        visitor.settimeout(20)
        free = os.dup(0)
        os.close(free)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
            visitor.connect("door")
            eventually(lambda: said, what="that nobody can come in")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        reach.send(visitor, b"echo", b"a")
        assert reach.receive(visitor) == [b"a"]
    assert len(said) == 1 and "Too many open files" in said[0]
