"""The APIs of the three makers, as much of them as their clients need."""

import json
import re
import time
import uuid
from collections.abc import Iterator

from clients.standin import Asked, Call, Dialect, Plain, Said, Say, event, since


class Anthropic(Dialect):
    """The Messages API, with which Claude Code asks."""

    def asked(self, path: str, body: Plain) -> Asked | None:
        tools = tuple(str(tool.get("name")) for tool in body.get("tools") or ())
        if not path.split("?", maxsplit=1)[0].endswith("/v1/messages") or not tools:
            return None
        items = body["messages"]
        return Asked(time.time(), tuple(items), since(items, lambda item: item["role"] == "assistant"), tools)

    def is_early(self, asked: Asked) -> bool:
        return "Error: No such tool available: mcp__" in asked.heard

    def turn(self, path: str, body: Plain, blocks: Said) -> tuple[str, Iterator[bytes]]:
        content = [self._block(block) for block in blocks]
        stop = "tool_use" if any(block["type"] == "tool_use" for block in content) else "end_turn"
        message = {**self._message(body), "content": [], "stop_reason": None}
        if not body.get("stream"):
            return "application/json", iter([json.dumps({**message, "content": content, "stop_reason": stop}).encode()])
        return "text/event-stream", self._stream(message, content, stop)

    def aside(self, path: str, body: Plain) -> Plain:
        if path.split("?", maxsplit=1)[0].endswith("/v1/messages"):
            return {**self._message(body), "content": [{"type": "text", "text": "ok"}], "stop_reason": "end_turn"}
        return {"data": [], "has_more": False, "first_id": None, "last_id": None, "input_tokens": 10}

    def _stream(self, message: Plain, content: list[Plain], stop: str) -> Iterator[bytes]:
        yield event("message_start", message=message)
        for index, block in enumerate(content):
            if block["type"] == "text":
                start, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
            else:
                start = {**block, "input": {}}
                delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
            yield event("content_block_start", index=index, content_block=start)
            yield event("content_block_delta", index=index, delta=delta)
            yield event("content_block_stop", index=index)
        yield event("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage={"output_tokens": 5})
        yield event("message_stop")

    def _message(self, body: Plain) -> Plain:
        usage = {"input_tokens": 10, "output_tokens": 5, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
        told = {"id": _id("msg"), "type": "message", "role": "assistant", "model": body.get("model")}
        return {**told, "stop_sequence": None, "usage": usage}

    def _block(self, block: Say | Call) -> Plain:
        if isinstance(block, Say):
            return {"type": "text", "text": block.text}
        name = f"mcp__{block.server}__{block.tool}" if block.server else block.tool
        return {"type": "tool_use", "id": _id("toolu"), "name": name, "input": dict(block.given)}


class OpenAI(Dialect):
    """The Responses API, with which Codex asks; its newest models call tools from a line of JavaScript."""

    def asked(self, path: str, body: Plain) -> Asked | None:
        if not path.split("?", maxsplit=1)[0].endswith("/responses") or not body:
            return None
        items = body["input"]
        return Asked(time.time(), tuple(items), since(items, self._is_spoken), ())

    def is_aside(self, asked: Asked) -> bool:
        return "Generate a concise, single-line task title" in asked.heard

    def is_early(self, asked: Asked) -> bool:
        return re.search(r"TypeError: tools\.mcp__\w+ is not a function", asked.heard) is not None

    def turn(self, path: str, body: Plain, blocks: Said) -> tuple[str, Iterator[bytes]]:
        return "text/event-stream", self._stream([self._item(block) for block in blocks])

    def aside(self, path: str, body: Plain) -> Plain:
        return {"object": "list", "data": [{"id": "stand-in", "object": "model"}], "models": []}

    def _stream(self, items: list[Plain]) -> Iterator[bytes]:
        name = _id("resp")
        yield event("response.created", response={"id": name, "status": "in_progress", "output": []})
        for index, item in enumerate(items):
            yield event("response.output_item.added", output_index=index, item=item)
            yield event("response.output_item.done", output_index=index, item=item)
        usage = {
            "input_tokens": 10,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 15,
        }
        done = {"id": name, "status": "completed", "output": items, "usage": usage}
        yield event("response.completed", response=done)

    def _is_spoken(self, item: Plain) -> bool:
        return item.get("role") == "assistant" or item.get("type") == "custom_tool_call"

    def _item(self, block: Say | Call) -> Plain:
        if isinstance(block, Say):
            text = {"type": "output_text", "text": block.text, "annotations": []}
            return {"type": "message", "id": _id("msg"), "role": "assistant", "content": [text]}
        name = f"mcp__{block.server}__{block.tool}" if block.server else block.tool
        given = json.dumps(block.custom or dict(block.given))
        words = f"text(JSON.stringify(await tools.{name}({given})));"
        return {"type": "custom_tool_call", "id": _id("item"), "call_id": _id("call"), "name": "exec", "input": words}


class Google(Dialect):
    """The Gemini API, with which Gemini CLI asks."""

    def asked(self, path: str, body: Plain) -> Asked | None:
        tools = tuple(
            str(one["name"]) for tool in body.get("tools") or () for one in tool.get("functionDeclarations", ())
        )
        if "enerateContent" not in path or not tools or self._wants_json(body):
            return None
        items = body["contents"]
        return Asked(time.time(), tuple(items), since(items, lambda item: item.get("role") == "model"), tools)

    def turn(self, path: str, body: Plain, blocks: Said) -> tuple[str, Iterator[bytes]]:
        told = json.dumps(self._told([self._part(block) for block in blocks]))
        if "stream" in path:
            return "text/event-stream", iter([f"data: {told}\r\n\r\n".encode()])
        return "application/json", iter([told.encode()])

    def aside(self, path: str, body: Plain) -> Plain:
        return {"totalTokens": 10, **self._told([{"text": "{}" if self._wants_json(body) else "ok"}])}

    def _wants_json(self, body: Plain) -> bool:
        wanted = body.get("generationConfig") or {}
        return bool(wanted.get("responseJsonSchema") or wanted.get("responseSchema"))

    def _told(self, parts: list[Plain]) -> Plain:
        usage = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
        candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "stand-in"}

    def _part(self, block: Say | Call) -> Plain:
        if isinstance(block, Say):
            return {"text": block.text}
        name = f"mcp_{block.server}_{block.tool}" if block.server else block.tool
        return {"functionCall": {"name": name, "args": dict(block.given)}}


def _id(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex[:20]}"
