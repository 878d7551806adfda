"""`coord mcp`: pass lines between an assistant and the process that serves them all, as long as the assistant lives.

It knows of the protocol only which lines await an answer. Where the other side ends, it waits for the
next one, says again what made the connection what it was, and asks again what was not answered; so the
assistant notices nothing but a delay. Every request is asked again under the same name, by which the
other side does once what is asked twice. Where no daemon comes, a server of its own takes its place.
"""

import _json
import _socket
import os
import select
import sys
import time

if not __package__:
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from coord.thin import reach

GREETING = b"coord\n"  # what the other side says first, so that one that stands still is never asked
ASKED = ("COORD_AGENT", "COORD_SESSION", "CLAUDE_CODE_SESSION_ID")
_PATIENCE = 10.0  # seconds that a request waits for a daemon and its greeting
_LOADING = 15.0  # and longer where one let us in: on a busy machine it loads so long, and so would a child
_START = 30.0  # that it waits for the greeting of a child, which loads everything
_PAUSE, _LONG_PAUSE = 0.05, 1.0  # between two looks for a daemon: while something waits, and while nothing does
_TIMES = 3  # that one request is asked: it may be what ends the other side
_ROOM = 1 << 20
_GONE = b"coord mcp: the folder that this was started in is gone\n  next: start it elsewhere, or give --repo PATH\n"
_AT_ONCE = select.PIPE_BUF  # a pipe that can be written to takes so much without blocking


class _Plain:
    """How JSON is read: as it is."""

    strict = False
    object_hook = object_pairs_hook = None
    parse_float, parse_int, parse_constant = float, int, str
    memo: "dict[str, str]" = {}  # noqa: RUF012 - the scanner's own


_scan = _json.make_scanner(_Plain())  # type: ignore[arg-type]


def main(words: list[str]) -> int:
    """Relay between the standard streams and the daemon until the assistant leaves; without one, serve."""
    start, who, understood = _told(words)
    if not understood:  # the whole command line says what is wrong
        return os.execv(sys.executable, _server(words))
    if not start:
        os.write(2, _GONE)
        return 2
    common = reach.common(start)
    door = reach.connect(common) if common else None
    if door is None:
        return os.execv(sys.executable, _server(words))
    try:
        return Relay(start, who, common, words).run(door)
    except (BrokenPipeError, KeyboardInterrupt):
        return 0  # it left


class Relay:
    """One assistant's connection."""

    def __init__(self, start: str, who: str, common: str, words: list[str]) -> None:
        self.start = start
        self.who = who
        self.common = common
        self.words = words
        self.name = os.urandom(16).hex()
        self.kept: dict[str, bytes] = {}  # lines that made the connection what it is
        self.waiting: dict[object, bytes] = {}  # requests without an answer, by their id
        self.came: dict[object, float] = {}  # when each of them did
        self.asked: dict[object, int] = {}  # how often each of them was passed on
        self.swallowed: set[object] = set()  # ids whose answers the assistant had before
        self.other: _socket.socket | None = None
        self.greeted = False
        self.child = 0
        self.failed = 0  # ends in a row without a greeting
        self.deadline = 0.0  # until when what waits waits for a daemon
        self.next_look = 0.0
        self.from_client: list[bytes] = []  # pieces of a line that is not whole yet
        self.from_other: list[bytes] = []
        self.to_client, self.to_other = bytearray(), bytearray()

    def run(self, door: "_socket.socket") -> int:
        """Relay until the assistant leaves; returns the exit status."""
        self._meet(door)
        while True:
            if not self.greeted:
                self._look()
            if self.failed > _TIMES and self.child:
                os.write(2, b"coord mcp: the server ends before it answers\n")
                return 1
            reading: list[int | _socket.socket] = [0] if len(self.to_other) < _ROOM else []
            writing: list[int | _socket.socket] = [1] if self.to_client else []
            if self.other is not None:
                if len(self.to_client) < _ROOM:
                    reading.append(self.other)
                if self.to_other and self.greeted:
                    writing.append(self.other)
            ready, writable, _ = select.select(reading, writing, [], self._pause())
            if 1 in writable:
                del self.to_client[: os.write(1, self.to_client[:_AT_ONCE])]
            if self.other is not None and self.other in writable:
                self._speak(self.other)
            if self.other is not None and self.other in ready:
                self._listen(self.other)
            if 0 in ready:
                data = os.read(0, 1 << 16)
                if not data:
                    return 0
                self._take(data)

    def _pause(self) -> float | None:
        if self.greeted:
            return None
        return _PAUSE if self.waiting or self.other is not None else _LONG_PAUSE

    # The other side

    def _look(self) -> None:
        """Look for a daemon; let a child serve where something has waited for one too long."""
        now = time.monotonic()
        loading = _LOADING if self.other is not None and not self.child else 0.0
        if self.waiting and now > self.deadline + loading:
            if self.other is not None:  # it let us in and does not say a word
                self._lose()
            self._serve_by_a_child()
        elif self.other is None and now >= self.next_look:
            self.next_look = now + (_PAUSE if self.waiting else _LONG_PAUSE)
            door = reach.connect(self.common)
            if door is not None:
                self._meet(door)

    def _meet(self, door: "_socket.socket") -> None:
        facts = os.fsencode("\0".join(self._facts()))
        try:
            door.settimeout(1.0)
            reach.send(door, b"mcp", facts)
        except OSError:
            door.close()
            return
        self._begin(door)

    def _facts(self) -> list[str]:
        told = {name: os.environ.get(name, "") for name in ASKED}
        told["RELAY"] = self.name
        told["PARENT"] = str(os.getppid())
        told["COORD_AGENT"] = self.who or told["COORD_AGENT"]
        again = (f"{self.came[number]} {_spelled(number)}" for number in self.waiting if self.asked.get(number))
        told["AGAIN"] = "\t".join(again)
        return [self.start, *(f"{name}={value}" for name, value in told.items() if value)]

    def _begin(self, other: "_socket.socket") -> None:
        """Say again to a new other side what made the connection, and what was not answered."""
        other.setblocking(False)
        self.other = other
        self.from_other = []
        self.swallowed = set()
        self.to_other = bytearray()
        for number in [number for number in self.waiting if self.asked.get(number, 0) >= _TIMES]:
            self._give_up(number)
        first = self.kept.get("initialize")
        lines = [first] if first else []
        for line in self.kept.values():
            number = _read(line).get("id")
            if number is not None and number not in self.waiting:
                self.swallowed.add(number)
            if line is not first and number not in self.waiting:
                lines.append(line)
        lines += [line for line in self.waiting.values() if line is not first]
        self.to_other += b"".join(lines)

    def _serve_by_a_child(self) -> None:
        ours, theirs = _socket.socketpair()
        self.child = os.fork()
        if self.child == 0:
            os.dup2(theirs.fileno(), 0)
            os.dup2(theirs.fileno(), 1)
            os.environ["COORD_MCP_FACTS"] = "\1".join(self._facts())
            os.execv(sys.executable, _server(self.words))
        theirs.close()
        self.deadline = time.monotonic() + _START
        self.failed = 0
        self._begin(ours)

    def _speak(self, other: "_socket.socket") -> None:
        try:
            del self.to_other[: other.send(self.to_other[:_ROOM])]
        except BlockingIOError:
            return
        except OSError:
            self._lose()

    def _listen(self, other: "_socket.socket") -> None:
        try:
            data = other.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose()
            return
        for line in whole(self.from_other, data):
            if self.greeted:
                self._answer(line)
            elif line == GREETING:
                self.greeted = True
                self.failed = 0
                for number in self.waiting:
                    self.asked[number] = self.asked.get(number, 0) + 1

    def _answer(self, line: bytes) -> None:
        """Pass a whole line on to the assistant; half a line of one that ended is never shown."""
        said = _read(line)
        number = said.get("id")
        if number is not None and "method" not in said:
            if number in self.swallowed:
                self.swallowed.discard(number)
                return
            self._forget(number)
        self.to_client += line

    def _lose(self) -> None:
        """Let go of the other side; whatever was said to it is said again to the next, as a whole."""
        if self.other is not None:
            self.other.close()
        if self.child:
            os.waitpid(self.child, os.WNOHANG)
        now = time.monotonic()
        if self.greeted:
            self.deadline = now + _PATIENCE
            self.next_look = 0.0
        else:
            self.failed += 1
            self.next_look = now + self.failed * _PAUSE
        self.other = None
        self.greeted = False

    def _forget(self, number: object) -> None:
        for kept in (self.waiting, self.asked, self.came):
            kept.pop(number, None)

    def _give_up(self, number: object) -> None:
        self._forget(number)
        told = "the server ended each time that it was asked this; see `coord doctor` and the daemon's log"
        text = f'{{"jsonrpc":"2.0","id":{_spelled(number)},"error":{{"code":-32603,"message":"{told}"}}}}\n'
        self.to_client += text.encode()

    # The assistant

    def _take(self, data: bytes) -> None:
        for line in whole(self.from_client, data):
            self._ask(line)

    def _ask(self, line: bytes) -> None:
        said = _read(line)
        method, number = said.get("method"), said.get("id")
        self._keep(method, said.get("params"), line)
        if number is not None and method is not None:
            if not self.waiting and not self.greeted:
                self.deadline = time.monotonic() + _PATIENCE
            self.waiting[number] = line
            self.came[number] = time.time()
            if self.greeted:
                self.asked[number] = 1
        if self.other is not None:
            self.to_other += line

    def _keep(self, method: object, params: object, line: bytes) -> None:
        told = params if isinstance(params, dict) else {}
        if method in ("initialize", "notifications/initialized"):
            self.kept[str(method)] = line
        elif method == "resources/subscribe":
            self.kept[f"watch {told.get('uri')}"] = line
        elif method == "resources/unsubscribe":
            self.kept.pop(f"watch {told.get('uri')}", None)
        elif method == "notifications/cancelled":  # it is answered no more
            self._forget(told.get("requestId"))


def whole(pieces: list[bytes], data: bytes) -> list[bytes]:
    """Return the lines that DATA completes; the piece of one behind them joins PIECES."""
    if b"\n" not in data:
        pieces.append(data)
        return []
    *lines, rest = data.split(b"\n")
    lines[0] = b"".join((*pieces, lines[0]))
    pieces[:] = [rest]
    return [line + b"\n" for line in lines]


def _read(line: bytes) -> "dict[str, object]":
    """Return a line of JSON as an object; whatever else it is, is passed on and not looked into."""
    try:
        value, _ = _scan(line.decode(errors="replace").strip(), 0)
    except (StopIteration, ValueError, RecursionError, SystemError):  # the last where `json` itself is not loaded
        return {}
    if not isinstance(value, dict):
        return {}
    number = value.get("id")
    return value if number is None or isinstance(number, str | int) else {}


def _server(words: list[str]) -> list[str]:
    return [sys.executable, "-P", "-m", "coord", "mcp", "--here", *words]


def _spelled(number: object) -> str:
    return _json.encode_basestring_ascii(number) if isinstance(number, str) else str(number)


def _told(words: list[str]) -> tuple[str, str, bool]:
    """Return the folder and the agent that the command line names, and whether it says no more; "" is a folder gone."""
    try:
        here = os.getcwd()
    except FileNotFoundError:
        here = ""
        os.chdir("/")
    start, who, understood = here, "", True
    parts = iter([part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])])
    for name in parts:
        value = next(parts, None) if name in ("--repo", "--as") else None
        if value is None:
            understood &= name == "--json"
        elif name == "--repo":
            start = os.path.realpath(os.path.join(here, value)) if here or value.startswith("/") else ""
        else:
            who = value
    return start, who, understood


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
