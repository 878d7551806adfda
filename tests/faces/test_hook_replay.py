"""Every recorded payload gets its client's expected answer, and no payload at all makes the hook fail."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hooking import RECORDED, Heard, daemon, hook, recorded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coord.faces.hooks import serving
from coord.service import locks, mail
from coord.service.command import Prose
from coord.service.coord import Coord
from coord.thin import reach

As = Callable[..., Coord]
Ask = Callable[[str, bytes], Heard]
NAMES = sorted(path.stem for path in RECORDED.glob("*.json"))
FUZZ = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
EVENTS = ("PreToolUse", "PostToolUse", "BeforeTool", "AfterTool", "SessionStart", "Stop", "AfterAgent", "PreCompact")
TOOLS = ("Edit", "Write", "NotebookEdit", "apply_patch", "replace", "Bash", "Read")


@pytest.fixture
def ask(repo: Path) -> Ask:
    """Ask what the daemon's door would answer, in this process."""
    serve = serving.visitors()

    def asked(client: str, data: bytes) -> Heard:
        facts = "\0".join((str(repo), str(os.getpid()), client, "", "frontend", ""))
        here, there = socket.socketpair()
        with here, there:
            here.sendall(b"k")
            serve(there, [os.fsencode(facts), data])
            there.close()
            assert reach.receive(here) == [b""]
            status, out, err, _ = reach.receive(here) or [b"", b"", b"", b""]
        return Heard(int(status), out.decode(), err.decode())

    return asked


def test_all_43_recordings_are_answered(repo: Path, coord_for: As) -> None:
    assert len(NAMES) == 43
    backend = coord_for("backend")
    locks.acquire(backend, ("src", "n.ipynb", "locked.py", "app.py"))
    mail.send(backend, ("frontend",), Prose("read me"), priority="urgent")
    with daemon(repo):
        for name in NAMES:
            client, event = name.partition("-")[0], name.split(".")[3]
            heard = hook(client, recorded(name, repo, session_id=name), repo, "frontend")
            assert (heard.status, heard.err) == (0, ""), name
            told = heard.told
            match event:
                case (
                    "SessionStart"
                    | "UserPromptSubmit"
                    | "BeforeAgent"
                    | "PostToolUse"
                    | "AfterTool"
                    | "PostToolUseFailure"
                ):
                    assert told["hookSpecificOutput"]["hookEventName"] == event, name
                    assert "> read me" in heard.context, name
                    assert ("you are frontend" in heard.context) == (event == "SessionStart"), name
                case "PreToolUse" | "BeforeTool":
                    edit = name.rpartition(".")[2] in (
                        "Edit",
                        "Write",
                        "NotebookEdit",
                        "apply_patch",
                        "write_file",
                        "replace",
                    )
                    assert ("leased to backend" in heard.refusal) == edit, name
                    assert bool(told) == edit, name
                case "Stop" | "AfterAgent":
                    assert told["decision"] == ("deny" if client == "gemini" else "block"), name
                    assert "> read me" in told["reason"], name
                case _:
                    assert told == {}, name


@pytest.mark.parametrize(
    ("client", "payload"),
    [
        ("claude", {"hook_event_name": "TeammateIdle"}),
        ("claude", {"hook_event_name": "BeforeTool"}),
        ("gemini", {"hook_event_name": "PreToolUse"}),
        ("claude", {}),
        ("codex", {"hook_event_name": ["PreToolUse"]}),
    ],
)
def test_an_event_that_is_not_answered_gets_nothing(repo: Path, client: str, payload: dict[str, object]) -> None:
    assert hook(client, payload, repo, "frontend") == Heard(0, "", "")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000])
def test_what_is_no_payload_is_said_loudly_and_blocks_nothing(repo: Path, data: bytes) -> None:
    heard = hook("claude", data, repo, "frontend")
    assert (heard.status, heard.out) == (1, "")
    assert heard.err.startswith("coord hook: what the hook was given is no JSON")


texts = st.text(max_size=30) | st.sampled_from(["src/a.py", "../x", "/", "/etc/passwd", "\0", "\ud800", "a" * 5000])
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | texts, lambda inner: st.lists(inner, max_size=3), max_leaves=6
)
payloads = st.fixed_dictionaries(
    {"hook_event_name": st.sampled_from(EVENTS)},
    optional={
        "session_id": plain,
        "cwd": plain,
        "tool_name": st.sampled_from(TOOLS) | plain,
        "tool_input": st.dictionaries(st.sampled_from(["file_path", "notebook_path", "command"]), plain) | plain,
        "source": plain,
        "trigger": plain,
        "stop_hook_active": plain,
        "last_assistant_message": plain,
        "error": plain,
        "agent_id": plain,
    },
)


@FUZZ
@given(client=st.sampled_from(["claude", "codex", "gemini"]), payload=payloads)
def test_no_payload_makes_it_fail_or_block_what_is_free(ask: Ask, client: str, payload: dict[str, Any]) -> None:
    heard = ask(client, json.dumps(payload).encode())
    assert heard.status == 0, heard
    assert heard.refusal == "", heard
    assert len(heard.out) <= 10_000
    for fault in heard.err.splitlines():
        assert "is not said" in fault, heard


@FUZZ
@given(data=st.binary(max_size=200))
def test_no_bytes_make_it_fail(ask: Ask, data: bytes) -> None:
    heard = ask("claude", data)
    assert heard.out == ""
    assert "error of coord itself" not in heard.err


names = st.sampled_from(["src", "a.py", "b.py", "[id]", "deep", "*", "x y"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
scopes = st.lists(st.sampled_from(["src", "a.py", "*", "**", "deep", "?.py"]), min_size=1, max_size=3).map("/".join)


@FUZZ
@given(held=st.lists(scopes, min_size=1, max_size=3, unique=True), asked=st.lists(paths, min_size=1, max_size=3))
def test_it_agrees_with_lock_check(repo: Path, ask: Ask, held: list[str], asked: list[str]) -> None:
    (repo / ".coord.yaml").write_text("agents: [backend, frontend]\nhooks: {lease: off}\n")
    backend, frontend = Coord.open(repo, who="backend"), Coord.open(repo, who="frontend")
    locks.acquire(backend, tuple(held))
    try:
        patch = "".join(f"*** Update File: {path}\n" for path in asked)
        payload = {"hook_event_name": "PreToolUse", "tool_name": "apply_patch", "tool_input": {"command": patch}}
        quoted = [f"{repo}/" + path.replace("[", r"\[").replace("*", r"\*") for path in asked]
        expected = all(verdict.may_write for verdict in locks.check(frontend, tuple(quoted)).verdicts)
        assert (ask("codex", json.dumps(payload).encode()).refusal == "") == expected
    finally:
        locks.release(backend)
