"""Connections that the daemon hands over, and those that it does not."""

import socket

from coord.faces.mcp.hosting import Hosting


def test_facts_that_nobody_has_so_many_of_end_no_others_connection() -> None:
    said: list[str] = []
    hosting = Hosting(said.append)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        hosting.answer(theirs, [b"x" * ((1 << 20) + 1)])
    hosting.end()
    assert said == [], "a process was started that reads no more than a part of them, and takes the rest for others'"
