"""What a coding assistant told its hook, in coord's own words: one type for three clients.

Nothing of it is trusted: every field may be missing, of another type, or chosen by who wants in.
"""

import json
from collections.abc import Mapping
from dataclasses import field
from typing import Literal, get_args

from coord.faces.hooks import edits
from coord.model.errors import Usage
from coord.model.untrusted import clean_line, clean_text
from coord.model.values import frozen
from coord.service.clients.names import Client

Event = Literal[
    "started", "asked", "before tool", "after tool", "stopping", "failed", "compacting", "ended"
]  # fmt: skip
CLIENTS: tuple[Client, ...] = get_args(Client)

_COMMON: Mapping[str, Event] = {
    "SessionStart": "started",
    "UserPromptSubmit": "asked",
    "PreToolUse": "before tool",
    "PostToolUse": "after tool",
    "PostToolUseFailure": "after tool",
    "Stop": "stopping",
    "StopFailure": "failed",
    "PreCompact": "compacting",
    "SessionEnd": "ended",
}
_GEMINI: Mapping[str, Event] = {
    "SessionStart": "started",
    "BeforeAgent": "asked",
    "BeforeTool": "before tool",
    "AfterTool": "after tool",
    "AfterAgent": "stopping",
    "PreCompress": "compacting",
    "SessionEnd": "ended",
}
_WORDS = 2_000


@frozen(kw_only=True)
class Hooked:
    """One call of a hook; `name` is the client's own word for the event, `said` what its model said last.

    `prompt` is the beginning of what its model is asked.
    """

    client: Client
    event: Event
    name: str
    session: str = ""
    cwd: str = ""
    tool: str = ""
    tool_input: Mapping[str, object] = field(default_factory=dict)
    subagent: bool = False
    source: str = ""
    version: str = ""
    stopping_again: bool = False
    trouble: str = ""
    said: str = ""
    prompt: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that the tool is about to write, or wrote; relative ones as the tool has them."""
        return edits.paths(self.tool, self.tool_input)

    @property
    def shell(self) -> bool:
        """Whether the tool runs commands, which may write anything."""
        return edits.is_shell(self.tool)


def read(client: str, data: bytes) -> Hooked | None:
    """Return what CLIENT says, or None where the event is none that coord answers.

    Raises:
        Usage: DATA is no JSON object, or CLIENT is none that coord knows.
    """
    if client not in CLIENTS:
        raise Usage(
            f"it answers no client named {clean_line(client, 60)!r}, and lets everything through",
            hint=f"name one of {', '.join(CLIENTS)} where it is installed",
        )
    told = _object(data)
    name = _text(told, "hook_event_name")
    event = (_GEMINI if client == "gemini" else _COMMON).get(name)
    if event is None:
        return None
    tool_input = told.get("tool_input")
    return Hooked(
        client=client,
        event=event,
        name=name,
        session=_text(told, "session_id"),
        cwd=_text(told, "cwd"),
        tool=_text(told, "tool_name"),
        tool_input=tool_input if isinstance(tool_input, dict) else {},
        subagent=bool(_text(told, "agent_id")),
        source=_line(told, "source") or _line(told, "trigger"),
        version=_line(told, "version"),
        stopping_again=told.get("stop_hook_active") is True,
        trouble=_trouble(told) if event == "failed" else "",
        said=clean_text((_text(told, "last_assistant_message") or _text(told, "prompt_response"))[:_WORDS]),
        prompt=_text(told, "prompt")[:_WORDS],
    )


def _trouble(told: Mapping[str, object]) -> str:
    """Return why a turn failed; to Claude one answer of 529 is a fault of the server, and only several an overload."""
    trouble = _line(told, "error")
    overloaded = trouble == "server_error" and _text(told, "last_assistant_message").startswith("API Error: 529 ")
    return "overloaded" if overloaded else trouble


def _object(data: bytes) -> dict[str, object]:
    try:
        told = json.loads(data)
    except (ValueError, RecursionError) as fault:
        raise Usage(f"what the hook was given is no JSON: {clean_line(str(fault), 120)}") from None
    if not isinstance(told, dict):
        raise Usage("what the hook was given is no JSON object")
    return told


def _text(told: Mapping[str, object], name: str) -> str:
    found = told.get(name)
    return found if isinstance(found, str) else ""


def _line(told: Mapping[str, object], name: str) -> str:
    return clean_line(_text(told, name), 60)
