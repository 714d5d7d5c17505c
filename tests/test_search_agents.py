"""Made-up lines of eight agents, and of others: each has a word that the index finds, and that is shown in its turn."""

import base64
import json
from typing import Any

import pytest

from history_sink_agents.render import render, write_markdown
from history_sink_worker.search.extraction import extract
from history_sink_worker.search.index import Index
from history_sink_worker.search.places import Place, Scope

AT = "2026-01-22T03:29:18Z"
PNG = base64.b64encode(bytes(range(256)) * 8).decode()
PATCH = """*** Begin Patch
*** Update File: src/quokkaParser.py
-old_wombat()
+new_wombat()
*** End Patch"""
CLAUDE = {"uuid": "u", "parentUuid": None, "sessionId": "s", "cwd": "/p", "version": "2.1", "timestamp": AT}


def codex(kind: str, **payload: Any) -> dict[str, Any]:
    return {"timestamp": AT, "ordinal": 3, "type": kind, "payload": payload}


def opencode(kind: str, data: Any, is_text: bool = False) -> dict[str, Any]:
    return {"aggregate_id": "ses", "seq": 3, "type": kind, "data": json.dumps(data) if is_text else data}


CASES: list[tuple[str, Any, list[str]]] = [
    (
        "claude patch",
        {
            **CLAUDE,
            "type": "assistant",
            "message": {
                "role": "assistant",
                "content": [
                    {
                        "type": "tool_use",
                        "id": "t",
                        "name": "Edit",
                        "input": {
                            "file_path": "/src/quokkaParser.py",
                            "old_string": "old_wombat()",
                            "new_string": "new_wombat()",
                        },
                    }
                ],
            },
        },
        ["quokkaParser", "old_wombat", "new_wombat", "Edit"],
    ),
    (
        "claude multi result",
        {
            **CLAUDE,
            "type": "user",
            "message": {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t",
                        "content": [
                            {"type": "text", "text": "全文検索の結果"},
                            {"type": "image", "source": {"type": "base64", "data": PNG}},
                        ],
                    }
                ],
            },
        },
        ["全文検索の結果"],
    ),
    (
        "claude user+image",
        {
            **CLAUDE,
            "type": "user",
            "message": {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Смотри на экран"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                ],
            },
        },
        ["Смотри"],
    ),
    (
        "claude attachment",
        {**CLAUDE, "type": "attachment", "attachment": {"type": "queued_command", "prompt": "please numbat"}},
        ["numbat"],
    ),
    (
        "claude compact summary",
        {
            **CLAUDE,
            "type": "user",
            "isCompactSummary": True,
            "message": {"role": "user", "content": "summary of bandicoot"},
        },
        ["bandicoot"],
    ),
    (
        "claude system",
        {**CLAUDE, "type": "system", "subtype": "local_command", "content": "<command-name>/dingo</command-name>"},
        ["dingo"],
    ),
    (
        "claude api error",
        {
            **CLAUDE,
            "type": "assistant",
            "isApiErrorMessage": True,
            "message": {"role": "assistant", "content": [{"type": "text", "text": "API Error: overloaded_possum"}]},
        },
        ["overloaded_possum"],
    ),
    (
        "claude server tool",
        {
            **CLAUDE,
            "type": "assistant",
            "message": {
                "role": "assistant",
                "content": [
                    {"type": "server_tool_use", "id": "x", "name": "web_search", "input": {"query": "bilby habitat"}},
                    {
                        "type": "web_search_tool_result",
                        "tool_use_id": "x",
                        "content": [
                            {"type": "web_search_result", "title": "Bilby facts", "url": "https://bilby.example"}
                        ],
                    },
                ],
            },
        },
        ["bilby habitat", "Bilby facts"],
    ),
    (
        "claude document",
        {
            **CLAUDE,
            "type": "user",
            "message": {
                "role": "user",
                "content": [
                    {
                        "type": "document",
                        "title": "echidna.pdf",
                        "source": {"type": "text", "media_type": "text/plain", "data": "the echidna text"},
                    }
                ],
            },
        },
        ["echidna.pdf"],
    ),
    (
        "codex patch",
        codex("response_item", type="custom_tool_call", name="apply_patch", call_id="c", input=PATCH),
        ["quokkaParser", "new_wombat"],
    ),
    (
        "codex patch out",
        codex("response_item", type="custom_tool_call_output", call_id="c", output="Success. Updated quokkaParser"),
        ["quokkaParser"],
    ),
    (
        "codex reasoning",
        codex(
            "response_item",
            type="reasoning",
            summary=[{"type": "summary_text", "text": "**Thinking of koala**"}],
            encrypted_content="gAAA" * 100,
        ),
        ["koala"],
    ),
    (
        "codex reasoning content",
        codex(
            "response_item", type="reasoning", summary=[], content=[{"type": "reasoning_text", "text": "raw platypus"}]
        ),
        ["platypus"],
    ),
    ("codex agent reasoning", codex("event_msg", type="agent_reasoning", text="event of galah"), ["galah"]),
    ("codex agent message", codex("event_msg", type="agent_message", message="Ответ кукабарры"), ["кукабарры"]),
    (
        "codex compacted",
        codex(
            "compacted",
            message="Summary of cassowary",
            replacement_history=[
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "old brolga"}]}
            ],
        ),
        ["cassowary", "brolga"],
    ),
    (
        "codex image",
        codex(
            "response_item",
            type="message",
            role="user",
            content=[
                {"type": "input_text", "text": "voir l'écran"},
                {"type": "input_image", "image_url": "data:image/png;base64," + PNG},
            ],
        ),
        ["écran"],
    ),
    (
        "codex web search",
        codex(
            "response_item", type="web_search_call", status="completed", action={"type": "search", "query": "emu speed"}
        ),
        ["emu speed"],
    ),
    (
        "codex local shell",
        codex(
            "response_item",
            type="local_shell_call",
            call_id="c",
            status="completed",
            action={"type": "exec", "command": ["bash", "-lc", "make lyrebird"]},
        ),
        ["lyrebird"],
    ),
    (
        "codex exec end",
        codex(
            "event_msg",
            type="exec_command_end",
            call_id="c",
            stdout="kea output",
            stderr="",
            aggregated_output="kea output",
        ),
        ["kea output"],
    ),
    (
        "codex patch event",
        codex(
            "event_msg",
            type="patch_apply_end",
            call_id="c",
            changes={"/src/weka.py": {"type": "update", "unified_diff": "+new kakapo"}},
        ),
        ["kakapo"],
    ),
    (
        "codex item completed",
        codex("event_msg", type="item_completed", item={"type": "Plan", "text": "plan the takahe"}),
        ["takahe"],
    ),
    (
        "codex output list",
        codex(
            "response_item",
            type="function_call_output",
            call_id="c",
            output=[
                {"type": "input_text", "text": "list moa"},
                {"type": "input_image", "image_url": "data:image/png;base64," + PNG},
            ],
        ),
        ["moa"],
    ),
    (
        "codex old flat",
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "flat tuatara"}]},
        ["tuatara"],
    ),
    ("gemini info", {"id": "4", "type": "info", "content": "note about weta"}, ["weta"]),
    (
        "gemini parts",
        {
            "id": "1",
            "timestamp": "2026-01-22T03:29:18Z",
            "type": "user",
            "content": [{"text": "你好袋熊"}, {"inlineData": {"mimeType": "image/png", "data": PNG}}],
        },
        ["你好袋熊"],
    ),
    (
        "gemini tool",
        {
            "id": "2",
            "type": "gemini",
            "content": "",
            "thoughts": [{"subject": "Sizing kiwi", "description": "desc of kereru"}],
            "toolCalls": [
                {
                    "id": "c",
                    "name": "replace",
                    "args": {
                        "file_path": "quokkaParser.py",
                        "old_string": "old_wombat()",
                        "new_string": "new_wombat()",
                    },
                    "status": "success",
                    "resultDisplay": {"fileDiff": "+tui line"},
                    "result": [
                        {"functionResponse": {"id": "c", "name": "replace", "response": {"output": "modified pukeko"}}}
                    ],
                }
            ],
        },
        ["kiwi", "kereru", "old_wombat", "new_wombat", "pukeko"],
    ),
    (
        "gemini set messages",
        {"$set": {"messages": [{"id": "1", "type": "user", "content": [{"text": "history of huia"}]}]}},
        ["huia"],
    ),
    ("gemini set one", {"$set": {"summary": "summary of hoiho"}}, ["hoiho"]),
    (
        "gemini executable",
        {
            "role": "model",
            "parts": [
                {"executableCode": {"language": "PYTHON", "code": "print('kokako')"}},
                {"codeExecutionResult": {"outcome": "OK", "output": "kokako out"}},
            ],
        },
        ["kokako"],
    ),
    (
        "opencode text",
        opencode("message.part.updated.1", {"part": {"id": "p", "type": "text", "messageID": "m", "text": "say ibex"}}),
        ["ibex"],
    ),
    (
        "opencode string data",
        opencode(
            "message.part.updated.1",
            {"part": {"id": "p", "type": "text", "messageID": "m", "text": "say markhor"}},
            True,
        ),
        ["markhor"],
    ),
    (
        "opencode reasoning",
        opencode(
            "message.part.updated.1", {"part": {"id": "p", "type": "reasoning", "messageID": "m", "text": "think tahr"}}
        ),
        ["tahr"],
    ),
    (
        "opencode tool",
        opencode(
            "message.part.updated.1",
            {
                "part": {
                    "id": "p",
                    "type": "tool",
                    "tool": "edit",
                    "callID": "c",
                    "messageID": "m",
                    "state": {
                        "status": "completed",
                        "input": {
                            "filePath": "quokkaParser.py",
                            "oldString": "old_wombat()",
                            "newString": "new_wombat()",
                        },
                        "output": "done chamois",
                        "title": "quokkaParser.py",
                        "metadata": {"diff": "+new_wombat()"},
                        "time": {"start": 1},
                    },
                }
            },
        ),
        ["old_wombat", "new_wombat", "chamois"],
    ),
    (
        "opencode tool error",
        opencode(
            "message.part.updated.1",
            {
                "part": {
                    "id": "p",
                    "type": "tool",
                    "tool": "bash",
                    "callID": "c",
                    "messageID": "m",
                    "state": {"status": "error", "input": {"command": "ls"}, "error": "failed saiga"},
                }
            },
        ),
        ["saiga"],
    ),
    (
        "opencode patch",
        opencode(
            "message.part.updated.1",
            {"part": {"id": "p", "type": "patch", "messageID": "m", "hash": "abc", "files": ["/src/serow.py"]}},
        ),
        ["serow"],
    ),
    (
        "opencode file",
        opencode(
            "message.part.updated.1",
            {
                "part": {
                    "id": "p",
                    "type": "file",
                    "messageID": "m",
                    "mime": "image/png",
                    "filename": "goral.png",
                    "url": "data:image/png;base64," + PNG,
                }
            },
        ),
        ["image/png"],
    ),
    (
        "opencode subtask",
        opencode(
            "message.part.updated.1",
            {
                "part": {
                    "id": "p",
                    "type": "subtask",
                    "messageID": "m",
                    "prompt": "find the nilgai",
                    "description": "d",
                    "agent": "general",
                }
            },
        ),
        ["nilgai"],
    ),
    (
        "opencode export msg",
        {
            "info": {"id": "m", "role": "user", "time": {"created": 1769052558000}},
            "parts": [{"type": "text", "text": "export oryx"}],
        },
        ["oryx"],
    ),
    (
        "opencode export whole",
        {
            "info": {"id": "ses", "title": "gemsbok title"},
            "messages": [{"info": {"id": "m", "role": "user"}, "parts": [{"type": "text", "text": "whole eland"}]}],
        },
        ["eland"],
    ),
    (
        "opencode msg error",
        opencode(
            "message.updated.1",
            {
                "info": {
                    "id": "m",
                    "role": "assistant",
                    "error": {"name": "APIError", "data": {"message": "broken kudu"}},
                }
            },
        ),
        ["kudu"],
    ),
    (
        "copilot user",
        {
            "type": "user.message",
            "data": {"content": "Bitte den Luchs prüfen", "attachments": []},
            "id": "1",
            "timestamp": "2026-01-22T03:29:18Z",
        },
        ["Luchs"],
    ),
    (
        "copilot assistant",
        {
            "type": "assistant.message",
            "data": {
                "messageId": "m",
                "content": "answer ocelot",
                "reasoningText": "reason margay",
                "toolRequests": [
                    {
                        "toolCallId": "c",
                        "name": "edit",
                        "arguments": {"path": "quokkaParser.py", "new_str": "new_wombat()"},
                    }
                ],
            },
        },
        ["ocelot", "margay", "new_wombat"],
    ),
    (
        "copilot result",
        {
            "type": "tool.execution_complete",
            "data": {
                "toolCallId": "c",
                "success": True,
                "result": {"content": "short jaguarundi", "detailedContent": "long jaguarundi detail"},
            },
        },
        ["jaguarundi"],
    ),
    (
        "copilot start",
        {
            "type": "tool.execution_start",
            "data": {"toolCallId": "c", "toolName": "bash", "arguments": {"command": "make caracal"}},
        },
        ["caracal"],
    ),
    (
        "copilot error",
        {"type": "session.error", "data": {"errorType": "query", "message": "error of serval"}},
        ["serval"],
    ),
    (
        "copilot reasoning",
        {"type": "assistant.reasoning", "data": {"reasoningId": "r", "content": "reasoning kodkod"}},
        ["kodkod"],
    ),
    (
        "qwen thought",
        {
            "type": "assistant",
            "sessionId": "s",
            "cwd": "/p",
            "message": {
                "role": "model",
                "parts": [
                    {"text": "think colugo", "thought": True},
                    {"text": "say tarsier"},
                    {
                        "functionCall": {
                            "id": "c",
                            "name": "write_file",
                            "args": {"file_path": "quokkaParser.py", "content": "new_wombat()"},
                        }
                    },
                ],
            },
        },
        ["colugo", "tarsier", "new_wombat"],
    ),
    (
        "qwen result",
        {
            "type": "tool_result",
            "sessionId": "s",
            "message": {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": "c", "name": "write_file", "response": {"output": "wrote loris"}}}
                ],
            },
            "toolCallResult": {"callId": "c", "resultDisplay": {"fileDiff": "+x"}},
        },
        ["loris"],
    ),
    (
        "qwen system",
        {
            "type": "system",
            "subtype": "chat_compression",
            "systemPayload": {"compressedHistory": [{"role": "user", "parts": [{"text": "compressed indri"}]}]},
        },
        ["indri"],
    ),
    (
        "pi user",
        {
            "type": "message",
            "id": "1",
            "message": {
                "role": "user",
                "content": [
                    {"type": "text", "text": "안녕 수달"},
                    {"type": "image", "data": PNG, "mimeType": "image/png"},
                ],
            },
        },
        ["안녕", "수달"],
    ),
    (
        "pi bash",
        {
            "type": "message",
            "id": "2",
            "message": {"role": "bashExecution", "command": "ls otter", "output": "otter.txt", "exitCode": 0},
        },
        ["otter.txt", "ls otter"],
    ),
    (
        "pi assistant",
        {
            "type": "message",
            "id": "3",
            "message": {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "think stoat", "thinkingSignature": "x"},
                    {"type": "text", "text": "say ermine"},
                    {
                        "type": "toolCall",
                        "id": "c",
                        "name": "edit",
                        "arguments": {"path": "quokkaParser.py", "oldText": "old_wombat()", "newText": "new_wombat()"},
                    },
                ],
                "provider": "p",
                "model": "m",
            },
        },
        ["stoat", "ermine", "old_wombat", "new_wombat"],
    ),
    (
        "pi compaction",
        {"type": "compaction", "id": "4", "summary": "compacted polecat", "firstKeptEntryId": "1", "tokensBefore": 5},
        ["polecat"],
    ),
    ("pi branch", {"type": "branch_summary", "id": "5", "fromId": "2", "summary": "branched weasel"}, ["weasel"]),
    (
        "pi custom",
        {"type": "custom_message", "id": "6", "customType": "x", "content": "custom marten", "display": True},
        ["marten"],
    ),
    (
        "pi error",
        {
            "type": "message",
            "id": "7",
            "message": {"role": "assistant", "content": [], "stopReason": "error", "errorMessage": "error of sable"},
        },
        ["sable"],
    ),
    (
        "seed thinking",
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "text": "seed fisher"},
                {
                    "type": "tool_call",
                    "id": "c",
                    "name": "edit",
                    "arguments": '{"new_string":"new_wombat()","path":"quokkaParser.py"}',
                },
            ],
        },
        ["fisher", "new_wombat"],
    ),
    (
        "seed result",
        {"role": "tool", "content": [{"type": "tool_result", "tool_call_id": "c", "content": "ผลลัพธ์ badger"}]},
        ["ผลลัพธ์", "badger"],
    ),
    (
        "seed image",
        {
            "role": "user",
            "content": [{"type": "image", "url": "https://x.example/tayra.png", "mime_type": "image/png"}],
        },
        ["tayra"],
    ),
    ("unknown", {"kind": "event", "who": "bot", "said": {"lines": ["unknown civet"]}}, ["civet"]),
    ("unknown typed", {"type": "chat.turn", "body": {"markdown": "typed genet"}}, ["genet"]),
    (
        "cline",
        {"role": "user", "content": [{"type": "text", "text": "<task>\nfix the binturong\n</task>"}], "ts": 1},
        ["binturong"],
    ),
]
"""What it is; the line; what of it is looked for."""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    made = Index(tmp_path_factory.mktemp("agents") / "index", is_writer=True)
    for number, (_, line, _) in enumerate(CASES):
        made.add(Place("all", None, number, number + 1, number), extract(encode(line)), "")
    made.commit()
    return made


def encode(line: Any) -> bytes:
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


@pytest.mark.parametrize("number", range(len(CASES)), ids=[name for name, _, _ in CASES])
def test_what_an_agent_has_written_is_found_and_shown(number: int, index: Index) -> None:
    _, line, words = CASES[number]
    shown = write_markdown(render([encode(line)])[0])
    for word in words:
        found = index.search(index.read(f'"{word}"'), Scope(), len(CASES))
        assert number in {each.place.number for each in found}, word
        assert word in shown
    assert PNG not in extract(encode(line)).text


def test_parts_of_names_and_of_unspaced_scripts_are_found(index: Index) -> None:
    for word in ("parser", "wombat", "quokka", "検索", "結果", "袋熊", "수달", "надо экран"):
        assert index.search(index.read(word), Scope(), 5), word


def test_a_line_of_no_known_shape_is_never_empty() -> None:
    for name in ("data", "source", "metadata", "detail", "status", "body", "anything"):
        assert extract(encode({"type": "x.y", name: {"deep": [{"words": "here they are"}]}})).text == "here they are"
