"""Every command as a tool, called through the SDK's own client."""

import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import CallToolResult

from coord.faces.mcp import server, shortcuts, tools
from coord.faces.mcp.calls import Caller, Hand, call
from coord.faces.mcp.facts import Facts
from coord.model.errors import Usage
from coord.service import commands
from coord.service.coord import Coord

Use = Callable[[Client], Awaitable[None]]
PER_TOKEN = 3.5  # characters of JSON to a token, of which no tokenizer of the models at hand needs more
SEED = {
    "send_message": {"to", "content"},
    "check_messages": set(),
    "acquire_file_lock": {"file_path"},
    "release_file_lock": {"file_path"},
    "save_checkpoint": {"state"},
    "restore_checkpoint": set(),
}


def within(repo: Path, who: str, use: Use) -> None:
    async def run() -> None:
        async with Client(server.made(lambda _: Facts(Caller(repo, who)))) as client:
            await use(client)

    anyio.run(run)


def said(result: CallToolResult) -> str:
    return "\n".join(getattr(part, "text", "") for part in result.content)


def test_every_command_is_a_tool_but_the_owners() -> None:
    offered = {tool.command.name for tool in tools.every().values()}
    assert {command.name for command in commands.every()} - offered == tools.WITHHELD


def test_an_answer_with_a_key_is_sent_once(repo: Path) -> None:
    asked = call(
        tools.find("send_message"), {"to": "frontend", "content": "ready?"}, Caller(repo, "backend"), hand=Hand()
    )
    assert isinstance(asked.structured, dict)
    given = {"which": asked.structured["message"]["id"], "body": "yes"}
    for since in (0.0, 1.0):
        caller = Caller(repo, "frontend")
        answer = call(tools.find("mail_reply"), given, caller, hand=Hand(), key="k", since=since)
        assert not answer.failed, answer.text
    with Coord.open(repo, who="backend") as coord:
        assert len(tools.find("mail_list").command(coord).items) == 1


def test_mail_whose_answer_was_lost_is_shown_again(repo: Path) -> None:
    for text in ("one", "two"):
        call(tools.find("send_message"), {"to": "frontend", "content": text}, Caller(repo, "backend"), hand=Hand())
    reader, frontend = tools.find("check_messages"), Caller(repo, "frontend")
    began = time.time()
    call(reader, {"limit": 1}, frontend, hand=Hand())  # its answer never arrives
    again = call(reader, {"limit": 1}, frontend, hand=Hand(), since=began)
    assert isinstance(again.structured, dict)
    assert [item["message"]["body"] for item in again.structured["items"]] == ["one", "two"]
    assert "nothing unread" in call(reader, {}, frontend, hand=Hand(), since=time.time()).text


def test_an_error_of_what_is_asked_again_says_that_it_may_be_done(repo: Path) -> None:
    release, backend = tools.find("lock_release"), Caller(repo, "backend")
    first = call(release, {"scopes": ["a.txt"]}, backend, hand=Hand())
    again = call(release, {"scopes": ["a.txt"]}, backend, hand=Hand(), since=time.time())
    assert first.failed
    assert "may be done already" not in first.text
    assert "may be done already" in again.text


def test_the_seed_has_its_names_and_parameters() -> None:
    for name, required in SEED.items():
        tool = tools.find(name)
        schema = tool.schema()
        assert set(schema.get("required", [])) == required
        assert all(schema["properties"][each]["type"] == "string" for each in required)
        assert tool.loud


def test_what_is_always_loaded_costs_little() -> None:
    listed = server.listed().tools
    loud = [tool for tool in listed if tool.meta == {"anthropic/alwaysLoad": True}]
    size = sum(len(tool.model_dump_json(by_alias=True, exclude_none=True)) for tool in loud) + len(server.INSTRUCTIONS)
    assert len(loud) <= 10
    assert {tool.name for tool in loud} >= set(SEED)
    assert size / PER_TOKEN <= 2_000


def test_every_part_of_an_answer_has_a_kind() -> None:
    for tool in tools.every().values():
        for name, part in tool.gives()["properties"].items():
            assert set(part) & {"type", "enum", "anyOf"}, (tool.name, name)


def test_each_tool_says_what_it_may_do() -> None:
    marks = {tool.name: tool.annotations for tool in server.listed().tools}
    assert all(mark is not None for mark in marks.values())
    for name, wanted in {
        "lock_list": (True, None, None),
        "send_message": (False, False, None),
        "mail_ack": (False, False, True),
        "worktree_remove": (False, True, None),
        "doctor": (True, None, None),
    }.items():
        mark = marks[name]
        assert mark is not None
        assert (mark.read_only_hint, mark.destructive_hint, mark.idempotent_hint) == wanted
    for command in commands.every():
        if command.writes and command.name not in tools.WITHHELD:
            assert not tools.find(command.name.replace(" ", "_")).reads_only


def test_mail_goes_from_one_to_the_other(repo: Path) -> None:
    async def write(client: Client) -> None:
        sent = await client.call_tool("send_message", {"to": "frontend, security", "content": "hello\nthere"})
        assert said(sent).endswith("to frontend, security")
        assert sent.structured_content["delivered"] == ["frontend", "security"]

    async def read(client: Client) -> None:
        got = await client.call_tool("check_messages", {})
        assert "> hello" in said(got)
        assert [item["message"]["body"] for item in got.structured_content["items"]] == ["hello\nthere"]
        assert "nothing unread" in said(await client.call_tool("check_messages", {}))

    within(repo, "backend", write)
    within(repo, "frontend", read)


def test_an_error_says_who_until_when_and_what_next(repo: Path) -> None:
    with Coord.open(repo, who="frontend") as coord:
        tools.find("lock_acquire").command(coord, ("web_app/index.html",))

    async def use(client: Client) -> None:
        refused = await client.call_tool("acquire_file_lock", {"file_path": "web_app/index.html"})
        assert refused.is_error
        text = said(refused)
        assert "frontend" in text
        assert "until" in text
        assert "\nnext: " in text
        assert refused.structured_content is None
        assert (refused.meta or {})["coord/error"]["code"] == "lease_held"

    within(repo, "backend", use)


def test_every_tool_that_needs_nothing_answers_by_its_schema(repo: Path) -> None:
    """The client holds each structured answer against the output schema and raises where they differ."""

    async def use(client: Client) -> None:
        for tool in (await client.list_tools()).tools:
            if not tool.input_schema.get("required") and tool.name not in ("mail_wait", "worktree_add"):
                result = await client.call_tool(tool.name, {})
                assert said(result)

    within(repo, "backend", use)


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("send_message", {"content": "x"}, "to is missing"),
        ("send_message", {"to": "", "content": "x"}, "to is empty"),
        ("send_message", {"to": "all", "content": 3}, "content: 3 is no prose"),
        ("send_message", {"to": "all", "content": "x", "prio": "high"}, "takes no 'prio'"),
        ("send_message", {"to": "all", "content": "x", "priority": "loud"}, "'loud' is none of"),
        ("mail_list", {"limit": "many"}, "limit: 'many' is no integer"),
        ("mail_list", {"limit": True}, "limit: True is no integer"),
        ("mail_list", {"read": "yes"}, "read: 'yes' is no flag"),
        ("lock_acquire", {"scopes": ["a"], "ttl": "soon"}, "ttl:"),
        ("lock_acquire", {"scopes": []}, "scopes is empty"),
        ("doctor", {"fix": True}, "takes no 'fix'"),
        ("send_mesage", {}, "did you mean send_message"),
    ],
)
def test_wrong_words_are_answered_in_words(repo: Path, name: str, given: dict[str, Any], words: str) -> None:
    async def use(client: Client) -> None:
        result = await client.call_tool(name, given)
        assert result.is_error
        assert words in said(result)

    within(repo, "backend", use)


def test_every_tool_that_lacks_something_says_what_and_what_next(repo: Path) -> None:
    for tool in tools.every().values():
        if lacking := tool.schema().get("required"):
            outcome = call(tool, {}, Caller(repo, "backend"), hand=Hand())
            assert outcome.failed
            assert f"{lacking[0]} is missing" in outcome.text, tool.name
            assert f"\nnext: {lacking[0]}: " in outcome.text, tool.name


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"limit": 7}, {"limit": 7}),
        ({"limit": 7.0}, {"limit": 7}),
        ({"limit": "7"}, {"limit": 7}),
        ({"mailbox": "all", "read": True}, {"mailbox_": "all", "read": True}),
        ({}, {"mailbox_": "", "read": False, "limit": 100}),
    ],
)
def test_arguments_become_what_the_command_takes(given: dict[str, Any], wanted: dict[str, Any]) -> None:
    positional, named = tools.find("mail_list").arguments(given)
    assert positional == []
    assert named | wanted == named


def test_a_duration_may_be_seconds() -> None:
    _, named = tools.find("mail_wait").arguments({"timeout": 90})
    assert named["timeout"] == tools.find("mail_wait").arguments({"timeout": "90s"})[1]["timeout"]


def test_a_seed_that_names_what_is_not_there_is_found() -> None:
    for one in shortcuts.TOOLS:
        assert set(one.takes.values()) <= {param.name for param in commands.find(one.command).params}
        assert set(one.words) | one.singly <= set(one.takes)


def test_what_others_wrote_reaches_no_terminal(repo: Path) -> None:
    escape = "\x1b]0;mine\x07\x1b[2J\u202eevil"
    outcomes = [
        call(tools.find(name), given, Caller(repo, who), hand=Hand())
        for who, name, given in (
            ("backend", "send_message", {"to": "frontend", "content": escape}),
            ("frontend", "check_messages", {}),
        )
    ]
    for outcome in outcomes:
        assert not outcome.failed
        assert not set("\x1b\x07\u202e") & set(outcome.text + json.dumps(outcome.structured, ensure_ascii=False))


def test_a_call_taken_back_changes_nothing_more(repo: Path) -> None:
    hand = Hand()
    hand.stop()
    outcome = call(tools.find("send_message"), {"to": "all", "content": "x"}, Caller(repo, "backend"), hand=hand)
    assert outcome.failed
    assert outcome.facts["code"] == "withdrawn"
    with Coord.open(repo, who="frontend") as coord:
        assert tools.find("mail_list").command(coord).items == ()


def test_where_nobody_is_somebody_the_error_says_how(repo: Path) -> None:
    outcome = call(tools.find("check_messages"), {}, Caller(repo), hand=Hand())
    assert outcome.failed
    assert "who is speaking" in outcome.text
    with pytest.raises(Usage):
        Coord.open(repo).me()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_over_standard_streams_in_both_eras(repo: Path, mode: Literal["auto", "legacy"]) -> None:
    program = StdioServerParameters(
        command=sys.executable,
        args=["-P", "-m", "coord", "mcp", "--here"],
        cwd=repo,
        env={"COORD_AGENT": "backend", "HOME": str(repo.parent / ".home")},
    )

    async def run() -> None:
        async with Client(program, mode=mode) as client:
            assert (client.protocol_version >= "2026") == (mode == "auto")
            assert len((await client.list_tools()).tools) == len(tools.every())
            assert "sent" in said(await client.call_tool("send_message", {"to": "frontend", "content": "x"}))

    anyio.run(run)
