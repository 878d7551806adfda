"""Who calls where the client passes on no name: the session that its hooks began tells, and nobody else's."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import mutants_sessions
import pytest
from hooking import THIN, daemon, recorded
from mcp import Client

from coord.faces.mcp import server, tools
from coord.faces.mcp.calls import Caller, Hand, Outcome, call
from coord.faces.mcp.facts import Facts
from coord.model.records import Process
from coord.service.coord import Coord
from coord.service.session import sessions
from coord.service.session.speaking import Origin
from coord.stores import oslock

As = Callable[..., Coord]
HERE = os.getpid()

# What an assistant does: its hook at the start of a session, then its server, to which it passes on next to nothing.
CLIENT = """
import json, os, subprocess, sys
hook, client, payload, repo = sys.argv[1:]
subprocess.run([sys.executable, "-I", "-S", hook, client], input=payload.encode(), cwd=repo, check=True,
               env={**os.environ, "COORD_AGENT": "backend"}, stdout=subprocess.DEVNULL)
asked = [
    {"id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18", "capabilities": {},
                                                  "clientInfo": {"name": "t", "version": "1"}}},
    {"method": "notifications/initialized"},
    {"id": 2, "method": "tools/call", "params": {"name": "save_checkpoint", "arguments": {"state": "here"}}},
]
server = subprocess.Popen([sys.executable, "-P", "-m", "coord", "mcp"], cwd=repo, text=True, bufsize=1,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE)
for one in asked:
    print(json.dumps({"jsonrpc": "2.0", **one}), file=server.stdin, flush=True)
for line in server.stdout:
    if json.loads(line).get("id") == 2:
        print(line)
        break
server.stdin.close()
server.wait()
"""


@pytest.fixture(params=["over the relay", "by itself"])
def served(request: pytest.FixtureRequest, repo: Path) -> Iterator[None]:
    with daemon(repo) if request.param == "over the relay" else nullcontext():
        yield


@pytest.mark.parametrize("client", ["claude", "codex"])
def test_a_server_without_a_name_speaks_as_its_session(repo: Path, served: None, client: str) -> None:
    version = {"claude": "claude-2.1.330", "codex": "codex-0.169.0"}[client]
    payload = json.dumps(recorded(f"{version}.SessionStart", repo))
    words = [sys.executable, "-c", CLIENT, str(THIN), client, payload, str(repo)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    result = json.loads(done.stdout)["result"]
    assert not result["isError"], result
    assert result["structuredContent"]["checkpoint"]["agent"] == "backend"


def began(coord: Coord, id: str, agent: str, *, process: Process | None = None, **other: Any) -> Path:
    """Let a session begin, of this process if of none that is given; return its file."""
    with sessions.opened(coord, "codex", id, timeout=5) as kept:
        process = process or oslock.process_of(HERE)
        kept.session = replace(kept.session, agent=agent, process=process, **other)
    (path,) = coord.private.glob(f"sessions/codex-{id}.json")
    return path


def whoami(repo: Path, *told: str, above: tuple[int, ...] = (HERE,), who: str = "") -> str:
    """Return who a caller is that is told so, or "" where nothing says it."""
    caller = Caller(repo, who, Origin(told, above))
    outcome: Outcome = call(tools.find("save_checkpoint"), {"state": "x"}, caller, hand=Hand())
    if outcome.failed:
        assert "who is speaking" in outcome.text
        return ""
    assert isinstance(outcome.structured, dict)
    return str(outcome.structured["checkpoint"]["agent"])


def test_the_session_that_is_named_comes_first_then_the_one_it_was_started_by(repo: Path, coord_for: As) -> None:
    coord = coord_for()
    assert whoami(repo) == ""
    began(coord, "one", "backend", seen_at=coord.now() - timedelta(hours=1))
    assert whoami(repo) == "backend"
    began(coord, "two", "frontend")
    assert whoami(repo) == "frontend"
    assert whoami(repo, "one") == "backend"
    assert whoami(repo, "gone", "one") == "backend"
    assert whoami(repo, "gone") == "frontend"
    assert whoami(repo, "one", above=()) == "backend"
    assert whoami(repo, above=()) == ""
    assert whoami(repo, "one", who="security") == "security"


def test_a_session_that_is_over_or_somebody_elses_tells_nothing(repo: Path, coord_for: As) -> None:
    coord = coord_for()
    began(coord, "over", "backend", state="ended")
    assert whoami(repo, "over") == ""
    with subprocess.Popen(["true"]) as dead:
        process = oslock.process_of(dead.pid)
    began(coord, "dead", "backend", process=process or replace(oslock.me(), pid=dead.pid))
    assert whoami(repo, "dead", above=(dead.pid,)) == ""
    mine = oslock.process_of(HERE)
    assert mine is not None
    began(coord, "reused", "backend", process=replace(mine, started_at="12.00"))
    assert whoami(repo, "reused") == ""
    began(coord, "stranger", "nobody-here")
    assert whoami(repo, "stranger") == ""
    path = began(coord, "open", "backend")
    assert whoami(repo, "open") == "backend"
    path.chmod(0o640)
    assert whoami(repo, "open") == ""


def test_a_sessions_file_is_for_its_owners_eyes(repo: Path, coord_for: As) -> None:
    assert began(coord_for(), "one", "backend").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("spelled", [dict, json.dumps], ids=["an object", "its text"])
def test_one_server_has_several_sessions(repo: Path, coord_for: As, spelled: Callable[[Any], Any]) -> None:
    coord = coord_for()
    began(coord, "one", "backend")
    began(coord, "two", "frontend")

    async def use(facts: Facts, wanted: dict[str, str]) -> None:
        async with Client(server.made(lambda _: facts)) as client:
            for session, agent in wanted.items():
                meta: Any = {"x-codex-turn-metadata": spelled({"session_id": session})}
                result = await client.call_tool("save_checkpoint", {"state": "x"}, meta=meta)
                assert result.structured_content["checkpoint"]["agent"] == agent

    anyio.run(use, Facts(Caller(repo)), {"one": "backend", "two": "frontend"})
    anyio.run(use, Facts(Caller(repo, "security")), {"one": "security", "two": "security"})


@pytest.mark.parametrize("told", [None, "{", "[1]", [], {}, {"session_id": 7}])
def test_what_is_no_session_is_none(repo: Path, told: object) -> None:
    facts = Facts(Caller(repo))
    assert facts.told({"x-codex-turn-metadata": told}) is facts.caller
    assert facts.told(None) is facts.caller


@pytest.mark.parametrize("mutant", mutants_sessions.ALL)
def test_a_planted_fault_is_caught(repo: Path, coord_for: As, monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    plant, check = mutants_sessions.ALL[mutant]
    plant(monkeypatch)
    more = (dict,) if check == "test_one_server_has_several_sessions" else ()
    with pytest.raises((AssertionError, BaseExceptionGroup)):
        globals()[check](repo, coord_for, *more)
