"""The MCP server: requests to tools and resources, and their answers to results."""

import json
import logging
import os
import signal
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any, TypeVar

import anyio
import mcp_types as types
from anyio.to_thread import run_sync
from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from history_sink import ConfigurationError, Fault, HistorySink, HistorySinkError, Malformed, NotFound, SessionSummary
from history_sink_agents.mcp_server.arguments import explain
from history_sink_agents.mcp_server.resources import LogName, TooLarge, list_logs, read_log, read_uri
from history_sink_agents.mcp_server.tools import TOOLS, Answer, answer
from history_sink_agents.sealing.showing import tell_sealed

INSTRUCTIONS = (
    "The archive of agents' sessions. session_recall finds what was said in any of them, resolve_pointer reads a hit's "
    "bytes, context_browse writes a session's turns into files. An answer with a fault says why there is nothing: "
    "no_match: nothing was found; denied: it is not allowed; backend_error: it could not be looked for, so try again."
)
JSON_LINES = "application/x-ndjson"

Context = ServerRequestContext[Any]
T = TypeVar("T")


def make_server(sink: HistorySink) -> Server[Any]:
    """The server over a sink, for any transport."""
    return Server(
        "history-sink",
        version=version("history-sink"),
        instructions=INSTRUCTIONS,
        on_list_tools=_list_tools,
        on_call_tool=partial(_call_tool, sink),
        on_list_resources=partial(_list_resources, sink),
        on_read_resource=partial(_read_resource, sink),
    )


def serve() -> None:
    """Serve stdin and stdout until stdin ends. Raises `ConfigurationError` where the settings name no broker."""
    sink = HistorySink.from_env()
    if not sink.settings.is_enabled:
        raise ConfigurationError("CODETETHER_HISTORY_BROKER_URL is not set. It says where the archive's queue is")
    # A thread that waits for stdin cannot be interrupted; there is nothing here that would be lost.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os._exit(128 + number))
    logging.getLogger("mcp").setLevel(logging.CRITICAL)  # it may log what a client sent
    with sink:
        anyio.run(_serve, sink)


async def _serve(sink: HistorySink) -> None:
    server = make_server(sink)
    async with stdio_server() as (requests, answers):
        await server.run(requests, answers, server.create_initialization_options())


async def _in_thread(call: Callable[[], T]) -> T:
    """Wait for a worker in a thread. Where the client takes its request back, nobody waits any more."""
    return await run_sync(call, abandon_on_cancel=True)


async def _list_tools(context: Context, asked: types.PaginatedRequestParams | None) -> types.ListToolsResult:
    # context_browse writes files, but only its own.
    hints = {name: types.ToolAnnotations(read_only_hint=True, open_world_hint=False) for name in TOOLS}
    return types.ListToolsResult(
        tools=[
            types.Tool(
                name=name,
                description=tool.description,
                input_schema=tool.arguments.model_json_schema(),
                annotations=hints[name],
            )
            for name, tool in TOOLS.items()
        ]
    )


async def _call_tool(sink: HistorySink, context: Context, asked: types.CallToolRequestParams) -> types.CallToolResult:
    tool = TOOLS.get(asked.name)
    if tool is None:
        raise MCPError(types.INVALID_PARAMS, f"no tool of this name; there are {', '.join(TOOLS)}")
    try:
        given = tool.arguments.model_validate(asked.arguments or {})
        found: Answer = await _in_thread(lambda: answer(sink, tool, given))
    except ValidationError as error:
        return _make_result({"error": "invalid_arguments", "problems": explain(error)}, is_error=True)
    except Malformed as error:
        return _make_result({"error": "invalid_arguments", "problems": [str(error)]}, is_error=True)
    if isinstance(found, Fault):
        return _make_result({"fault": found.encode()}, is_error=found.kind != "no_match")
    return _make_result(found)


def _make_result(value: dict[str, Any], is_error: bool = False) -> types.CallToolResult:
    """The value for programs, and the same as text: not every client shows its model the former."""
    text = json.dumps(value, ensure_ascii=False)
    content: list[types.ContentBlock] = [types.TextContent(type="text", text=text)]
    return types.CallToolResult(content=content, structured_content=value, is_error=is_error)


async def _list_resources(
    sink: HistorySink, context: Context, asked: types.PaginatedRequestParams | None
) -> types.ListResourcesResult:
    after = asked.cursor if asked and asked.cursor else ""
    found, next_after = await _ask(lambda: list_logs(sink, after))
    return types.ListResourcesResult(
        resources=[_describe(name, summary) for name, summary in found], next_cursor=next_after
    )


def _describe(name: LogName, summary: SessionSummary) -> types.Resource:
    title = f"{name.session}, branch {name.branch}" if name.branch else name.session
    size_bytes = None if name.branch else summary.bytes
    messages = "written later than the main log" if name.branch else f"{summary.messages} messages"
    return types.Resource(name=title, uri=name.uri, description=messages, mime_type=JSON_LINES, size=size_bytes)


async def _read_resource(
    sink: HistorySink, context: Context, asked: types.ReadResourceRequestParams
) -> types.ReadResourceResult:
    text = await _ask(lambda: read_log(sink, read_uri(str(asked.uri))))
    contents = types.TextResourceContents(
        uri=asked.uri, mime_type=JSON_LINES, text=text, _meta=tell_sealed(text.encode()) or None
    )
    return types.ReadResourceResult(contents=[contents])


async def _ask(call: Callable[[], T]) -> T:
    """Ask for resources, where an answer has no place for a fault: it is the error's data."""
    try:
        return await _in_thread(call)
    except (NotFound, TooLarge) as error:
        raise MCPError(types.INVALID_PARAMS, str(error), Fault("no_match").encode()) from None
    except HistorySinkError as error:
        raise MCPError(types.INTERNAL_ERROR, str(error), Fault("backend_error", str(error)).encode()) from None
    except Exception as error:  # noqa: BLE001  # its text might have words of the transcript
        reason = f"failed with {type(error).__name__}"
        raise MCPError(types.INTERNAL_ERROR, reason, Fault("backend_error", reason).encode()) from None
