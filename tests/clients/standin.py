"""A stand-in of a model's server: it says what a script says, turn by turn, and keeps all that it is asked.

One server for each session of a client, on loopback. What a model was shown is the one
thing that counts: so tests assert on requests, not on what a client draws.
"""

import html
import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from support import eventually

Plain = dict[str, Any]
_EARLY, _PAUSE = 150, 0.2


@dataclass(frozen=True)
class Say:
    """The model says something; where nothing else is in its turn, the turn is over."""

    text: str


@dataclass(frozen=True)
class Call:
    """The model calls a tool of the client's own, or with SERVER one of an MCP server; CUSTOM ones take a text."""

    tool: str
    given: Mapping[str, object] = field(default_factory=dict)
    server: str = ""
    custom: str = ""


@dataclass(frozen=True)
class Refuse:
    """The maker's server answers with an error, as when too much is asked of it."""

    status: int
    kind: str


Said = Sequence[Say | Call]
Blocks = Said | Refuse
Turn = Blocks | Callable[["Asked"], Blocks]


@dataclass(frozen=True)
class Asked:
    """One request for the model's next turn: all of its ITEMS, and of these the NEWS since the model spoke last."""

    at: float
    items: tuple[Plain, ...]
    news: tuple[Plain, ...]
    tools: tuple[str, ...]

    @property
    def shown(self) -> str:
        """Everything that is before the model's eyes."""
        return texts(self.items)

    @property
    def heard(self) -> str:
        """What it had not seen when it spoke last."""
        return texts(self.news)


class Dialect(ABC):
    """How one maker's API is spoken."""

    @abstractmethod
    def asked(self, path: str, body: Plain) -> Asked | None:
        """Read a request for the model's next turn, or return None for any other."""

    def is_early(self, asked: Asked) -> bool:
        """Tell whether a tool was called before its server had started, in a client that does not wait for it."""
        return False

    def is_aside(self, asked: Asked) -> bool:
        """Tell whether the client asks for something beside the conversation, in a client where it looks like a turn."""
        return False

    @abstractmethod
    def turn(self, path: str, body: Plain, blocks: Said) -> tuple[str, Iterator[bytes]]:
        """Return the answer: its type of content, and its pieces."""

    @abstractmethod
    def aside(self, path: str, body: Plain) -> Plain:
        """Return the answer to whatever else is asked."""


class Model:
    """A server that speaks DIALECT and plays SCRIPT; once that is over, the model says "done" to everything."""

    def __init__(self, dialect: Dialect, script: Sequence[Turn], transcript: Path) -> None:
        self.asked: list[Asked] = []
        self.faults: list[Exception] = []
        self._dialect = dialect
        self._script = script
        self._said: Blocks = ()
        self._early = 0
        self._transcript = transcript
        self._lock = threading.Lock()
        self._server = _server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        print(f"what the model was shown: {self._transcript}")

    @property
    def heard(self) -> str:
        """All that the model was shown, each thing once."""
        return "\n".join(asked.heard for asked in self.asked)

    def played(self) -> None:
        """Require that the whole script was played, without a fault."""
        for fault in self.faults:
            raise fault
        assert len(self.asked) >= len(self._script), f"{len(self.asked)} turns of {len(self._script)} were asked for"

    def eventually(self, turns: int, within: float = 60) -> None:
        """Wait until the model was asked for so many turns."""
        eventually(lambda: len(self.asked) >= turns or self.faults, within=within, what=f"turn {turns}")
        for fault in self.faults:
            raise fault

    def answer(self, path: str, body: Plain) -> tuple[int, str, Iterator[bytes]]:
        """Answer one request: the status, the type of content, and its pieces."""
        asked = self._dialect.asked(path, body)
        if asked is None:
            return 200, "application/json", iter([json.dumps(self._dialect.aside(path, body)).encode()])
        if self._dialect.is_aside(asked):
            return 200, *self._dialect.turn(path, body, (Say("A title"),))
        with self._lock:
            if self._dialect.is_early(asked) and self._early < _EARLY:
                self._early += 1
                time.sleep(_PAUSE)  # as a model would, it tries again
            else:
                self.asked.append(asked)
                self._said = self._next(asked)
                self._note(asked)
            if isinstance(self._said, Refuse):
                told = {"type": "error", "error": {"type": self._said.kind, "message": "not now"}}
                return self._said.status, "application/json", iter([json.dumps(told).encode()])
            return 200, *self._dialect.turn(path, body, self._said)

    def _next(self, asked: Asked) -> Blocks:
        if len(self.asked) > len(self._script):
            return (Say("done"),)
        turn = self._script[len(self.asked) - 1]
        try:
            return turn(asked) if callable(turn) else turn
        except Exception as fault:  # the script's own: it belongs to the test, not to this thread
            self.faults.append(fault)
            return (Say("done"),)

    def _note(self, asked: Asked) -> None:
        with self._transcript.open("a") as file:
            stamp = time.strftime("%H:%M:%S", time.localtime(asked.at))
            file.write(f"\n======== turn {len(self.asked)} at {stamp}; tools: {' '.join(asked.tools)}\n{asked.heard}\n")
            file.write(f"-------- it says\n{self._said}\n")


def texts(value: object) -> str:
    """Return every text in VALUE, one below the other; names of fields are none.

    Codex and Gemini write `>` as `&gt;` in some of what a hook adds; a model reads either.
    """
    if isinstance(value, str):
        return html.unescape(value)
    if isinstance(value, Mapping):
        return "\n".join(filter(None, map(texts, value.values())))
    if isinstance(value, Sequence):
        return "\n".join(filter(None, map(texts, value)))
    return ""


def since(items: Sequence[Plain], spoken: Callable[[Plain], bool]) -> tuple[Plain, ...]:
    """Return what is behind the last of ITEMS that the model spoke itself."""
    last = max((number for number, item in enumerate(items) if spoken(item)), default=-1)
    return tuple(items[last + 1 :])


def event(name: str, **fields: object) -> bytes:
    """Return one server-sent event."""
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()


def _server(model: Model) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: what was asked is kept."""

        def do_HEAD(self) -> None:
            self._send(200, "application/json", iter(()))

        def do_GET(self) -> None:
            self._send(*model.answer(self.path, {}))

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers.get("content-length") or 0))
            try:
                body = json.loads(data or b"{}")
            except ValueError:
                body = {}
            self._send(*model.answer(self.path, body))

        def _send(self, status: int, kind: str, pieces: Iterator[bytes]) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("connection", "close")
            self.end_headers()
            self.close_connection = True
            try:
                for piece in pieces:
                    self.wfile.write(piece)
                    self.wfile.flush()
            except ConnectionError:
                self.close_connection = True  # the client left

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing: a client that ends leaves its connections as they are."""

    return Server(("127.0.0.1", 0), Handler)
