"""What the conformance suite asks of any server beside its own tools, laid over coord's server.

Names and answers are the suite's. Whatever it does not name goes to coord's own handlers, and all of it
passes through coord's transport, its guard and its way of telling who calls.
"""

import base64
import json
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import anyio
import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.shared.exceptions import MCPError

Context = ServerRequestContext[Any, Any]
Handler = Callable[[Context, Any], Awaitable[Any]]
Tool = Callable[[Context, types.CallToolRequestParams], Awaitable[Any]]

PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
        "0000000a49444154789c63f80f0001010100b138f6140000000049454e44ae426082"
    )
).decode()
SOUND = base64.b64encode(
    b"RIFF\x26\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\2\0\0\0\0\0"
).decode()


def lay_over(made: Server[Any]) -> None:
    """Let MADE answer what the suite asks, too."""
    for method, more in _OVER.items():
        entry = made.get_request_handler(method)
        assert entry is not None, method
        made.add_request_handler(method, entry.params_type, partial(more, entry.handler))
    made.add_request_handler("logging/setLevel", types.SetLevelRequestParams, _nothing)
    made.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=made.name))


async def _nothing(_context: Context, _params: object) -> types.EmptyResult:
    return types.EmptyResult()


# ---- tools ----


def text(words: str) -> types.TextContent:
    return types.TextContent(type="text", text=words)


def image() -> types.ImageContent:
    return types.ImageContent(type="image", data=PIXEL, mime_type="image/png")


def embedded(uri: str, words: str, kind: str = "text/plain") -> types.EmbeddedResource:
    return types.EmbeddedResource(
        type="resource", resource=types.TextResourceContents(uri=uri, mime_type=kind, text=words)
    )


def done(*content: types.ContentBlock, failed: bool = False) -> types.CallToolResult:
    return types.CallToolResult(content=list(content), is_error=failed)


def says(*content: types.ContentBlock, failed: bool = False) -> Tool:
    async def tool(_context: Context, _params: types.CallToolRequestParams) -> types.CallToolResult:
        return done(*content, failed=failed)

    return tool


async def _logs(context: Context, _params: types.CallToolRequestParams) -> types.CallToolResult:
    for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await context.session.send_log_message("info", words, related_request_id=context.request_id)
        await anyio.sleep(0.05)
    return done(text("logged"))


async def _makes_progress(context: Context, _params: types.CallToolRequestParams) -> types.CallToolResult:
    for part in (0, 50, 100):
        await context.session.report_progress(part, 100)
        await anyio.sleep(0.05)
    return done(text("arrived"))


async def _samples(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
    asked = types.SamplingMessage(role="user", content=text((params.arguments or {})["prompt"]))
    answer = await context.session.create_message([asked], max_tokens=100, related_request_id=context.request_id)
    return done(text(f"LLM response: {getattr(answer.content, 'text', '')}"))


def elicits(schema: Mapping[str, Any], words: str = "Please tell") -> Tool:
    async def tool(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        message = (params.arguments or {}).get("message", words)
        answer = await context.session.elicit_form(message, dict(schema), context.request_id)
        return done(text(f"Elicitation completed: action={answer.action}, content={json.dumps(answer.content)}"))

    return tool


async def _needs_sampling(context: Context, _params: types.CallToolRequestParams) -> types.CallToolResult:
    wanted = types.ClientCapabilities(sampling=types.SamplingCapability())
    if not context.session.check_client_capability(wanted):
        data = types.MissingRequiredClientCapabilityErrorData(required_capabilities=wanted)
        raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, "sampling is required", data.model_dump(by_alias=True))
    return done(text("sampling is there"))


# ---- tools and prompts that ask for more before they answer, in rounds ----


def form(message: str, **properties: Mapping[str, Any]) -> types.ElicitRequest:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(words: str, most: int = 100) -> types.CreateMessageRequest:
    asked = types.SamplingMessage(role="user", content=text(words))
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[asked], max_tokens=most))


def roots() -> types.ListRootsRequest:
    return types.ListRootsRequest(params=types.RequestParams())


NAME = form("What is your name?", name={"type": "string"})
OK = form("Please confirm", ok={"type": "boolean"})
Round = Mapping[str, Any]


def in_rounds(*rounds: Round, stateful: bool = False) -> Tool:
    """Ask for what each round needs; which round it is, is told by the state that the client hands back."""

    async def tool(_context: Context, params: Any) -> Any:
        number = int(params.request_state or 0)
        given = params.input_responses or {}
        if all(_fits(asked, given.get(name)) for name, asked in rounds[number].items()):
            number += 1
        if number < len(rounds):
            state = str(number) if stateful else None
            return types.InputRequiredResult(input_requests=dict(rounds[number]), request_state=state)
        return done(text(f"state-ok: {', '.join(map(_told, given.values()))}"))

    return tool


def _fits(asked: Any, given: Any) -> bool:
    if not isinstance(asked, types.ElicitRequest):
        return given is not None
    wanted = getattr(asked.params, "requested_schema", {}).get("required", ())
    return isinstance(given, types.ElicitResult) and set(wanted) <= set(given.content or {})


def _told(given: Any) -> str:
    return json.dumps(given.model_dump(mode="json", by_alias=True, exclude_none=True))


async def _asks_what_can_be_answered(context: Context, params: types.CallToolRequestParams) -> Any:
    can = context.session.client_capabilities or types.ClientCapabilities()
    wanted = {"sampling": sample("Greet me"), "elicitation": NAME, "roots": roots()}
    asked = {name: one for name, one in wanted.items() if getattr(can, name) is not None}
    return await in_rounds(asked)(context, params)


# ---- lists ----

_ENUM = ("option1", "option2", "option3")
_TITLED = [{"const": name, "title": name.title()} for name in _ENUM]
_DEFAULTS = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "default": True},
}
_ENUMS = {
    "untitledSingle": {"type": "string", "enum": list(_ENUM)},
    "titledSingle": {"type": "string", "oneOf": _TITLED},
    "legacyEnum": {"type": "string", "enum": list(_ENUM), "enumNames": [name.title() for name in _ENUM]},
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": list(_ENUM)}},
    "titledMulti": {"type": "array", "items": {"anyOf": _TITLED}},
}
_RESPONSE = {"type": "object", "properties": {"response": {"type": "string"}}, "required": ["response"]}

TOOLS: Mapping[str, Tool] = {
    "test_simple_text": says(text("This is a simple text response for testing.")),
    "test_image_content": says(image()),
    "test_audio_content": says(types.AudioContent(type="audio", data=SOUND, mime_type="audio/wav")),
    "test_embedded_resource": says(embedded("test://embedded-resource", "This is an embedded resource content.")),
    "test_multiple_content_types": says(
        text("Multiple content types test:"),
        image(),
        embedded("test://mixed-content-resource", '{"test":"data","value":123}', "application/json"),
    ),
    "test_error_handling": says(text("This tool intentionally returns an error for testing"), failed=True),
    "test_tool_with_logging": _logs,
    "test_logging_tool": _logs,
    "test_tool_with_progress": _makes_progress,
    "test_sampling": _samples,
    "test_elicitation": elicits(_RESPONSE),
    "test_elicitation_sep1034_defaults": elicits({"type": "object", "properties": _DEFAULTS, "required": []}),
    "test_elicitation_sep1330_enums": elicits({"type": "object", "properties": _ENUMS, "required": []}),
    "test_missing_capability": _needs_sampling,
    "test_streaming_elicitation": in_rounds({"user_name": NAME}),
    "test_input_required_result_elicitation": in_rounds({"user_name": NAME}),
    "test_input_required_result_sampling": in_rounds({"capital_question": sample("What is the capital of France?")}),
    "test_input_required_result_list_roots": in_rounds({"client_roots": roots()}),
    "test_input_required_result_request_state": in_rounds({"confirm": OK}, stateful=True),
    "test_input_required_result_tampered_state": in_rounds({"confirm": OK}, stateful=True),
    "test_input_required_result_multiple_inputs": in_rounds(
        {"user_name": NAME, "greeting": sample("Generate a greeting", 50), "client_roots": roots()}, stateful=True
    ),
    "test_input_required_result_multi_round": in_rounds(
        {"step1": form("Step 1: What is your name?", name={"type": "string"})},
        {"step2": form("Step 2: What is your favorite color?", color={"type": "string"})},
        stateful=True,
    ),
    "test_input_required_result_capabilities": _asks_what_can_be_answered,
}
_TAKES: Mapping[str, Sequence[str]] = {"test_sampling": ["prompt"], "test_elicitation": ["message"]}

RESOURCES: Mapping[str, tuple[str, str]] = {
    "test://static-text": ("text/plain", "This is the content of the static text resource."),
    "test://static-binary": ("image/png", PIXEL),
    "test://watched-resource": ("text/plain", "Watched resource content"),
}
_TEMPLATE = ("test://template/", "/data")

PROMPTS: Mapping[str, Sequence[str]] = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
    "test_input_required_result_prompt": (),
}


async def _list_tools(coord: Handler, context: Context, params: Any) -> types.ListToolsResult:
    found = await coord(context, params)
    return types.ListToolsResult(tools=[*found.tools, *map(_described, TOOLS)])


def _described(name: str) -> types.Tool:
    takes = _TAKES.get(name, ())
    schema = {"type": "object", "properties": {one: {"type": "string"} for one in takes}, "required": list(takes)}
    return types.Tool(name=name, description=f"{name}, for the conformance suite", input_schema=schema)


async def _call_tool(coord: Handler, context: Context, params: types.CallToolRequestParams) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older era's ways, which the suite asks for
        return await TOOLS.get(params.name, coord)(context, params)


async def _list_resources(coord: Handler, context: Context, params: Any) -> types.ListResourcesResult:
    found = await coord(context, params)
    more = [types.Resource(uri=uri, name=uri, description=uri, mime_type=kind) for uri, (kind, _) in RESOURCES.items()]
    return types.ListResourcesResult(resources=[*found.resources, *more])


async def _list_templates(coord: Handler, context: Context, params: Any) -> types.ListResourceTemplatesResult:
    found = await coord(context, params)
    one = types.ResourceTemplate(uri_template="{id}".join(_TEMPLATE), name="data", mime_type="application/json")
    return types.ListResourceTemplatesResult(resource_templates=[*found.resource_templates, one])


async def _read_resource(coord: Handler, context: Context, params: types.ReadResourceRequestParams) -> Any:
    uri = params.uri
    content: types.TextResourceContents | types.BlobResourceContents
    if uri in RESOURCES:
        kind, data = RESOURCES[uri]
        if kind == "image/png":
            content = types.BlobResourceContents(uri=uri, mime_type=kind, blob=data)
        else:
            content = types.TextResourceContents(uri=uri, mime_type=kind, text=data)
    elif uri.startswith(_TEMPLATE[0]) and uri.endswith(_TEMPLATE[1]):
        which = uri.removeprefix(_TEMPLATE[0]).removesuffix(_TEMPLATE[1])
        told = json.dumps({"id": which, "templateTest": True, "data": f"Data for ID: {which}"})
        content = types.TextResourceContents(uri=uri, mime_type="application/json", text=told)
    else:
        return await coord(context, params)
    return types.ReadResourceResult(contents=[content])


async def _subscribe(coord: Handler, context: Context, params: Any) -> types.EmptyResult:
    return types.EmptyResult() if params.uri in RESOURCES else await coord(context, params)


async def _list_prompts(coord: Handler, context: Context, params: Any) -> types.ListPromptsResult:
    found = await coord(context, params)
    more = [
        types.Prompt(
            name=name, description=name, arguments=[types.PromptArgument(name=one, required=True) for one in takes]
        )
        for name, takes in PROMPTS.items()
    ]
    return types.ListPromptsResult(prompts=[*found.prompts, *more])


async def _get_prompt(coord: Handler, context: Context, params: types.GetPromptRequestParams) -> Any:
    given = params.arguments or {}
    content: Sequence[types.ContentBlock]
    match params.name:
        case "test_simple_prompt":
            content = [text("This is a simple prompt for testing.")]
        case "test_prompt_with_arguments":
            content = [text(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'")]
        case "test_prompt_with_embedded_resource":
            resource = embedded(given["resourceUri"], "Embedded resource content for testing.")
            content = [resource, text("Please process the embedded resource above.")]
        case "test_prompt_with_image":
            content = [image(), text("Please analyze the image above.")]
        case "test_input_required_result_prompt":
            asked = {"user_context": form("What context should the prompt use?", context={"type": "string"})}
            found = await in_rounds(asked)(context, params)  # type: ignore[arg-type]
            if isinstance(found, types.InputRequiredResult):
                return found
            content = found.content
        case _:
            return await coord(context, params)
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=one) for one in content])


_OVER: Mapping[str, Callable[[Handler, Context, Any], Awaitable[Any]]] = {
    "tools/list": _list_tools,
    "tools/call": _call_tool,
    "resources/list": _list_resources,
    "resources/templates/list": _list_templates,
    "resources/read": _read_resource,
    "resources/subscribe": _subscribe,
    "resources/unsubscribe": _subscribe,
    "prompts/list": _list_prompts,
    "prompts/get": _get_prompt,
}
