"""Resources, prompts, and word of what changed, through the SDK's own client in both eras."""

import os
import sys
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.shared.exceptions import MCPError
from mcp_types import PromptReference, ResourceTemplateReference

from coord.faces.mcp import prompts, resources, server
from coord.faces.mcp.calls import Caller, Hand, call
from coord.faces.mcp.facts import Facts
from coord.faces.mcp.tools import find
from coord.model.errors import CoordError
from coord.service import commands
from coord.service.coord import Coord

Use = Callable[[Client], Awaitable[None]]


def within(repo: Path, use: Use) -> None:
    async def run() -> None:
        async with Client(server.made(lambda _: Facts(Caller(repo, "backend")))) as client:
            await use(client)

    anyio.run(run)


def say(repo: Path, text: str) -> None:
    assert not call(
        find("send_message"), {"to": "frontend", "content": text}, Caller(repo, "backend"), hand=Hand()
    ).failed


def program(repo: Path) -> StdioServerParameters:
    return StdioServerParameters(
        command=sys.executable,
        args=["-P", "-m", "coord", "mcp", "--here"],
        cwd=repo,
        env={"COORD_AGENT": "backend", "HOME": os.environ["HOME"], "GIT_CONFIG_NOSYSTEM": "1"},
    )


def test_mailboxes_leases_and_events_can_be_looked_at(repo: Path) -> None:
    say(repo, "look at this")

    async def use(client: Client) -> None:
        found = {one.uri for one in (await client.list_resources()).resources}
        assert found >= {"inbox://backend", "inbox://frontend", "inbox://owner", "locks://", "ledger://recent"}
        for uri in found:
            content = (await client.read_resource(uri)).contents[0]
            assert getattr(content, "text", "").strip()
        mail = (await client.read_resource("inbox://frontend")).contents[0]
        assert "look at this" in getattr(mail, "text", "")
        again = (await client.read_resource("inbox://frontend")).contents[0]
        assert "1 unread" in getattr(again, "text", "")
        templates = (await client.list_resource_templates()).resource_templates
        assert [one.uri_template for one in templates] == ["inbox://{agent}"]

    within(repo, use)


@pytest.mark.parametrize("uri", ["inbox://nobody", "inbox://../x", "locks://x", "ledger://", "file:///etc/passwd"])
def test_what_is_not_there_is_said_not_to_be(repo: Path, uri: str) -> None:
    async def use(client: Client) -> None:
        with pytest.raises(MCPError, match=r"no resource|nobody|no agent") as fault:
            await client.read_resource(uri)
        assert fault.value.error.data == {"uri": uri}

    within(repo, use)


def test_prompts_name_tools_that_are_there() -> None:
    known = {command.name.replace(" ", "_") for command in commands.every()}
    for one in prompts.ALL.values():
        words = {word.strip(".,;()`:") for word in prompts.filled(one.name, dict.fromkeys(one.arguments, "x")).split()}
        named = {word for word in words if "_" in word}
        assert named
        assert all(find(word) for word in named)
    assert known


def test_prompts_can_be_had(repo: Path) -> None:
    async def use(client: Client) -> None:
        assert {one.name for one in (await client.list_prompts()).prompts} == {"hand_over", "review"}
        told = (await client.get_prompt("hand_over", {"to": "frontend"})).messages[0].content
        assert "over to frontend" in getattr(told, "text", "")
        with pytest.raises(MCPError, match="to is missing"):
            await client.get_prompt("hand_over", {})

    within(repo, use)


def test_agents_names_are_completed(repo: Path) -> None:
    async def use(client: Client) -> None:
        for ref, asked, wanted in (
            (PromptReference(name="hand_over"), ("to", "B"), ["backend"]),
            (PromptReference(name="hand_over"), ("tone", ""), []),
            (ResourceTemplateReference(uri="inbox://{agent}"), ("agent", "zz"), []),
            (ResourceTemplateReference(uri="inbox://{agent}"), ("agent", ""), Coord.open(repo).config.everybody),
        ):
            found = await client.complete(ref, {"name": asked[0], "value": asked[1]})
            assert found.completion.values == list(wanted)

    within(repo, use)


@pytest.mark.parametrize(
    ("name", "given", "fault"),
    [("hand_over", {"who": "x"}, "takes no who"), ("hand_over", {"to": " "}, "missing"), ("sing", {}, "no prompt")],
)
def test_wrong_prompts_are_refused(name: str, given: dict[str, str], fault: str) -> None:
    with pytest.raises(CoordError, match=fault):
        prompts.filled(name, given)


def test_an_argument_stays_on_its_line_and_is_no_format() -> None:
    text = prompts.filled("hand_over", {"to": "a\n9. rm {to} \x1b[2J"})
    assert "over to a 9. rm {to}:" in text.splitlines()[0]
    assert "\x1b" not in text


def test_who_listens_hears_of_mail_and_of_new_agents(repo: Path) -> None:
    heard: list[Any] = []

    async def use(client: Client) -> None:
        async with client.listen(resource_subscriptions=["inbox://frontend"], resources_list_changed=True) as events:
            await anyio.to_thread.run_sync(say, repo, "news")
            with anyio.fail_after(15):
                heard.append(await anext(aiter(events)))
            config = repo / ".coord.yaml"
            config.write_text(config.read_text().replace("  security:", "  tester: {}\n  security:"))
            with anyio.fail_after(15):
                heard.append(await anext(aiter(events)))

    within(repo, use)
    assert [type(one).__name__ for one in heard] == ["ResourceUpdated", "ResourcesListChanged"]
    assert heard[0].uri == "inbox://frontend"


def test_who_subscribed_in_the_older_era_hears_it_too(repo: Path) -> None:
    heard: list[tuple[str, str]] = []
    mode: Literal["legacy"] = "legacy"

    async def note(message: Any) -> None:
        heard.append((str(getattr(message, "method", "")), str(getattr(getattr(message, "params", None), "uri", ""))))

    async def hears(method: str, uri: str) -> None:
        with anyio.fail_after(15):
            while (f"notifications/resources/{method}", uri) not in heard:
                await anyio.sleep(0.05)

    async def run() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            async with Client(program(repo), mode=mode, message_handler=note) as client:
                for _ in range(2):
                    await client.subscribe_resource("locks://")
                await client.subscribe_resource("inbox://frontend")
                await client.call_tool("acquire_file_lock", {"file_path": "README.md"})
                await hears("updated", "locks://")
                config = repo / ".coord.yaml"
                config.write_text(config.read_text().replace("  security:", "  tester: {}\n  security:"))
                await hears("list_changed", "")
                await client.unsubscribe_resource("locks://")
                await client.call_tool("release_file_lock", {"file_path": "README.md"})
                await client.call_tool("send_message", {"to": "frontend", "content": "x"})
                await hears("updated", "inbox://frontend")

    anyio.run(run)
    assert heard.count(("notifications/resources/updated", "locks://")) == 1


def test_a_state_changes_with_what_it_stands_for_and_not_with_time(repo: Path) -> None:
    backend = Caller(repo, "backend")
    before = {uri: resources.state(backend, uri) for uri in ("inbox://frontend", "locks://", "ledger://recent")}
    assert {uri: resources.state(backend, uri) for uri in before} == before
    say(repo, "x")
    after = {uri: resources.state(backend, uri) for uri in before}
    assert {uri for uri in before if before[uri] != after[uri]} == {"inbox://frontend", "ledger://recent"}
