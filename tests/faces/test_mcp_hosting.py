"""Connections that the daemon hands over, and those that it does not."""

import socket
import subprocess
import sys
from pathlib import Path

from coord.faces.mcp.hosting import Hosting


def test_facts_that_nobody_has_so_many_of_end_no_others_connection() -> None:
    said: list[str] = []
    hosting = Hosting(said.append)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        hosting.answer(theirs, [b"x" * ((1 << 20) + 1)])
    hosting.end()
    assert said == [], "a process was started that reads no more than a part of them, and takes the rest for others'"


def test_http_that_no_process_can_be_started_for_is_said(tmp_path: Path) -> None:
    program = (
        "import queue, socket, sys; from pathlib import Path; from coord.faces.mcp.hosting import Hosting, listening\n"
        "said = queue.Queue()\nlistener = listening('0')\nsys.executable = '/no/such/python'\n"
        "Hosting(said.put).listen(listener, Path.cwd())\n"
        "with socket.create_connection(listener.getsockname()):\n    print(said.get(timeout=20))\n"
    )
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("HTTP is not served") and "/no/such/python" in done.stdout, done.stderr
