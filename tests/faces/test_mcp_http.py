"""Assistants over HTTP: the SDK's own client in both eras, and who is not let in."""

import re
import subprocess
import sys
import urllib.error
import urllib.request
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx2
import psutil
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from coord.faces.mcp import hosting
from coord.faces.mcp.tokens import Tokens
from coord.model.errors import Unavailable, Usage


@pytest.fixture
def url(repo: Path) -> Iterator[str]:
    words = [sys.executable, "-P", "-m", "coord", "watch", "--http", "0"]
    with subprocess.Popen(words, cwd=repo, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        try:
            found = next(filter(None, (re.search(r"http://127\.0\.0\.1:\d+/mcp", line) for line in daemon.stdout)))
            for line in daemon.stdout:
                if "watching" in line:
                    break
            assert not psutil.Process(daemon.pid).children()
            yield found[0]
        finally:
            daemon.terminate()
            daemon.wait(30)


def token(repo: Path, who: str) -> str:
    return (repo / ".git/coord/http" / who).read_text().strip()


def said(result: Any) -> str:
    return "\n".join(getattr(part, "text", "") for part in result.content)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_token_says_who_calls(repo: Path, url: str, mode: Literal["auto", "legacy"]) -> None:
    assert status(url, Authorization="Bearer none") == 401  # a host that still starts may answer after a probe ends

    async def run() -> None:
        for who, name, given, words in (
            ("backend", "send_message", {"to": "frontend", "content": "hello"}, "to frontend"),
            ("frontend", "check_messages", {}, "> hello"),
        ):
            headers = {"Authorization": f"Bearer {token(repo, who)}"}
            web = httpx2.AsyncClient(headers=headers, timeout=30)
            async with web, Client(streamable_http_client(url, http_client=web), mode=mode) as client:
                assert (client.protocol_version >= "2026") == (mode == "auto")
                assert words in said(await client.call_tool(name, given))

    anyio.run(run)


def test_who_watches_no_more_takes_nothing_from_others(repo: Path, url: str) -> None:
    heard: list[str] = []

    async def note(message: Any) -> None:
        heard.append(str(getattr(getattr(message, "params", None), "uri", "")))

    @asynccontextmanager
    async def client(who: str, handler: Any = None) -> AsyncIterator[Any]:
        web = httpx2.AsyncClient(headers={"Authorization": f"Bearer {token(repo, who)}"}, timeout=60)
        through = streamable_http_client(url, http_client=web)
        async with web, Client(through, mode="legacy", message_handler=handler) as one:
            yield one

    async def run() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            async with client("backend", note) as one, client("frontend") as other:
                await one.subscribe_resource("locks://")
                await other.subscribe_resource("locks://")
                await other.unsubscribe_resource("locks://")
                await other.call_tool("acquire_file_lock", {"file_path": "README.md"})
                with anyio.fail_after(30):
                    while "locks://" not in heard:
                        await anyio.sleep(0.05)

    anyio.run(run)


def status(url: str, **headers: str) -> int:
    body = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    told = {"content-type": "application/json", "accept": "application/json, text/event-stream", **headers}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, told), timeout=120) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as fault:
        with fault:
            return fault.code


def test_who_is_not_let_in(repo: Path, url: str) -> None:
    good = f"Bearer {token(repo, 'backend')}"
    assert status(url) == 401
    assert status(url, Authorization="Bearer guess") == 401
    assert status(url, Authorization=good.replace("Bearer", "Basic")) == 401
    assert status(url, Authorization=good, Host="evil.example") == 421
    assert status(url, Authorization=good, Origin="http://evil.example") == 403
    assert status(url, Authorization=good, Origin=url.removesuffix("/mcp")) not in (401, 403, 421)
    (repo / ".git/coord/http/backend").chmod(0o644)
    assert status(url, Authorization=good) == 401


def test_http_is_served_again_by_the_next_host(repo: Path, url: str) -> None:
    good = f"Bearer {token(repo, 'backend')}"
    before = status(url, Authorization=good)
    (host,) = [one for one in psutil.process_iter(["cmdline"]) if _hosts(one, repo)]
    host.kill()
    host.wait(10)
    assert status(url, Authorization=good) == before


def _hosts(one: psutil.Process, repo: Path) -> bool:
    words = one.info["cmdline"] or []
    if "--host" not in words:
        return False
    try:
        return Path(one.cwd()) == repo
    except psutil.Error:
        return False


def test_a_token_is_for_its_owners_eyes_and_stays(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    tokens.prepare(["a", "b"])
    before = {path.name: path.read_text() for path in tokens.folder.iterdir()}
    assert set(before) == {"a", "b"}
    assert before["a"] != before["b"]
    assert {path.stat().st_mode & 0o777 for path in tokens.folder.iterdir()} == {0o600}
    tokens.prepare(["a", "b", "c"])
    assert {name: (tokens.folder / name).read_text() for name in before} == before
    assert tokens.owner(["a", "b"], f"bearer {before['b'].strip()}") == "b"
    assert tokens.owner(["a"], f"Bearer {before['b'].strip()}") is None
    (tokens.folder / "a").write_bytes(b"\xff\n")
    assert tokens.owner(["a", "b"], f"Bearer {before['b'].strip()}") == "b"


@pytest.mark.parametrize("address", ["", "x", "localhost:", "1:2:x", "70000", "-1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(Usage, match="no address"):
        hosting.listening(address)


def test_unless_told_otherwise_it_is_this_machine_alone() -> None:
    with hosting.listening("0") as listener:
        assert hosting.place(listener).startswith("127.0.0.1:")
        with pytest.raises(Unavailable, match="in use"):
            hosting.listening(hosting.place(listener))
