"""What of a line is indexed: known agents' shapes, and anything else."""

import base64
import json
from typing import Any

import pytest

from history_sink_worker.search.extraction import Extract, extract, read_time
from odd_values import replace_each

AT = 1767225600.0
ISO = "2026-01-01T00:00:00Z"
CLAUDE = {"uuid": "u1", "sessionId": "s1", "cwd": "/home/me/proj", "version": "2.1", "timestamp": ISO, "requestId": "r"}
PICTURE = base64.b64encode(bytes(range(256)) * 40).decode()


def read(value: Any) -> Extract:
    return extract(json.dumps(value).encode() + b"\n")


SHAPES: list[tuple[str, Any, str, str, str]] = [
    # what it is; the line; role; what was said; words of what was done
    ("seed", {"role": "user", "content": [{"type": "text", "text": "hello"}]}, "user", "hello", ""),
    (
        "seed, a call",
        {
            "role": "assistant",
            "content": [{"type": "tool_call", "id": "c1", "name": "run", "arguments": '{"cmd":"ls"}'}],
        },
        "assistant",
        "",
        "run ls",
    ),
    (
        "seed, a result",
        {"role": "tool", "content": [{"type": "tool_result", "tool_call_id": "c1", "content": "a.txt"}]},
        "tool",
        "",
        "a.txt",
    ),
    ("seed, a file", {"role": "user", "content": [{"type": "file", "path": "TODO.md"}]}, "user", "", "TODO.md"),
    ("Claude Code", {**CLAUDE, "type": "user", "message": {"role": "user", "content": "hello"}}, "user", "hello", ""),
    (
        "Claude Code, thinking and a call",
        {
            **CLAUDE,
            "type": "assistant",
            "message": {
                "role": "assistant",
                "id": "m1",
                "model": "x",
                "usage": {"input_tokens": 1},
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                    {"type": "text", "text": "I look"},
                    {"type": "tool_use", "id": "t1", "name": "Grep", "input": {"pattern": "def f", "type": "py"}},
                ],
            },
        },
        "assistant",
        "I look",
        "hm Grep def f",
    ),
    (
        "Claude Code, a result and its copy beside it",
        {
            **CLAUDE,
            "type": "user",
            "toolUseResult": {"stdout": "copied"},
            "message": {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "found"}]},
        },
        "tool",
        "",
        "found",
    ),
    ("Claude Code, a summary", {"type": "summary", "summary": "All about it", "leafUuid": "l"}, "", "", "All about it"),
    (
        "Codex, speech",
        {
            "timestamp": ISO,
            "type": "response_item",
            "payload": {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "yes"}]},
        },
        "assistant",
        "yes",
        "",
    ),
    (
        "Codex, a call",
        {
            "timestamp": ISO,
            "type": "response_item",
            "payload": {
                "type": "function_call",
                "name": "shell",
                "call_id": "c",
                "arguments": '{"command":["bash","-lc","make"]}',
            },
        },
        "assistant",
        "",
        "shell bash -lc make",
    ),
    (
        "Codex, its output",
        {
            "timestamp": ISO,
            "type": "response_item",
            "payload": {
                "type": "function_call_output",
                "call_id": "c",
                "output": '{"output":"built","metadata":{"exit_code":0}}',
            },
        },
        "tool",
        "",
        "built",
    ),
    (
        "Codex, an event",
        {"timestamp": ISO, "type": "event_msg", "payload": {"type": "user_message", "message": "do it"}},
        "user",
        "do it",
        "",
    ),
    ("Gemini, contents", {"role": "user", "parts": [{"text": "hello"}]}, "user", "hello", ""),
    (
        "Gemini CLI",
        {
            "id": "1",
            "timestamp": ISO,
            "type": "gemini",
            "content": "done",
            "thoughts": [{"subject": "plan", "description": "think"}],
            "toolCalls": [
                {
                    "id": "t",
                    "name": "read_file",
                    "args": {"path": "a.py"},
                    "result": [{"functionResponse": {"id": "t", "name": "read_file", "response": {"output": "print"}}}],
                }
            ],
        },
        "assistant",
        "done",
        "plan think read_file a.py read_file print",
    ),
    (
        "qwen-code",
        {"type": "user", "cwd": "/home/me/proj", "message": {"role": "user", "parts": [{"text": "hello"}]}},
        "user",
        "hello",
        "",
    ),
    (
        "OpenCode, a tool",
        {
            "id": "p",
            "sessionID": "s",
            "type": "tool",
            "tool": "bash",
            "state": {"status": "completed", "input": {"command": "make"}, "output": "built"},
        },
        "tool",
        "",
        "bash completed make built",
    ),
    (
        "Copilot CLI",
        {"type": "user.message", "id": "e", "timestamp": ISO, "data": {"content": "hello"}},
        "user",
        "hello",
        "",
    ),
    (
        "pi",
        {
            "type": "message",
            "id": "e",
            "message": {"role": "toolResult", "toolName": "bash", "content": [{"type": "text", "text": "out"}]},
        },
        "tool",
        "",
        "bash out",
    ),
    (
        "OpenAI",
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "get", "arguments": '{"q":"zz"}'}}],
        },
        "assistant",
        "",
        "get zz",
    ),
    ("OpenAI, a result", {"role": "tool", "tool_call_id": "c", "content": "out"}, "tool", "", "out"),
    ("anything", {"foo": {"bar": ["deep", {"baz": "er"}]}, "n": 7, "id": "no"}, "", "", "deep er"),
    (
        "a picture",
        {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": PICTURE}}]},
        "user",
        "",
        "",
    ),
    (
        "a picture in a result",
        {
            "role": "tool",
            "content": [{"type": "tool_result", "content": [{"type": "image", "source": {"data": PICTURE}}]}],
        },
        "tool",
        "",
        "",
    ),
    (
        "a picture as a URL",
        {"role": "user", "content": [{"type": "image", "url": f"data:image/png;base64,{PICTURE}"}]},
        "user",
        "",
        "",
    ),
]


@pytest.mark.parametrize(("line", "role", "said", "done"), [pytest.param(*each[1:], id=each[0]) for each in SHAPES])
def test_each_agents_lines_are_told_apart(line: Any, role: str, said: str, done: str) -> None:
    found = read(line)
    assert (found.role, found.said) == (role, said)
    assert found.done.split() == done.split()


@pytest.mark.parametrize("line", [pytest.param(each[1], id=each[0]) for each in SHAPES])
def test_a_value_of_any_kind_anywhere_is_read(line: Any) -> None:
    for changed in replace_each(line):
        found = read(changed)
        f"{found.said}{found.done}{found.role}{found.project}{found.message}".encode()


@pytest.mark.parametrize("name", ["functionCall", "functionResponse"])
def test_what_stands_beside_a_part_that_cannot_be_is_found(name: str) -> None:
    line = {"role": "model", "parts": [{"text": "beside"}, {name: "no object"}]}
    assert "beside" in read(line).text
    assert "no object" in read(line).text


def test_the_place_and_the_time_are_taken_from_where_they_stand() -> None:
    found = read({**CLAUDE, "type": "user", "message": {"role": "user", "content": "x"}})
    assert (found.project, found.at) == ("/home/me/proj", AT)
    codex = read({"timestamp": ISO, "type": "session_meta", "payload": {"cwd": "/home/me/other", "id": "x"}})
    assert (codex.project, codex.at) == ("/home/me/other", AT)


@pytest.mark.parametrize(
    ("value", "at"),
    [
        (ISO, AT), ("2026-01-01T01:00:00+01:00", AT), ("2026-01-01 00:00:00", AT), (AT, AT), (AT * 1000, AT),
        ({"created": AT * 1000}, AT), ("yesterday", None), (7, None), (True, None), (None, None), ("9" * 30, None),
    ],
)  # fmt: skip
def test_times_in_any_form_are_read(value: object, at: float | None) -> None:
    assert read_time(value) == at


def test_progress_of_hooks_and_snapshots_are_nobodys_words() -> None:
    for line in (
        {**CLAUDE, "type": "progress", "parentToolUseID": "t", "data": {"type": "hook_progress", "command": "x"}},
        {"type": "file-history-snapshot", "messageId": "m", "snapshot": {"trackedFileBackups": {"a": "b"}}},
    ):
        found = read(line)
        assert (found.said, found.done) == ("", "")


@pytest.mark.parametrize("line", [b"plain words\n", b"[1,2]\n", b'{"torn":\n', b"\xff\xfe\n", b'"text"\n', b"{}{}\n"])
def test_what_is_no_json_object_is_text(line: bytes) -> None:
    assert extract(line) == Extract(done=line[:-1].decode("utf-8", "replace"))


def test_a_sealed_line_says_nothing_but_that() -> None:
    assert read({"enc": "c2VjcmV0"}) == Extract(is_sealed=True)
    assert read({"enc": "siv1:k1", "at": "0" * 32, "ct": "c2VjcmV0"}) == Extract(is_sealed=True)
    assert not read({"enc": "c2VjcmV0", "role": "user"}).is_sealed


def test_half_a_surrogate_pair_is_no_trouble() -> None:
    found = extract(b'{"role":"user","content":"half \\ud800 a pair","cwd":"/home/\\udfff"}')
    assert (found.said, found.project) == ("half ? a pair", "/home/?")


@pytest.mark.parametrize(
    "line", [b'{"role":"user","content":"a","n":NaN}', b'{"role":"user","content":"a","n":%d}' % 9**99]
)
def test_numbers_that_not_every_reader_takes_are_no_trouble(line: bytes) -> None:
    assert extract(line).said == "a"


def test_what_is_indexed_does_not_depend_on_which_json_reader_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [json.dumps(each[1]).encode() for each in SHAPES]
    fast = [*map(extract, lines)]
    monkeypatch.setattr("history_sink_worker.search.extraction._FAST_LOADS", json.loads)
    assert [*map(extract, lines)] == fast


def test_a_long_result_keeps_its_beginning_and_its_end() -> None:
    text = "first " + "x " * 100_000 + "last"
    found = read({"role": "tool", "content": text})
    assert found.done.startswith("first")
    assert found.done.endswith("last")
    assert len(found.done) < 70_000
    assert len(read({"role": "user", "content": text}).said) > 200_000
