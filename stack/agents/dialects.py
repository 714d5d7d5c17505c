"""How four families of models are asked, and how they answer: what is said, as events of a stream."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from stack.agents.script import Answer, Turn

Body: TypeAlias = dict[str, Any]
Events: TypeAlias = Iterator[tuple[str | None, Any]]
"""The name of an event, where the dialect has names, and its data."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """`read` tells the turns of a request; `answer` an answer as one document; `stream` the same as events."""

    read: Callable[[Body], list[Turn]]
    answer: Callable[[Body, Answer], Body]
    stream: Callable[[Body, Answer], Events]


def get_text(content: Any) -> str:
    """The text of a content, be it a text, a part or a list of parts."""
    if isinstance(content, str):
        return content
    parts = [content] if isinstance(content, dict) else content or []
    return "\n".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))


def _new(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex[:24]}"


# Anthropic: Messages


def _read_messages(body: Body) -> list[Turn]:
    turns: list[Turn] = []
    for message in body.get("messages", []):
        content = message.get("content")
        if message.get("role") != "user":
            turns.append(Turn("other", get_text(content)))
            continue
        for part in content if isinstance(content, list) else [{"type": "text", "text": content}]:
            if part.get("type") == "tool_result":
                turns.append(Turn("tool", get_text(part.get("content"))))
            elif part.get("type") == "text":
                turns.append(Turn("user", part.get("text", "")))
    return turns


_USAGE = {"input_tokens": 100, "output_tokens": 20, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}


def _answer_message(body: Body, answer: Answer) -> Body:
    block: Body = {"type": "text", "text": answer.text}
    if answer.call:
        block = {"type": "tool_use", "id": _new("toolu"), "name": answer.call[0], "input": answer.call[1]}
    stop = "tool_use" if answer.call else "end_turn"
    head = {"id": _new("msg"), "type": "message", "role": "assistant", "model": body.get("model"), "usage": _USAGE}
    return {**head, "content": [block], "stop_reason": stop, "stop_sequence": None}


def _stream_message(body: Body, answer: Answer) -> Events:
    whole = _answer_message(body, answer)
    (block,) = whole["content"]
    yield "message_start", {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}}
    empty = {**block, "input": {}} if answer.call else {**block, "text": ""}
    yield "content_block_start", {"type": "content_block_start", "index": 0, "content_block": empty}
    if answer.call:
        delta = {"type": "input_json_delta", "partial_json": json.dumps(answer.call[1])}
    else:
        delta = {"type": "text_delta", "text": answer.text}
    yield "content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta}
    yield "content_block_stop", {"type": "content_block_stop", "index": 0}
    end = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield "message_delta", {"type": "message_delta", "delta": end, "usage": _USAGE}
    yield "message_stop", {"type": "message_stop"}


# OpenAI: Responses


def _read_responses(body: Body) -> list[Turn]:
    turns: list[Turn] = []
    for item in body.get("input", []):
        kind = item.get("type", "message")
        if kind.endswith("_output"):
            turns.append(Turn("tool", get_text(item.get("output"))))
        elif kind == "message":
            turns.append(Turn("user" if item.get("role") == "user" else "other", get_text(item.get("content"))))
    return turns


def _answer_responses(body: Body, answer: Answer) -> Body:
    if answer.call:
        call = {"name": answer.call[0], "arguments": json.dumps(answer.call[1]), "status": "completed"}
        item: Body = {"type": "function_call", "id": _new("fc"), "call_id": _new("call"), **call}
    else:
        content = [{"type": "output_text", "text": answer.text, "annotations": []}]
        item = {"type": "message", "id": _new("msg"), "role": "assistant", "status": "completed", "content": content}
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    usage = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120, **details}
    head = {"id": _new("resp"), "object": "response", "created_at": int(time.time()), "model": body.get("model")}
    return {**head, "status": "completed", "output": [item], "usage": usage}


def _stream_responses(body: Body, answer: Answer) -> Events:
    whole = _answer_responses(body, answer)
    (item,) = whole["output"]
    told = {"type": "response.created", "response": {**whole, "status": "in_progress", "output": []}}
    yield "response.created", told
    yield "response.output_item.added", {"type": "response.output_item.added", "output_index": 0, "item": item}
    yield "response.output_item.done", {"type": "response.output_item.done", "output_index": 0, "item": item}
    yield "response.completed", {"type": "response.completed", "response": whole}


# OpenAI: Chat Completions

_CHAT_KINDS = {"user": "user", "tool": "tool"}


def _read_chat(body: Body) -> list[Turn]:
    return [
        Turn(_CHAT_KINDS.get(each.get("role"), "other"), get_text(each.get("content")))
        for each in body.get("messages", [])
    ]


def _say_chat(answer: Answer) -> tuple[Body, str]:
    if not answer.call:
        return {"role": "assistant", "content": answer.text}, "stop"
    function = {"name": answer.call[0], "arguments": json.dumps(answer.call[1])}
    call = {"index": 0, "id": _new("call"), "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"


def _head_chat(body: Body, kind: str) -> Body:
    return {"id": _new("chatcmpl"), "object": kind, "created": int(time.time()), "model": body.get("model")}


_CHAT_USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


def _answer_chat(body: Body, answer: Answer) -> Body:
    said, reason = _say_chat(answer)
    choice = {"index": 0, "message": said, "finish_reason": reason}
    return {**_head_chat(body, "chat.completion"), "choices": [choice], "usage": _CHAT_USAGE}


def _stream_chat(body: Body, answer: Answer) -> Events:
    said, reason = _say_chat(answer)
    head = _head_chat(body, "chat.completion.chunk")
    yield None, {**head, "choices": [{"index": 0, "delta": said, "finish_reason": None}]}
    yield None, {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    yield None, {**head, "choices": [], "usage": _CHAT_USAGE}
    yield None, "[DONE]"


# Gemini


def _read_gemini(body: Body) -> list[Turn]:
    turns: list[Turn] = []
    for content in body.get("contents", []):
        for part in content.get("parts", []):
            if "functionResponse" in part:
                turns.append(Turn("tool", json.dumps(part["functionResponse"])))
            elif "text" in part:
                turns.append(Turn("user" if content.get("role") == "user" else "other", part["text"]))
    return turns


def _answer_gemini(body: Body, answer: Answer) -> Body:
    part: Body = {"text": answer.text}
    if answer.call:
        part = {"functionCall": {"name": answer.call[0], "args": answer.call[1]}}
    candidate = {"index": 0, "content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}
    usage = {"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "scripted", "responseId": _new("r")}


def _stream_gemini(body: Body, answer: Answer) -> Events:
    yield None, _answer_gemini(body, answer)


ANTHROPIC = Dialect(_read_messages, _answer_message, _stream_message)
RESPONSES = Dialect(_read_responses, _answer_responses, _stream_responses)
CHAT = Dialect(_read_chat, _answer_chat, _stream_chat)
GEMINI = Dialect(_read_gemini, _answer_gemini, _stream_gemini)
