"""The SDKs' own objects as messages, and the README's recipe for each, run against a model that answers by the book."""

import json
import os
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessage
from openai.types.responses import ResponseOutputMessage
from pydantic import RootModel, create_model

import history_sink
from history_sink import HistorySink
from history_sink.errors import BadMessage
from history_sink.protocol.lines import encode_line
from history_sink.testing import MemorySink

README = (Path(__file__).parents[1] / "README.md").read_text()

CALL = {"id": "call_1", "type": "function", "function": {"name": "run", "arguments": '{"a":1}'}}
ANSWERS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "tool_calls",
                     "message": {"role": "assistant", "content": None, "tool_calls": [CALL], "later": {"new": [1]}}}],
    },
    "/v1/messages": {
        "id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use",
        "usage": {"input_tokens": 1, "output_tokens": 1},
        "content": [{"type": "thinking", "thinking": "半", "signature": "s"}, {"type": "text", "text": "Well"},
                    {"type": "tool_use", "id": "t", "name": "run", "input": {"a": [1, None]}}],
    },
}  # fmt: skip


@pytest.fixture
def model() -> Iterator[str]:
    """The address of a server that answers as both do."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that the library calls
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps(ANSWERS[self.path]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Not a word."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def recipe_of(sdk: str) -> str:
    return next(block for block in README.split("```python\n") if f"from {sdk} import" in block).partition("```")[0]


@pytest.mark.parametrize(
    ("sdk", "variables", "lines"),
    [
        (
            "openai",
            {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "{}/v1"},
            [{"role": "assistant", "content": None, "tool_calls": [CALL], "later": {"new": [1]}}],
        ),
        (
            "anthropic",
            {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "{}"},
            [{"role": "assistant", "content": ANSWERS["/v1/messages"]["content"]}],
        ),
    ],
)
def test_the_recipe_archives_what_the_sdk_answers(
    sdk: str,
    variables: dict[str, str],
    lines: list[dict[str, Any]],
    model: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(model))
    monkeypatch.setattr(history_sink, "HistorySink", MemorySink)
    shown: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        exec(recipe_of(sdk), shown)
        assert shown["receipt"].state == "enqueued"
        with shown["sink"] as sink:
            assert sink.save("my-session", shown["messages"]).state == "unchanged"
            assert sink.flush("my-session", 10)
    first, *rest = shown["sink"].archive.messages("my-session")
    assert first["role"] == "user"
    assert [_without_nulls(each) for each in rest] == [_without_nulls(each) for each in lines]


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def test_objects_of_the_sdks_are_what_their_model_dump_says() -> None:
    # Here: it takes a second of processor time, and each process of a test run imports each file.
    from anthropic.types import TextBlock, ThinkingBlock, ToolUseBlock

    blocks = [
        TextBlock(type="text", text="a\u2028", citations=None),
        ThinkingBlock(type="thinking", thinking="t", signature="s"),
        ToolUseBlock(type="tool_use", id="i", name="n", input={"a": {"b": 1.5}}),
    ]
    message = ChatCompletionMessage(role="assistant", content="c", refusal=None)
    output = ResponseOutputMessage(id="o", content=[], role="assistant", status="completed", type="message")
    for model in (message, output, *blocks):
        assert json.loads(encode_line(model).data) == model.model_dump(mode="json")
    expected = {"role": "assistant", "content": [block.model_dump(mode="json") for block in blocks]}
    assert json.loads(encode_line({"role": "assistant", "content": blocks}).data) == expected


def test_what_an_sdk_took_that_is_not_of_its_types_warns_nobody_with_its_words() -> None:
    message = ChatCompletionMessage.construct(role="assistant", content=5, tool_calls=[{"id": "canary"}])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert b'"canary"' in encode_line(message).data


Note = create_model("Note", it=(Any, ...), beside=(int, 1))


class Foreign:
    pass


@dataclass
class Point:
    x: int


def test_a_model_may_hold_what_pydantic_does_not_know_and_we_do() -> None:
    class Scalar:
        def item(self) -> int:
            return 5

    assert encode_line(Note(it=[Scalar()])).data == b'{"it":[5],"beside":1}\n'
    assert encode_line(Note(it=Point(1))).data == b'{"it":{"x":1},"beside":1}\n'
    with pytest.raises(BadMessage, match=r"^a\[0\]: JSON has no Foreign: .*default="):
        encode_line({"a": [Note(it={"b": Foreign()})]})
    line = encode_line({"a": [Note(it={"b": Foreign()})]}, default=lambda value: {"kind": type(value).__name__})
    assert line.data == b'{"a":[{"it":{"b":{"kind":"Foreign"}},"beside":1}]}\n'
    with pytest.raises(BadMessage, match="while the Note was read"):
        encode_line(Note(it=Foreign()), default=lambda value: Foreign())


def test_a_model_that_is_no_object_is_no_message() -> None:
    numbers = RootModel[list[int]]([1])
    with pytest.raises(BadMessage, match="a message is a JSON object"):
        encode_line(numbers)
    assert encode_line({"a": numbers}).data == b'{"a":[1]}\n'
    with HistorySink() as sink:
        assert sink.save("s", [Note(it=1)]).state == "disabled"


def test_a_model_that_pydantic_cannot_write_is_refused_by_its_place() -> None:
    with pytest.raises(BadMessage, match=r"^a: UnicodeDecodeError while the Note was read"):
        encode_line({"a": Note(it=b"\xffcanary")})
    note: Any = Note(it=None)
    note.it = note
    with pytest.raises(BadMessage, match=r"^a: ValueError while the Note was read"):
        encode_line({"a": note})
