"""The real daemon, its host and its relays, while daemon and host are killed."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import anyio
import psutil
import pytest
import tiers
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from support import eventually

from coord.daemon import door
from coord.faces.mcp import tools
from coord.faces.mcp.hosting import Hosting
from coord.service import mail
from coord.service.coord import Coord


class Daemon:
    """`coord watch` in a process of its own."""

    def __init__(self, repo: Path) -> None:
        self.repo = repo
        self.door = repo / ".git/coord/door"
        self.process = self._begun()

    def _begun(self) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-P", "-m", "coord", "watch"]
        with suppress(FileNotFoundError):
            self.door.unlink()
        begun = subprocess.Popen(words, cwd=self.repo, stdout=subprocess.DEVNULL)
        eventually(self.door.exists, within=30, what="a door")
        return begun

    def host(self) -> int | None:
        """The process that holds the SDK, if there is one."""
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children():
                if "--host" in child.cmdline():
                    return child.pid
        return None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def again(self) -> None:
        self.process = self._begun()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)


@pytest.fixture
def daemon(repo: Path) -> Iterator[Daemon]:
    one = Daemon(repo)
    try:
        yield one
    finally:
        one.end()


def program(repo: Path, who: str) -> StdioServerParameters:
    return StdioServerParameters(
        command=sys.executable,
        args=["-P", "-m", "coord", "mcp"],
        cwd=repo,
        env={"COORD_AGENT": who, "HOME": os.environ["HOME"], "GIT_CONFIG_NOSYSTEM": "1"},
    )


def said(result: Any) -> str:
    return "\n".join(getattr(part, "text", "") for part in result.content)


def alive(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_over_the_relay_in_both_eras(repo: Path, daemon: Daemon, mode: Literal["auto", "legacy"]) -> None:
    assert daemon.host() is None

    async def run() -> None:
        async with Client(program(repo, "backend"), mode="legacy"):
            pass  # a host that still starts may answer after a probe ends
        async with Client(program(repo, "backend"), mode=mode) as client:
            assert (client.protocol_version >= "2026") == (mode == "auto")
            assert {tool.name for tool in (await client.list_tools()).tools} >= set(tools.every()) & {"send_message"}
            assert "sent" in said(await client.call_tool("send_message", {"to": "frontend", "content": "x"}))
            async with Client(program(repo, "frontend"), mode=mode) as other:
                assert "> x" in said(await other.call_tool("check_messages", {}))

    anyio.run(run)
    host = daemon.host()
    assert host is not None
    daemon.kill()
    eventually(lambda: not alive(host), what="the host's end")


def test_the_daemon_never_loads_the_sdk(repo: Path, daemon: Daemon) -> None:
    maps = Path(f"/proc/{daemon.process.pid}/maps")
    if not maps.exists():
        pytest.skip("reads /proc")

    async def run() -> None:
        async with Client(program(repo, "backend")) as client:
            await client.call_tool("check_messages", {})

    anyio.run(run)
    assert "pydantic_core" not in maps.read_text()
    assert "pydantic_core" in Path(f"/proc/{daemon.host()}/maps").read_text()


class Lossy:
    """A door behind which the answer to every call is lost once, after the server has done what it says."""

    def __init__(self, hosting: Hosting) -> None:
        self.hosting = hosting
        self.lost: set[tuple[bytes, int]] = set()  # by relay

    def __call__(self, visitor: socket.socket, fields: Sequence[bytes]) -> None:
        relay = next(fact for fact in fields[0].split(b"\0") if fact.startswith(b"RELAY="))
        ours, theirs = socket.socketpair()
        with theirs:
            self.hosting.answer(theirs, fields)
        with ours, ours.makefile("rb") as answers:
            threading.Thread(target=self._pass_on, args=(visitor, ours), daemon=True).start()
            for line in answers:
                said = json.loads(line) if line.startswith(b"{") else {}
                if "content" in said.get("result", {}) and (relay, said["id"]) not in self.lost:
                    self.lost.add((relay, said["id"]))
                    visitor.shutdown(socket.SHUT_RDWR)
                    ours.shutdown(socket.SHUT_RDWR)
                    return
                visitor.sendall(line)

    def _pass_on(self, visitor: socket.socket, ours: socket.socket) -> None:
        with suppress(OSError):
            while data := visitor.recv(1 << 16):
                ours.sendall(data)
            ours.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_what_was_done_and_not_answered_is_neither_done_twice_nor_lost(
    repo: Path, mode: Literal["auto", "legacy"]
) -> None:
    hosting = Hosting(print)
    lossy = Lossy(hosting)

    async def run() -> None:
        async with Client(program(repo, "backend"), mode=mode) as client:
            for text in ("one", "two"):
                given = {"to": "frontend", "content": text}
                assert not (await client.call_tool("send_message", given)).is_error
        async with Client(program(repo, "frontend"), mode=mode) as client:
            got = await client.call_tool("check_messages", {})
            assert [item["message"]["body"] for item in got.structured_content["items"]] == ["one", "two"]
            first = got.structured_content["items"][0]["message"]["id"]
            await client.call_tool("mail_reply", {"which": first, "body": "yes"})
            released = await client.call_tool("release_file_lock", {"file_path": "README.md"})
            assert "may be done already" in said(released)

    try:
        with door.opened(repo / ".git/coord", {"mcp": lossy}, print):
            anyio.run(run)
    finally:
        hosting.end()
    assert len(lossy.lost) == 5
    with Coord.open(repo) as coord:
        for name, wanted in (("frontend", ["one", "two"]), ("backend", ["yes"])):
            listed = mail.list_(coord, mailbox_=name, read=True).items
            assert [item.message.body for item in listed] == wanted


@contextmanager
def killing(daemon: Daemon, seed: int, answered: Mapping[str, int]) -> Iterator[list[float]]:
    """Kill the host, or the daemon with it, again and again; yields when each died.

    A request that ends its server three times is given up, so everybody is ANSWERED once between two deaths.
    """
    choose, over = random.Random(seed), threading.Event()
    faults: list[BaseException] = []
    deaths: list[float] = []

    def go_on() -> None:
        before = dict.fromkeys(answered, 0)
        try:
            while not over.wait(choose.uniform(0.3, 2.5)):
                while any(answered[who] == before[who] for who in before):
                    if over.wait(0.01):
                        return
                before = dict(answered)
                deaths.append(time.monotonic())
                if (host := daemon.host()) is not None:
                    with suppress(ProcessLookupError):
                        os.kill(host, signal.SIGKILL)
                if choose.random() < 0.4:
                    daemon.kill()
                    daemon.again()
        except BaseException as fault:
            faults.append(fault)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield deaths
    finally:
        over.set()
        thread.join()
    assert not faults


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_killed_in_the_middle_nothing_is_lost_nor_sent_twice(
    repo: Path, daemon: Daemon, mode: Literal["auto", "legacy"]
) -> None:
    rounds = tiers.rounds(4, 80)
    wanted: list[str] = []
    shown: list[str] = []
    faults: list[str] = []
    answered = Counter(backend=0, frontend=0)

    async def send(deaths: list[float]) -> None:
        async with Client(program(repo, "backend"), mode=mode) as client:
            while len(deaths) < rounds:
                text = f"message {len(wanted)}"
                wanted.append(text)
                result = await client.call_tool("send_message", {"to": "frontend", "content": text})
                answered["backend"] += 1
                if result.is_error:
                    faults.append(said(result))

    async def read(deaths: list[float]) -> None:
        async with Client(program(repo, "frontend"), mode=mode) as client:
            while len(deaths) < rounds:
                result = await client.call_tool("check_messages", {})
                answered["frontend"] += 1
                if result.is_error:
                    faults.append(said(result))
                else:
                    shown.extend(item["message"]["body"] for item in result.structured_content["items"])
                await anyio.sleep(0.05)

    async def run(deaths: list[float]) -> None:
        async with anyio.create_task_group() as both:
            both.start_soon(send, deaths)
            both.start_soon(read, deaths)

    with killing(daemon, tiers.seed(), answered) as deaths:
        anyio.run(run, deaths)
    with Coord.open(repo, who="frontend") as coord:
        listed = mail.list_(coord, read=True, limit=100_000).items
        left = [item.message.body for item in listed if item.unread]
    assert faults == []
    assert Counter(item.message.body for item in listed) == Counter(wanted)
    assert set(shown) | set(left) == set(wanted)


def test_a_restart_is_but_a_delay(repo: Path, daemon: Daemon) -> None:
    async def run() -> None:
        async with Client(program(repo, "backend"), mode="legacy") as client:
            await client.call_tool("acquire_file_lock", {"file_path": "README.md"})
            daemon.end()
            daemon.again()
            assert "README.md: yours" in said(await client.call_tool("lock_check", {"paths": ["README.md"]}))

    anyio.run(run)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_call_that_waits_ends_when_it_is_taken_back(
    repo: Path, daemon: Daemon, mode: Literal["auto", "legacy"]
) -> None:
    with Coord.open(repo, who="frontend") as coord:
        tools.find("lock_acquire").command(coord, ("README.md",))

    def waiting() -> int:
        with Coord.open(repo) as coord:
            return len(tools.find("lock_list").command(coord).waiting)

    async def run() -> None:
        async with Client(program(repo, "backend"), mode=mode) as client:
            with anyio.move_on_after(20) as scope:
                async with anyio.create_task_group() as group:
                    given = {"file_path": "README.md", "wait": "5m"}
                    group.start_soon(client.call_tool, "acquire_file_lock", given)
                    while not await anyio.to_thread.run_sync(waiting):
                        await anyio.sleep(0.05)
                    group.cancel_scope.cancel()
            assert not scope.cancelled_caught
            await anyio.to_thread.run_sync(lambda: eventually(lambda: not waiting(), within=15, what="the end"))
            assert "frontend" in said(await client.call_tool("lock_list", {}))

    anyio.run(run)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_call_that_takes_long_says_that_it_goes_on(
    repo: Path, daemon: Daemon, mode: Literal["auto", "legacy"]
) -> None:
    heard: list[str | None] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message)

    async def run() -> None:
        async with Client(program(repo, "backend"), mode=mode) as client:
            result = await client.call_tool("mail_wait", {"timeout": "2s"}, progress_callback=note)
            assert result.is_error
            assert "no mail" in said(result)

    anyio.run(run)
    assert heard == ["mail_wait goes on"]
