"""The daemon's side: assistants at its door are handed to one process that holds the protocol's SDK.

The daemon itself never loads the SDK. The process is started when the first assistant comes, again when it
has died and the next one comes, and ends when the daemon does, whose end of their channel then closes.
"""

import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from coord.model.errors import Unavailable, Usage

WEB = b"http"  # the facts of a listener, rather than of a connection, begin so
_PATIENCE = 5.0  # seconds until a process that takes nothing is given up for another
_BREATH, _LONGEST_BREATH = 0.5, 30.0  # between two that serve HTTP: longer each time, should each end at once
_SOUND = 30.0  # who served so long did not end at once
_LENGTH = 4
_LARGEST = 1 << 20


class Hosting:
    """The one process, and the channel to it; SAY hears when it is started."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    def answer(self, visitor: socket.socket, fields: Sequence[bytes]) -> None:
        """Hand an assistant's connection over, with the facts that it came with; one with far too many is let go."""
        if len(fields[0]) <= _LARGEST:
            self._handed(visitor, fields[0])

    def _handed(self, visitor: socket.socket, facts: bytes) -> "subprocess.Popen[bytes]":
        with self._turn:
            if self._process is not None and self._process.poll() is None:
                with suppress(OSError):
                    self._hand_over(visitor, facts)
                    return self._process
            started = self._process = self._start()
            self._hand_over(visitor, facts)
            return started

    def listen(self, listener: socket.socket, start: Path) -> None:
        """Have HTTP served on LISTENER, for the repository around START, from the first connection on."""
        facts = b"\0".join((WEB, os.fsencode(start)))
        threading.Thread(target=self._listen, args=(listener, facts), daemon=True, name="coord-http").start()

    def _listen(self, listener: socket.socket, facts: bytes) -> None:
        pause, told = _BREATH, ""
        while select.select([listener], [], []):
            begun, why = time.monotonic(), ""
            try:
                self._handed(listener, facts).wait()  # who knocks after its end is let in by the next one
            except OSError as fault:
                why = f"HTTP is not served: no process for it can be started: {fault}"
            if why and why != told:
                self._say(why)
            told = why
            pause = min(2 * pause, _LONGEST_BREATH) if time.monotonic() - begun < _SOUND else _BREATH
            time.sleep(pause)

    def end(self) -> None:
        """End the process, which the daemon's own end does as well."""
        with self._turn:
            if self._channel is not None:
                self._channel.close()
            if self._process is not None:
                self._process.wait()

    def _hand_over(self, visitor: socket.socket, facts: bytes) -> None:
        if self._channel is not None:
            socket.send_fds(self._channel, [len(facts).to_bytes(_LENGTH, "big")], [visitor.fileno()])
            self._channel.sendall(facts)

    def _start(self) -> "subprocess.Popen[bytes]":
        if self._channel is not None:
            self._channel.close()
        self._channel, theirs = socket.socketpair()
        self._channel.settimeout(_PATIENCE)
        with theirs:
            started = subprocess.Popen(
                # -P: the coordinated repository may have a folder called coord, and its code is not ours to run.
                [sys.executable, "-P", "-m", "coord", "mcp", "--host", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # an interrupt at the daemon's terminal is the daemon's to answer
            )
        self._say(f"serving assistants (pid {started.pid})")
        return started


def listening(address: str) -> socket.socket:
    """Return a listener at HOST:PORT, or at PORT of this machine alone.

    Raises:
        Usage: that is no address.
        Unavailable: it cannot be listened at.
    """
    host, _, port = address.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise Usage(f"{address!r} is no address", hint="give --http PORT, or --http 127.0.0.1:PORT")
    host = host.strip("[]") or "127.0.0.1"
    try:
        return socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as fault:
        reason = fault.strerror or str(fault)
        raise Unavailable(f"cannot listen at {address}: {reason}", hint="give another port, or 0 for any") from None


def place(listener: socket.socket) -> str:
    """Return HOST:PORT as a URL has it."""
    host, port, *_ = listener.getsockname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def taken(channel: socket.socket) -> tuple[int, bytes] | None:
    """Return the next connection that was handed over and its facts, or None when the daemon has ended."""
    head, handed, _, _ = socket.recv_fds(channel, _LENGTH, 1)
    if len(head) < _LENGTH or not handed:
        return None
    length = int.from_bytes(head, "big")
    facts = b""
    while len(facts) < length:
        chunk = channel.recv(length - len(facts))
        if not chunk:
            return None
        facts += chunk
    return handed[0], facts
