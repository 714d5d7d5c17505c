"""The vectors that the original program wrote: every byte of ours is a byte of theirs."""

import json
from pathlib import Path
from typing import Any

import pytest

from history_sink import Fault, Malformed, PointerHandle
from history_sink.protocol.lines import encode_line
from history_sink.protocol.pointer import parse_json

GOLDEN = Path(__file__).parent / "golden"

PARTS = {  # variant: its tag, and its fields in the order in which they are written
    "Text": ("text", ("text",)),
    "Image": ("image", ("url", "mime_type")),
    "File": ("file", ("path", "mime_type")),
    "ToolCall": ("tool_call", ("id", "name", "arguments", "thought_signature")),
    "ToolResult": ("tool_result", ("tool_call_id", "content")),
    "Thinking": ("thinking", ("text",)),
}


def raw_lines(name: str) -> list[bytes]:
    """The lines, newlines kept. Only 0x0A ends one: the texts hold U+2028 and the like."""
    *lines, rest = (GOLDEN / name).read_bytes().split(b"\n")
    assert rest == b""
    return [line + b"\n" for line in lines]


def decoded(name: str) -> list[Any]:
    return [json.loads(line) for line in raw_lines(name)]


def part_of(given: dict[str, Any]) -> dict[str, Any]:
    tag, fields = PARTS[given["variant"]]
    values = {name: None if given[name] is None else bytes.fromhex(given[name]).decode() for name in fields}
    if values.get("thought_signature", "") is None:
        del values["thought_signature"]  # absent is left out; other absent values are null
    return {"type": tag, **values}


def message_of(given: dict[str, Any]) -> dict[str, Any]:
    return {"role": given["role"].lower(), "content": [part_of(part) for part in given["content"]]}


def encoded(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def test_messages_become_the_very_bytes() -> None:
    inputs, lines = decoded("inputs.jsonl"), raw_lines("messages.jsonl")
    assert len(inputs) == len(lines) > 300
    assert [encode_line(message_of(given)).data for given in inputs] == lines
    assert not any(encode_line(message_of(given)).replaced for given in inputs)


def test_ready_made_lines_are_kept() -> None:
    for line in raw_lines("messages.jsonl"):
        assert encode_line(line).data == line
        assert encode_line(line.decode().removesuffix("\n")).data == line


@pytest.mark.parametrize(("name", "kind"), [("pointers.jsonl", PointerHandle), ("faults.jsonl", Fault)])
def test_handles_and_faults_are_read_and_written_alike(name: str, kind: type[PointerHandle] | type[Fault]) -> None:
    for line in raw_lines(name):
        assert encoded(kind.decode(parse_json(line)).encode()) + b"\n" == line


def test_faults_say_what_theirs_say() -> None:
    faults = [Fault.decode(value) for value in decoded("faults.jsonl")]
    texts = decoded("fault_texts.jsonl")
    assert [(fault.kind, str(fault)) for fault in faults] == [(text["code"], text["display"]) for text in texts]


KINDS: dict[str, type[PointerHandle] | type[Fault]] = {"PointerHandle": PointerHandle, "Fault": Fault}
CASES = [case for case in decoded("decode.jsonl") if case["type"] in KINDS]  # messages are archived as they come


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['type']} {case['input']}"[:80])
def test_what_is_accepted_and_what_is_not(case: dict[str, Any]) -> None:
    kind = KINDS[case["type"]]
    if case["ok"]:
        assert encoded(kind.decode(parse_json(case["input"])).encode()) == case["reencoded"].encode()
    else:
        with pytest.raises(Malformed):
            kind.decode(parse_json(case["input"]))
