"""Lines to turns: the rules of the program that this archive was made for, other agents' lines, and whatever else."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history_sink_agents.render import Part, Turn, name_turn, render, speakers_of, write_markdown


def line(record: Any) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def turn_of(record: Any) -> Turn:
    (turn,) = render([line(record)])
    return turn


def kinds(turn: Turn) -> list[str]:
    return [part.kind for part in turn.parts]


CALL = {"type": "tool_call", "id": "c1", "name": "run", "arguments": '{"command": "ls"}'}
RESULT = {"type": "tool_result", "tool_call_id": "c1", "content": "a\nb"}


@pytest.mark.parametrize(
    ("content", "written"),
    [
        ([{"type": "text", "text": "Hello"}], "Hello"),
        ([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}], "one\n\ntwo"),
        ([{"type": "text", "text": ""}, {"type": "text", "text": "two"}], "two"),
        ([{"type": "text", "text": "one"}, {"type": "text", "text": ""}], "one\n\n"),
        ([RESULT], "[tool_result tool_call_id=c1]\na\nb"),
        ([CALL], '[tool_call run]\n{"command": "ls"}'),
        ([{"type": "image", "url": "https://x/y.png", "mime_type": None}], "[image https://x/y.png]"),
        ([{"type": "image", "url": "data:image/png;base64,A", "mime_type": None}], "[image data:image/png;base64,A]"),
        ([{"type": "file", "path": "/tmp/a b.txt", "mime_type": "text/plain"}], "[file /tmp/a b.txt]"),
        ([{"type": "thinking", "text": "Hm.\n", "signature": "s"}], "[thinking]\nHm.\n"),
        ([{"type": "thinking", "text": "Hm."}, CALL], '[thinking]\nHm.\n\n[tool_call run]\n{"command": "ls"}'),
        ([], ""),
        ("a text", "a text"),
    ],
)  # fmt: skip
def test_a_message_of_this_family_is_written_by_its_rules(content: Any, written: str) -> None:
    assert write_markdown(turn_of({"role": "assistant", "content": content})) == written


@pytest.mark.parametrize(
    ("role", "who"),
    [("system", "system"), ("developer", "system"), ("user", "user"), ("assistant", "assistant"), ("tool", "tool")],
)
def test_who_speaks_is_one_of_four(role: str, who: str) -> None:
    assert turn_of({"role": role, "content": [RESULT]}).who == who


def test_who_speaks_is_written_where_that_changes() -> None:
    parts = (Part("text", "a", who="user"), Part("text", "b", who="user"), Part("text", "c", who="assistant"))
    assert write_markdown(Turn(0, "system", parts, 0, 1)) == "[user]\n\na\n\nb\n\n[assistant]\n\nc"


def test_names_sort_as_the_numbers_do() -> None:
    assert name_turn(0, "user") == "turn-0000-user.md"
    assert name_turn(9_999, "tool") == "turn-9999-tool.md"
    numbers = [0, 9, 10, 999, 1_000, 9_999, 10_000, 10_001, 99_999, 100_000, 9_999_999]
    names = [name_turn(number, "user") for number in numbers]
    assert sorted(names) == names


def test_a_turn_knows_its_bytes() -> None:
    lines = [line({"role": "user", "content": "ä"}), b"\n", b"no json\n"]
    turns = render(lines, first=7, offset=100)
    assert [turn.number for turn in turns] == [7, 8, 9]
    assert [(turn.start, turn.end) for turn in turns] == [(100, 100 + len(lines[0])), (134, 135), (135, 143)]
    assert render([each.removesuffix(b"\n") for each in lines], first=7, offset=100) == turns


@pytest.mark.parametrize(
    "body", [b"", b"\r", b"no json", b'{"a":1}{"b":2}', b"\xff\xfe\x00", b"[1]", b"17", b"[" * 100_000]
)
def test_a_line_that_is_no_object_is_its_text(body: bytes) -> None:
    (turn,) = render([body + b"\n"])
    assert (turn.shape, turn.who) == ("raw", "system")
    assert write_markdown(turn) == body.decode("utf-8", "replace")


def test_an_unknown_object_is_its_json() -> None:
    turn = turn_of({"what": "ever", "n": [1, 2]})
    assert (turn.shape, kinds(turn)) == ("json", ["raw"])
    assert json.loads(write_markdown(turn)) == {"what": "ever", "n": [1, 2]}
    assert kinds(turn_of({"role": "user", "content": [{"type": "new kind", "x": 1}, "text"]})) == ["raw", "text"]


def test_a_sealed_line_is_shown_as_sealed_and_without_its_letters() -> None:
    turn = turn_of({"enc": "siv1:key-7", "ct": "c2VjcmV0"})
    assert turn.shape == "sealed"
    assert "key-7" in write_markdown(turn)
    assert "c2VjcmV0" not in write_markdown(turn)


def test_half_a_surrogate_pair_can_be_written() -> None:
    (turn,) = render([b'{"role":"user","content":"a\\ud800b"}\n'])
    assert write_markdown(turn).encode() == "a\ufffdb".encode()


def test_a_call_and_its_result_are_linked_and_the_result_learns_its_tools_name() -> None:
    records = [
        {"role": "assistant", "content": [CALL]},
        {"role": "user", "content": "meanwhile"},
        {"role": "tool", "content": [RESULT]},
    ]
    turns = render(map(line, records), first=3)
    assert [turn.links for turn in turns] == [(5,), (), (3,)]
    assert turns[2].parts[0].name == "run"


CLAUDE = {"parentUuid": None, "sessionId": "s", "uuid": "u", "timestamp": "2026-01-22T03:29:18.213Z"}
PNG = {"type": "base64", "media_type": "image/png", "data": "AA=="}


def test_claude_code() -> None:
    said = turn_of({**CLAUDE, "type": "user", "message": {"role": "user", "content": "Hello"}})
    assert (said.who, said.shape, said.at, said.note) == ("user", "claude-code", 1769052558.213, "")
    content = [
        {"type": "thinking", "thinking": "Hm", "signature": "s"},
        {"type": "text", "text": "Yes"},
        {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls ä"}},
    ]
    message = {"id": "m", "role": "assistant", "content": content}
    answer = turn_of({**CLAUDE, "type": "assistant", "isSidechain": True, "message": message})
    assert (answer.who, answer.group, answer.note) == ("assistant", "m", "isSidechain")
    assert write_markdown(answer) == '[thinking]\nHm\n\nYes\n\n[tool_call Bash]\n{"command":"ls ä"}'
    inner = [{"type": "text", "text": "out"}, {"type": "text", "text": "more"}, {"type": "image", "source": PNG}]
    result = {"type": "tool_result", "tool_use_id": "t1", "is_error": True, "content": inner}
    back = turn_of({**CLAUDE, "type": "user", "message": {"role": "user", "content": [result]}, "toolUseResult": "out"})
    assert back.who == "tool"
    assert back.parts == (
        Part("tool_result", "out\nmore", "", "t1", True),
        Part("image", "data:image/png;base64,AA==", mime_type="image/png"),
    )
    title = turn_of({"type": "summary", "summary": "A title", "leafUuid": "x"})
    assert (title.who, title.note, write_markdown(title)) == ("system", "summary", "A title")
    other = turn_of({**CLAUDE, "type": "progress", "data": {"type": "hook_progress"}})
    assert (other.who, kinds(other), other.note) == ("system", ["raw"], "progress hook_progress")


def codex(kind: str, **payload: Any) -> Turn:
    return turn_of({"timestamp": "2026-01-22T03:29:18Z", "ordinal": 1, "type": kind, "payload": payload})


def test_codex() -> None:
    said = codex("response_item", type="message", role="user", content=[{"type": "input_text", "text": "Hello"}])
    assert (said.who, write_markdown(said), said.shape, said.at) == ("user", "Hello", "codex", 1769052558.0)
    thought = codex("response_item", type="reasoning", summary=[{"type": "summary_text", "text": "Hm"}], content=None)
    assert (thought.who, write_markdown(thought)) == ("assistant", "[thinking]\nHm")
    hidden = codex("response_item", type="reasoning", summary=[], encrypted_content="xyz")
    assert write_markdown(hidden) == "[thinking]\n"
    call = codex("response_item", type="function_call", name="shell", arguments='{"a": 1}', call_id="c")
    assert write_markdown(call) == '[tool_call shell]\n{"a": 1}'
    local = codex("response_item", type="local_shell_call", call_id="c", action={"command": ["ls"]})
    assert write_markdown(local) == '[tool_call local_shell]\n{"command":["ls"]}'
    custom = codex("response_item", type="custom_tool_call", name="apply_patch", input="*** Begin", call_id="c")
    assert write_markdown(custom) == "[tool_call apply_patch]\n*** Begin"
    for output in ("done", {"content": "done", "success": True}, [{"type": "input_text", "text": "done"}]):
        back = codex("response_item", type="function_call_output", call_id="c", output=output)
        assert back.who == "tool"
        assert "done" in write_markdown(back)
    meta = codex("session_meta", id="x", base_instructions="…")
    assert (meta.who, kinds(meta), meta.note) == ("system", ["raw"], "session_meta")
    assert codex("event_msg", type="token_count").note == "event_msg token_count"
    picture = codex(
        "response_item", type="message", role="user", content=[{"type": "input_image", "image_url": "data:x"}]
    )
    assert picture.parts == (Part("image", "data:x"),)
    assert turn_of({"type": "function_call", "name": "shell", "arguments": "{}", "call_id": "c"}).shape == "codex"


def test_gemini_cli() -> None:
    said = turn_of({"id": "1", "timestamp": "2026-01-22T03:29:18Z", "type": "user", "content": [{"text": "Hello"}]})
    assert (said.who, write_markdown(said), said.shape, said.group) == ("user", "Hello", "gemini", "1")
    answer = [{"functionResponse": {"id": "c", "name": "ls", "response": {"output": "a b"}}}]
    grown = turn_of(
        {
            "id": "2",
            "type": "gemini",
            "content": "Yes",
            "thoughts": [{"subject": "S", "description": "D"}],
            "toolCalls": [{"id": "c", "name": "ls", "args": {"p": "."}, "status": "success", "result": answer}],
        }
    )
    assert write_markdown(grown) == (
        '[thinking]\nS\nD\n\nYes\n\n[tool_call ls]\n{"p":"."}\n\n[tool_result tool_call_id=c]\na b'
    )
    assert turn_of({"id": "3", "type": "user", "content": answer}).who == "tool"
    assert turn_of({"id": "4", "type": "info", "content": "note"}).who == "system"
    headers: list[Any] = [{"sessionId": "s", "projectHash": "h"}, {"$set": {"messages": []}}, {"$rewindTo": "1"}]
    for own in headers:
        turn = turn_of(own)
        assert (turn.shape, kinds(turn)) == ("gemini", ["raw"])


EVENT = {"aggregate_id": "ses", "seq": 1}
TOOL = {"type": "tool", "messageID": "m2", "callID": "c", "tool": "bash"}
OPENCODE = [
    {**EVENT, "type": "message.updated.1", "data": {"info": {"id": "m1", "role": "user"}}},
    {**EVENT, "type": "message.part.updated.1", "data": {"part": {"type": "text", "messageID": "m1", "text": "Hello"}}},
    {**EVENT, "type": "message.updated.1", "data": json.dumps({"info": {"id": "m2", "role": "assistant"}})},
    {
        **EVENT,
        "type": "message.part.updated.1",
        "data": {"part": {**TOOL, "state": {"status": "running", "input": {}}}},
    },
    {
        **EVENT,
        "type": "message.part.updated.1",
        "data": {
            "part": {
                **TOOL,
                "state": {"status": "completed", "input": {"command": "ls"}, "output": "a", "time": {"start": 1}},
            },
            "time": 1769052558000,
        },
    },
]


def test_opencodes_events() -> None:
    lines = [*map(line, OPENCODE)]
    turns = render(lines)
    assert [turn.who for turn in turns] == ["user", "user", "assistant", "assistant", "assistant"]
    assert {turn.shape for turn in turns} == {"opencode"}
    assert write_markdown(turns[1]) == "Hello"
    assert write_markdown(turns[4]) == '[tool_call bash]\n{"command":"ls"}\n\n[tool_result tool_call_id=c]\na'
    assert turns[4].at == 1769052558.0
    assert turns[3].group == turns[4].group == "m2"


def test_opencodes_speakers_are_known_behind_the_lines_that_name_them() -> None:
    lines = [*map(line, OPENCODE)]
    (later,) = render(lines[1:2], first=1, offset=len(lines[0]), speakers=speakers_of(render(lines[:1])))
    assert later == render(lines)[1]


def test_opencodes_export() -> None:
    part = {"type": "text", "text": "Hello"}
    message = {"info": {"id": "m", "role": "user", "time": {"created": 1769052558000}}, "parts": [part]}
    assert (turn_of(message).who, turn_of(message).at) == ("user", 1769052558.0)
    whole = turn_of({"info": {"id": "ses"}, "messages": [message, {"info": {"role": "assistant"}, "parts": [part]}]})
    assert write_markdown(whole) == "[user]\n\nHello\n\n[assistant]\n\nHello"


def copilot(kind: str, **data: Any) -> Turn:
    return turn_of({"type": kind, "data": data, "id": "1", "timestamp": "2026-01-22T03:29:18Z", "parentId": None})


def test_copilot_cli() -> None:
    said = copilot("user.message", content="Hello", attachments=[])
    assert (said.who, said.shape, write_markdown(said), said.at) == ("user", "copilot", "Hello", 1769052558.0)
    call = {"toolCallId": "c", "name": "bash", "arguments": {"command": "ls"}}
    asked = copilot("assistant.message", messageId="m", content="", reasoningText="Hm", toolRequests=[call])
    assert write_markdown(asked) == '[thinking]\nHm\n\n[tool_call bash]\n{"command":"ls"}'
    back = copilot("tool.execution_complete", toolCallId="c", success=True, result={"content": "a b"})
    assert (back.who, write_markdown(back)) == ("tool", "[tool_result tool_call_id=c]\na b")
    failed = copilot("tool.execution_complete", toolCallId="c", success=False, error={"message": "no"})
    assert failed.parts == (Part("tool_result", "no", "", "c", True),)
    start = copilot("session.start", sessionId="s")
    assert (start.shape, start.who, kinds(start)) == ("copilot", "system", ["raw"])


def test_pi_and_qwen_code_wrap_messages_as_claude_code_does() -> None:
    inner = {"role": "toolResult", "toolCallId": "c", "toolName": "bash", "content": [{"type": "text", "text": "a"}]}
    back = turn_of({"type": "message", "id": "1", "parentId": "0", "message": {**inner, "isError": True}})
    assert back.parts == (Part("tool_result", "a", "bash", "c", True),)
    call = {"type": "toolCall", "id": "c", "name": "bash", "arguments": {"command": "ls"}}
    asked = turn_of({"type": "message", "message": {"role": "assistant", "content": [call]}})
    assert write_markdown(asked) == '[tool_call bash]\n{"command":"ls"}'
    parts = [{"text": "Hm", "thought": True}, {"text": "Yes"}, {"functionCall": {"id": "c", "name": "ls", "args": {}}}]
    qwen = turn_of({"type": "assistant", "sessionId": "s", "message": {"role": "model", "parts": parts}})
    assert (qwen.who, write_markdown(qwen)) == ("assistant", "[thinking]\nHm\n\nYes\n\n[tool_call ls]\n{}")


def test_chat_completions() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "run", "arguments": '{"a":1}'}}
    asked = turn_of({"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "Hm"})
    assert write_markdown(asked) == '[thinking]\nHm\n\n[tool_call run]\n{"a":1}'
    back = turn_of({"role": "tool", "tool_call_id": "c", "content": "done"})
    assert write_markdown(back) == "[tool_result tool_call_id=c]\ndone"
    url = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
    assert write_markdown(turn_of({"role": "user", "content": [url]})) == "[image https://x/y.png]"


@pytest.mark.parametrize("value", ["now", "2026-13-01", True, None, -1, 1e30, [], {}, "0001-01-01T00:00:00", 10**400])
def test_a_time_that_is_none_is_none(value: Any) -> None:
    assert turn_of({"role": "user", "content": "x", "timestamp": value}).at is None


SHAPES = """
role content type text message payload parts info data part state tool name id arguments input output thinking source
url path messages toolCalls thoughts result timestamp time image tool_calls function enc $set
"""
TYPES = """
user assistant tool text tool_use tool_result tool_call thinking image file gemini response_item message reasoning
function_call function_call_output message.updated.1 message.part.updated.1 completed summary system
"""
NAMES, WORDS = re.findall(r"\S+", SHAPES), re.findall(r"\S+", TYPES)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=15,
)


@given(
    st.lists(
        st.binary(max_size=50)
        | st.dictionaries(st.sampled_from(NAMES), VALUES).map(lambda each: json.dumps(each).encode())
    )
)
def test_whatever_a_line_holds_it_is_one_turn_that_can_be_written(bodies: list[bytes]) -> None:
    lines = [body.replace(b"\n", b"") + b"\n" for body in bodies]
    turns = render(lines)
    assert [turn.number for turn in turns] == [*range(len(lines))]
    assert [turn.end - turn.start for turn in turns] == [*map(len, lines)]
    for turn in turns:
        write_markdown(turn).encode()
        assert turn.who in ("system", "user", "assistant", "tool")
        assert turn.parts or turn.shape == "plain"
