"""The tools: each a function of a sink and its arguments, whose answer is a plain object or a fault."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from history_sink import Fault, Faulted, HistorySink, HistorySinkError, Malformed, NotFound, PointerHandle
from history_sink_agents.mcp_server import arguments
from history_sink_agents.sealing.showing import open_piece, tell_sealed

Answer: TypeAlias = dict[str, Any] | Fault

WAIT_SECONDS = 10.0
MOST_CHARACTERS = 60_000
"""Of a list or a turn: what a client takes as one result without putting it aside."""


@dataclass(frozen=True, slots=True)
class Tool:
    """What a client is told of a tool, and what it does."""

    description: str
    arguments: type[arguments.Arguments]
    call: Callable[[HistorySink, Any], Answer]


def session_recall(sink: HistorySink, asked: arguments.Recall) -> Answer:
    """Where something was said."""
    found = sink.recall(**asked.model_dump(), timeout_seconds=WAIT_SECONDS)
    return found if isinstance(found, Fault) else found.encode()


def context_browse(sink: HistorySink, asked: arguments.Browse) -> Answer:
    """A session's turns as files, or one of them."""
    from history_sink_agents.browse import context_browse as browse

    found = browse(sink, asked.session, asked.action, asked.turn, branch=asked.branch, most_characters=MOST_CHARACTERS)
    if isinstance(found, Fault):
        return found
    told: dict[str, Any] = {"session": found.session, "branch": found.branch, "turns": len(found.paths)}
    return {**told, "path": str(found.path) if found.path else None, "text": found.text}


def resolve_pointer(sink: HistorySink, asked: arguments.Resolve) -> Answer:
    """The text behind a pointer, at most so much of it."""
    start, end = asked.byte_range or (0, asked.limit_bytes)
    cut = min(end, start + asked.limit_bytes)
    found = sink.resolve(PointerHandle(asked.bucket, asked.key, (start, cut)), WAIT_SECONDS, stored=True)
    if isinstance(found, Fault):
        return found
    is_more = len(found) == cut - start and (cut < end or asked.byte_range is None)
    opened = open_piece(asked.key, found)
    return {
        "text": opened.decode("utf-8", "replace"),
        "byte_range": [start, start + len(found)],
        "next_byte": start + len(found) if is_more else None,
        **tell_sealed(opened),
    }


def list_sessions(sink: HistorySink, asked: arguments.List) -> Answer:
    """A page of the sessions in the archive."""
    page = sink.list_sessions(asked.after, asked.limit, WAIT_SECONDS, prefix=asked.prefix)
    sessions = [
        {
            "session": each.session,
            "messages": each.messages,
            "bytes": each.bytes,
            "last_write": datetime.fromtimestamp(each.last_write or 0, UTC).isoformat(timespec="seconds"),
            "branches": each.branches,
            "later_branch": each.later_branch,
            "problem": each.problem,
        }
        for each in page.sessions
    ]
    return {"sessions": sessions, "next_after": page.next_after}


TOOLS: Mapping[str, Tool] = {
    "session_recall": Tool(
        "Search all archived sessions for what was said or done. Each hit has an excerpt and a handle for "
        "resolve_pointer. Without hits: is_complete says whether all of the archive was searched.",
        arguments.Recall,
        session_recall,
    ),
    "context_browse": Tool(
        "Write each turn of an archived session into a file of this project's data directory, and list the files "
        "or show one turn. Use it to grep or read what is no longer in the context.",
        arguments.Browse,
        context_browse,
    ),
    "resolve_pointer": Tool(
        "Read the bytes that a pointer addresses, as session_recall gives it.", arguments.Resolve, resolve_pointer
    ),
    "list_sessions": Tool("List the archived sessions by name, a page at a time.", arguments.List, list_sessions),
}


def answer(sink: HistorySink, tool: Tool, asked: arguments.Arguments) -> Answer:
    """Call a tool. Whatever goes wrong is a fault, and no fault has a word of a transcript.

    Raises:
        Malformed: An argument cannot be.
    """
    try:
        return tool.call(sink, asked)
    except Malformed:
        raise
    except NotFound:
        return Fault("no_match")
    except Faulted as error:
        return error.fault
    except HistorySinkError as error:
        return Fault("backend_error", str(error))
    except Exception as error:  # noqa: BLE001  # its text might have words of the transcript
        return Fault("backend_error", f"failed with {type(error).__name__}")
