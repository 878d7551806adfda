"""The relay against doors that behave badly, one at a time."""

import json
import os
import py_compile
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mutants_relay
import pytest

from coord.daemon import door
from coord.thin import entry, reach, relay

PATIENTLY = "import sys; from coord.thin import relay; relay._PATIENCE = 0.3; sys.exit(relay.main(sys.argv[1:]))"
QUICKLY = PATIENTLY.replace("relay._PATIENCE", "relay._LOADING = relay._PATIENCE")
HELLO = {"id": 0, "method": "initialize", "params": {}}
PLANTED = "import mutants_relay; mutants_relay.ALL[{!r}](); "
WITHIN = 20.0
Visit = Callable[[socket.socket, Sequence[bytes]], None]


class Client:
    """An assistant, as far as its side of the pipes goes."""

    def __init__(self, repo: Path, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", *(words or ("-c", QUICKLY))],
            cwd=repo,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "COORD_AGENT": "backend", "PYTHONPATH": str(Path(mutants_relay.__file__).parent)},
        )
        self.rest = b""

    def say(self, **message: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        deadline = time.monotonic() + WITHIN
        while b"\n" not in self.rest:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"no answer within {WITHIN} s"
            chunk = os.read(self.process.stdout.fileno(), 1 << 16)
            assert chunk, "the relay ended"
            self.rest += chunk
        line, _, self.rest = self.rest.partition(b"\n")
        heard: dict[str, Any] = json.loads(line)
        return heard

    def quiet(self, seconds: float = 0.2) -> bool:
        assert self.process.stdout is not None
        return not self.rest and not select.select([self.process.stdout], [], [], seconds)[0]

    def leave(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        status = self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


@contextmanager
def client(repo: Path, *words: str) -> Iterator[Client]:
    one = Client(repo, *words)
    try:
        yield one
        assert one.leave() == 0
    finally:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


class Door:
    """A door whose visits go as the test says, one after the other; the last one's way goes for all that follow."""

    def __init__(self, *visits: Visit) -> None:
        self.visits = list(visits)
        self.facts: list[list[str]] = []

    def __call__(self, visitor: socket.socket, fields: Sequence[bytes]) -> None:
        self.facts.append(fields[0].decode().split("\0"))
        visit = self.visits.pop(0) if len(self.visits) > 1 else self.visits[0]
        visit(visitor, fields)


def lines(visitor: socket.socket) -> Iterator[dict[str, Any]]:
    with visitor.makefile("rb") as file:
        for line in file:
            yield json.loads(line)


def answer(visitor: socket.socket, message: dict[str, Any], word: str) -> None:
    if "id" in message:
        visitor.sendall(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": word}).encode() + b"\n")


def good(heard: list[Any]) -> Visit:
    def visit(visitor: socket.socket, _: Sequence[bytes]) -> None:
        visitor.sendall(relay.GREETING)
        for message in lines(visitor):
            heard.append(message.get("id", message["method"]))
            answer(visitor, message, "good")

    return visit


def ends_after(count: int, heard: list[Any], last: bytes = b"", slow: object = None) -> Visit:
    """Answer all but the last of COUNT messages, and but the SLOW one, say LAST, and end."""

    def visit(visitor: socket.socket, _: Sequence[bytes]) -> None:
        visitor.sendall(relay.GREETING)
        for number, message in enumerate(lines(visitor), 1):
            heard.append(message.get("id", message["method"]))
            if number == count:
                visitor.sendall(last)
                return
            if message.get("id", "") != slow:
                answer(visitor, message, "first")

    return visit


def silent(visitor: socket.socket, _: Sequence[bytes]) -> None:
    visitor.recv(1)


def at_once(_visitor: socket.socket, _: Sequence[bytes]) -> None:
    return


@pytest.fixture
def private(repo: Path) -> Path:
    return repo / ".git/coord"


def test_what_was_not_answered_is_asked_again_and_the_rest_is_not(repo: Path, private: Path) -> None:
    first: list[Any] = []
    second: list[Any] = []
    visits = Door(ends_after(4, first, b'{"jsonrpc":"2.0","id":"b","res'), good(second))
    with door.opened(private, {"mcp": visits}, print), client(repo) as one:
        one.say(**HELLO)
        assert one.hear()["result"] == "first"
        one.say(method="notifications/initialized")
        one.say(id="a", method="x")
        assert one.hear() == {"jsonrpc": "2.0", "id": "a", "result": "first"}
        one.say(id="b", method="x")
        assert one.hear() == {"jsonrpc": "2.0", "id": "b", "result": "good"}
        assert one.quiet()
    assert first == [0, "notifications/initialized", "a", "b"]
    assert second == [0, "notifications/initialized", "b"]
    names = [[fact for fact in facts if fact.startswith("RELAY=")] for facts in visits.facts]
    assert names[0] == names[1] != []
    assert not [fact for fact in visits.facts[0] if fact.startswith("AGAIN=")]
    assert [fact.split()[-1] for fact in visits.facts[1] if fact.startswith("AGAIN=")] == ['"b"']


def test_what_was_taken_back_is_not_asked_again(repo: Path, private: Path) -> None:
    second: list[Any] = []
    with door.opened(private, {"mcp": Door(ends_after(3, [], slow=2), good(second))}, print), client(repo) as one:
        one.say(id=1, method="x")
        assert one.hear()["id"] == 1
        one.say(id=2, method="slow")
        one.say(method="notifications/cancelled", params={"requestId": 2})
        one.say(id=3, method="x")
        assert one.hear()["id"] == 3
    assert second == [3]


def test_a_subscription_is_made_again_and_its_answer_not_shown_twice(repo: Path, private: Path) -> None:
    second: list[Any] = []
    with door.opened(private, {"mcp": Door(ends_after(4, []), good(second))}, print), client(repo) as one:
        for number, (method, uri) in enumerate((("subscribe", "a"), ("subscribe", "b"), ("unsubscribe", "a"))):
            one.say(id=number, method=f"resources/{method}", params={"uri": uri})
            assert one.hear()["id"] == number
        one.say(id=9, method="x")
        assert one.hear() == {"jsonrpc": "2.0", "id": 9, "result": "good"}
        assert one.quiet()
    assert second == [1, 9]


def test_what_ends_the_server_each_time_is_given_up(repo: Path, private: Path) -> None:
    heard: list[Any] = []
    with door.opened(private, {"mcp": Door(ends_after(1, heard))}, print), client(repo) as one:
        one.say(id='po"ison', method="x")
        told = one.hear()
        assert told["id"] == 'po"ison'
        assert "coord doctor" in told["error"]["message"]
    assert heard == ['po"ison'] * 3


def test_a_server_that_ends_before_its_greeting_was_asked_nothing(repo: Path, private: Path) -> None:
    heard: list[Any] = []
    visits = Door(at_once, at_once, good(heard))
    with door.opened(private, {"mcp": visits}, print), client(repo) as one:
        one.say(id=1, method="x")
        assert one.hear()["result"] == "good"
    assert not [fact for facts in visits.facts for fact in facts if fact.startswith("AGAIN=")]


@pytest.mark.parametrize("visit", [silent, at_once])
def test_where_no_daemon_serves_a_child_does(repo: Path, private: Path, visit: Visit) -> None:
    with door.opened(private, {"mcp": visit}, print), client(repo) as one:
        one.say(id=1, method="initialize", params=_params())
        assert one.hear()["result"]["serverInfo"]["name"] == "coord"


def test_a_server_that_takes_long_to_load_is_waited_for(repo: Path, private: Path) -> None:
    heard: list[Any] = []

    def slow(visitor: socket.socket, fields: Sequence[bytes]) -> None:
        time.sleep(1.5)  # it loads
        good(heard)(visitor, fields)

    with door.opened(private, {"mcp": slow}, print), client(repo, "-c", PATIENTLY) as one:
        one.say(id=1, method="x")
        assert one.hear()["result"] == "good"
    assert heard == [1]


def test_a_daemon_that_comes_back_is_found_while_nothing_waits(repo: Path, private: Path) -> None:
    heard: list[Any] = []
    with client_with_door(repo, private, heard) as one, door.opened(private, {"mcp": good(heard)}, print):
        one.say(id=2, method="x")
        assert one.hear()["result"] == "good"


@contextmanager
def client_with_door(repo: Path, private: Path, heard: list[Any]) -> Iterator[Client]:
    with door.opened(private, {"mcp": Door(ends_after(2, heard), at_once)}, print):
        one = Client(repo)
        one.say(id=1, method="x")
        assert one.hear()["id"] == 1
        one.say(method="end")
        deadline = time.monotonic() + 5
        while len(heard) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    try:
        yield one
        assert one.leave() == 0
    finally:
        one.process.kill()
        one.process.wait()


def test_without_a_daemon_it_serves_by_itself(repo: Path) -> None:
    with client(repo, "-m", "coord", "mcp") as one:
        one.say(id=1, method="initialize", params=_params())
        assert one.hear()["result"]["serverInfo"]["name"] == "coord"


@pytest.mark.parametrize("words", [("--as", "frontend"), ("--as=frontend",)])
def test_the_command_line_says_who(repo: Path, private: Path, words: tuple[str, ...]) -> None:
    visits = Door(good([]))
    with door.opened(private, {"mcp": visits}, print), client(repo, "-c", QUICKLY, *words) as one:
        one.say(id=1, method="x")
        assert one.hear()["result"] == "good"
    assert visits.facts[0][0] == str(repo)
    assert "COORD_AGENT=frontend" in visits.facts[0]


@pytest.mark.parametrize("size", [1, 5_000, 500_000])
def test_lines_of_any_length_pass_both_ways(repo: Path, private: Path, size: int) -> None:
    def echo(visitor: socket.socket, _: Sequence[bytes]) -> None:
        visitor.sendall(relay.GREETING)
        for message in lines(visitor):
            answer(visitor, message, message["params"]["text"])

    text = "é\\n" * size
    with door.opened(private, {"mcp": echo}, print), client(repo) as one:
        one.say(id=1, method="x", params={"text": text})
        assert one.hear()["result"] == text


@pytest.mark.parametrize(
    "line",
    [
        *(b"\n", b"{}\n", b"[1]\n", b"nonsense\n", b'{"id":[1],"method":"x"}\n', b"\xff\n"),
        *(b"{nonsense\n", b'{"id":\n', b'{"id" 1}\n', b'{"id":"\n', b"[1\n", b'{"id":"\\u12"}\n'),
    ],
)
def test_what_is_no_message_passes_and_breaks_nothing(repo: Path, private: Path, line: bytes) -> None:
    got: list[bytes] = []

    def visit(visitor: socket.socket, _: Sequence[bytes]) -> None:
        visitor.sendall(relay.GREETING)
        with visitor.makefile("rb") as file:
            got.append(file.readline())
            visitor.sendall(line)

    with door.opened(private, {"mcp": visit}, print), client(repo) as one:
        assert one.process.stdin is not None
        one.process.stdin.write(line)
        one.process.stdin.flush()
        assert one.process.stdout is not None
        assert os.read(one.process.stdout.fileno(), 100) == line
    assert got[0] == line


def test_a_relay_is_small(repo: Path, private: Path) -> None:
    if not Path("/proc").is_dir():
        pytest.skip("reads /proc")
    program = str(Path(sys.executable).with_name("coord"))
    for module in (entry, reach, relay):
        py_compile.compile(str(module.__file__))  # who compiles first needs more
    with door.opened(private, {"mcp": good([])}, print), client(repo, program, "mcp") as one:
        one.say(id=1, method="x")
        one.hear()
        status = Path(f"/proc/{one.process.pid}/status").read_text()
        resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        assert resident <= 12 * 1024


@pytest.mark.parametrize(("mutant", "check"), mutants_relay.CAUGHT_BY)
def test_a_planted_fault_is_caught(
    repo: Path, private: Path, monkeypatch: pytest.MonkeyPatch, mutant: str, check: str
) -> None:
    here = sys.modules[__name__]
    monkeypatch.setattr(here, "QUICKLY", PLANTED.format(mutant) + QUICKLY)
    monkeypatch.setattr(here, "WITHIN", 5.0)
    with pytest.raises((AssertionError, json.JSONDecodeError)):
        getattr(here, check)(repo, private)


def test_it_is_the_fault_that_is_caught(repo: Path, private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "QUICKLY", PLANTED.format("none") + QUICKLY)
    test_what_was_not_answered_is_asked_again_and_the_rest_is_not(repo, private)


def test_no_planted_fault_is_left_out() -> None:
    assert {mutant for mutant, _ in mutants_relay.CAUGHT_BY} | {"none"} == set(mutants_relay.ALL)


def _params() -> dict[str, Any]:
    return {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
