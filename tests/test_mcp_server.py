"""The MCP server's answers, asked by the SDK's own client over an archive in memory."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import TextResourceContents

from history_sink import Fault, HistorySink
from history_sink.testing import MemoryArchive, MemorySink
from history_sink_agents.mcp_server.resources import LogName, read_uri
from history_sink_agents.mcp_server.server import make_server
from history_sink_agents.mcp_server.tools import TOOLS

SAID = "Where did we put the key of the shed?"
MESSAGES = [{"role": "user", "content": SAID}, {"role": "assistant", "content": "Under the pot 日本"}]
LINES = "".join(json.dumps(each, ensure_ascii=False, separators=(",", ":")) + "\n" for each in MESSAGES)


@pytest.fixture
def archive() -> MemoryArchive:
    archive = MemoryArchive()
    with MemorySink(archive) as sink:
        for session in ("Garden", "house-1", "house-2"):
            sink.save(session, MESSAGES)
    return archive


def ask(sink: HistorySink, work: Callable[[Client], Coroutine[Any, Any, Any]]) -> Any:
    async def talk() -> Any:
        async with Client(make_server(sink)) as client:
            try:
                return await work(client)
            except MCPError as error:  # the client's tasks would make a group of it
                return error

    answer = asyncio.run(asyncio.wait_for(talk(), 60))
    if isinstance(answer, MCPError):
        raise answer
    return answer


def call(sink: HistorySink, name: str, **arguments: Any) -> Any:
    """What a tool answers: its structure, which is also its text."""
    result = ask(sink, lambda client: client.call_tool(name, arguments))
    assert json.loads(result.content[0].text) == result.structured_content
    assert result.is_error == ("error" in result.structured_content or is_trouble(result.structured_content))
    return result.structured_content


def is_trouble(value: Any) -> bool:
    return value.get("fault", {}).get("kind") in ("denied", "backend_error")


def test_each_tool_says_what_it_takes(archive: MemoryArchive) -> None:
    listed = ask(MemorySink(archive), lambda client: client.list_tools()).tools
    assert [tool.name for tool in listed] == ["session_recall", "context_browse", "resolve_pointer", "list_sessions"]
    for tool in listed:
        assert tool.input_schema["type"] == "object"
        assert tool.input_schema["additionalProperties"] is False
        assert tool.annotations.read_only_hint


def test_sessions_are_listed_in_pages(archive: MemoryArchive) -> None:
    sink = MemorySink(archive)
    page = call(sink, "list_sessions", limit=2)
    assert [each["session"] for each in page["sessions"]] == ["Garden", "house-1"]
    assert page["sessions"][0]["messages"] == 2
    assert page["sessions"][0]["bytes"] == len(LINES.encode())
    assert [each["session"] for each in call(sink, "list_sessions", prefix="house")["sessions"]] == [
        "house-1",
        "house-2",
    ]
    rest = call(sink, "list_sessions", after=page["next_after"])
    assert [each["session"] for each in rest["sessions"]] == ["house-2"]
    assert rest["next_after"] is None


def test_a_pointer_is_resolved_piece_by_piece(archive: MemoryArchive) -> None:
    sink = MemorySink(archive)
    pointer = sink.pointer("Garden", messages=(0, 1)).encode()
    first = json.dumps(MESSAGES[0], separators=(",", ":")) + "\n"
    size = len(first)
    assert call(sink, "resolve_pointer", **pointer) == {"text": first, "byte_range": [0, size], "next_byte": None}
    cut = call(sink, "resolve_pointer", **pointer, limit_bytes=10)
    assert (cut["text"], cut["next_byte"]) == (first[:10], 10)
    whole = call(sink, "resolve_pointer", **{**pointer, "byte_range": None})
    assert (whole["text"], whole["next_byte"]) == (LINES, None)


def test_a_turn_is_shown_and_files_are_listed(
    archive: MemoryArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODETETHER_DATA_DIR", str(tmp_path))
    sink = MemorySink(archive)
    listed = call(sink, "context_browse", session="Garden")
    assert listed["turns"] == 2
    paths = listed["text"].splitlines()
    assert Path(paths[0]).read_text() == SAID
    shown = call(sink, "context_browse", session="Garden", action="show", turn=1)
    assert (shown["text"], shown["path"]) == ("Under the pot 日本", paths[1])
    assert call(sink, "context_browse", session="nobody") == {"fault": {"kind": "no_match"}}
    assert call(sink, "context_browse", session="Garden", action="show")["error"] == "invalid_arguments"
    assert "0 to 1, not 7" in str(call(sink, "context_browse", session="Garden", action="show", turn=7)["problems"])


def test_what_cannot_be_had_is_a_fault_and_no_exception(archive: MemoryArchive) -> None:
    sink = MemorySink(archive)
    pointer = sink.pointer("Garden", byte_range=(0, 5)).encode()
    missing = call(sink, "resolve_pointer", bucket="history", key="history/nobody/history.jsonl")
    assert missing == {"fault": {"kind": "no_match"}}
    assert call(sink, "resolve_pointer", bucket="other", key=pointer["key"])["fault"]["kind"] == "denied"
    with archive.answering(Fault("denied", "not yours")):
        assert call(sink, "resolve_pointer", **pointer) == {"fault": {"kind": "denied", "reason": "not yours"}}
    with archive.workers_away():
        assert call(sink, "list_sessions")["fault"]["kind"] == "backend_error"
        assert call(sink, "resolve_pointer", **pointer)["fault"]["kind"] == "backend_error"
        assert call(sink, "context_browse", session="Garden")["fault"]["kind"] == "backend_error"
    with archive.broker_away():
        assert call(sink, "list_sessions")["fault"]["kind"] == "backend_error"


def test_what_nobody_foresaw_is_a_fault_without_a_word_of_it(
    archive: MemoryArchive, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    sink = MemorySink(archive)

    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError(SAID)

    for name in ("list_sessions", "resolve", "status", "read"):
        monkeypatch.setattr(sink, name, fail)
    assert call(sink, "list_sessions") == {"fault": {"kind": "backend_error", "reason": "failed with RuntimeError"}}
    with pytest.raises(MCPError, match="failed with RuntimeError"):
        ask(sink, lambda client: client.read_resource(LogName("Garden").uri))
    with pytest.raises(MCPError, match="failed with RuntimeError"):
        ask(sink, lambda client: client.list_resources())
    assert SAID not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("list_sessions", {"limit": 0}, "limit: Input should be greater than or equal to 1"),
        ("list_sessions", {"limits": 3}, "limits: Extra inputs are not permitted"),
        ("list_sessions", {"after": "no/id"}, "a session id is 1 to 200"),
        ("context_browse", {}, "session: Field required"),
        ("context_browse", {"session": "s", "action": "dance"}, "action: Input should be 'list' or 'show'"),
        ("resolve_pointer", {"bucket": "b", "key": "k", "byte_range": [1]}, "byte_range.1: Field required"),
        ("session_recall", {"query": ""}, "query: String should have at least 1 character"),
    ],
)
def test_an_argument_that_cannot_be_is_named(
    archive: MemoryArchive, name: str, arguments: dict[str, Any], said: str
) -> None:
    told = call(MemorySink(archive), name, **arguments)
    assert told["error"] == "invalid_arguments"
    assert said in "\n".join(told["problems"])


def test_an_argument_that_cannot_be_is_not_repeated(archive: MemoryArchive) -> None:
    assert SAID not in str(call(MemorySink(archive), "list_sessions", limit=SAID, after=[SAID]))


@settings(max_examples=40)
@given(
    st.sampled_from(sorted(TOOLS)),
    st.dictionaries(
        st.sampled_from(["session", "limit", "after", "query", "turn", "action", "bucket", "key", "byte_range", "x"]),
        st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=3) | st.just("Garden"),
    ),
)
def test_any_arguments_have_an_answer(name: str, arguments: dict[str, Any]) -> None:
    archive = MemoryArchive()
    told = call(MemorySink(archive), name, **arguments)
    assert told.keys() & {"error", "fault", "sessions", "text"}


def test_a_tool_that_is_not_there_is_refused(archive: MemoryArchive) -> None:
    with pytest.raises(MCPError, match="there are session_recall, context_browse"):
        ask(MemorySink(archive), lambda client: client.call_tool("rm", {}))


def test_sessions_are_files_that_are_listed_as_they_are_now(archive: MemoryArchive) -> None:
    sink = MemorySink(archive)

    async def talk(client: Client) -> None:
        before = (await client.list_resources()).resources
        assert [each.uri for each in before] == [LogName(name).uri for name in ("Garden", "house-1", "house-2")]
        assert before[0].size == len(LINES.encode())
        assert before[0].mime_type == "application/x-ndjson"
        with MemorySink(archive) as agent:
            agent.save("Garden", [MESSAGES[0], {"role": "user", "content": "another"}])
            agent.save("new", MESSAGES[:1])
        after = (await client.list_resources()).resources
        branch = sink.status("Garden").logs[1].branch
        assert {each.uri for each in after} - {each.uri for each in before} == {
            LogName("new").uri,
            LogName("Garden", branch).uri,
        }
        for name, said in ((LogName("Garden"), LINES), (LogName("Garden", branch), "another")):
            (content,) = (await client.read_resource(name.uri)).contents
            assert isinstance(content, TextResourceContents)
            assert said in content.text

    ask(sink, talk)


@pytest.mark.parametrize(
    "uri", ["history://sessions/nobody/history.jsonl", "history://sessions/../x/history.jsonl", "file:///etc/passwd"]
)
def test_a_resource_that_is_not_there_is_an_error_without_content(archive: MemoryArchive, uri: str) -> None:
    with pytest.raises(MCPError, match=r"no such log|a resource is|a session id is"):
        ask(MemorySink(archive), lambda client: client.read_resource(uri))


def test_a_log_that_is_too_large_is_refused_with_a_way_to_read_it(
    archive: MemoryArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("history_sink_agents.mcp_server.resources.MOST_BYTES", 10)
    with pytest.raises(MCPError, match="at most 10 are given at once; context_browse"):
        ask(MemorySink(archive), lambda client: client.read_resource(LogName("Garden").uri))


@given(st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,20}", fullmatch=True), st.none() | st.just("000000000001-00"))
def test_a_uri_is_read_as_it_was_written(session: str, branch: str | None) -> None:
    assert read_uri(LogName(session, branch).uri) == LogName(session, branch)
