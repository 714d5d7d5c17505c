"""Content to parts: the seed's own kinds, Anthropic's, OpenAI's, Gemini's and OpenCode's, by their types' names."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from history_sink_agents.render.turns import Part
from history_sink_agents.render.values import clean, pick_dict, pick_text, write_value

Parts: TypeAlias = tuple[Part, ...]


def read_parts(content: Any) -> Parts:
    """The parts of a message's content, which is a text, one part, or a list of parts. What is unknown stays JSON."""
    if content is None:
        return ()
    if isinstance(content, list):
        return tuple(part for item in content for part in read_part(item))
    return read_part(content)


def read_part(item: Any) -> Parts:
    """One part, which may become several: a result with a picture, a call with its result."""
    if isinstance(item, str):
        return (Part("text", clean(item)),)
    found = None
    if isinstance(item, dict):
        found = _find_reader(item)(item)
    return (Part("raw", write_value(item)),) if found is None else found


def read_call(item: Mapping[str, Any], name: str = "") -> Parts:
    """A tool's call. The arguments of the seed and of OpenAI are a text that holds JSON: it is kept as it is."""
    function = pick_dict(item, "function") or {}
    arguments = next(
        (source[key] for source in (item, function) for key in ("arguments", "input", "args") if key in source), ""
    )
    named = pick_text(item, "name", "toolName") or pick_text(function, "name") or name
    return (Part("tool_call", write_value(arguments), named, _pick_call_id(item, "id")),)


def read_result(item: Mapping[str, Any]) -> Parts:
    """A tool's result: its texts as one, then what is no text, such as pictures."""
    content = next((item[key] for key in ("content", "output", "result") if key in item), "")
    call_id = _pick_call_id(item, "tool_use_id", "tool_call_id")
    is_error = bool(item.get("is_error") or item.get("isError"))
    return join_result(read_parts(content), pick_text(item, "name", "toolName"), call_id, is_error)


def join_result(inner: Parts, name: str, call_id: str, is_error: bool = False) -> Parts:
    """The parts inside a result as a result, and behind it its pictures and files."""
    beside = tuple(part for part in inner if part.kind in ("image", "file"))
    text = "\n".join(part.text for part in inner if part.kind not in ("image", "file"))
    return (Part("tool_result", text, name, call_id, is_error), *beside)


def _pick_call_id(item: Mapping[str, Any], *names: str) -> str:
    return pick_text(item, "call_id", "callID", "toolCallId", "tool_call_id", "tool_use_id", *names)


def _read_text(item: dict[str, Any]) -> Parts | None:
    text = next((item[key] for key in ("text", "refusal") if isinstance(item.get(key), str)), None)
    return None if text is None else (Part("thinking" if item.get("thought") is True else "text", clean(text)),)


def _read_thinking(item: dict[str, Any]) -> Parts | None:
    texts = [item[key] for key in ("thinking", "text") if isinstance(item.get(key), str)]
    for key in ("summary", "content"):
        texts += [part.text for part in read_parts(item.get(key)) if part.kind in ("text", "thinking")]
    if not texts and "encrypted_content" not in item:
        return None
    return (Part("thinking", clean("\n\n".join(texts))),)


def _read_image(item: dict[str, Any]) -> Parts | None:
    source = pick_dict(item, "source", "image_url", "inlineData", "inline_data", "fileData") or item
    mime = pick_text(source, "media_type", "mime_type", "mimeType", "mime") or pick_text(item, "mime_type", "mime")
    url = pick_text(source, "url", "image_url", "fileUri", "file_id")
    data = pick_text(source, "data")
    if data and not url:
        url = f"data:{mime};base64,{data}"
    return (Part("image", url, mime_type=mime),) if url else None


def _read_file(item: dict[str, Any]) -> Parts | None:
    mime = pick_text(item, "mime_type", "mimeType", "mime")
    path = pick_text(item, "path", "filename", "title", "name")
    url = pick_text(item, "url", "file_data")
    if url.startswith("data:image/"):
        return (Part("image", url, path, mime_type=mime),)
    source = pick_dict(item, "source", "file") or {}
    path = path or url or pick_text(source, "filename", "url", "file_id", "path", "fileUri")
    mime = mime or pick_text(source, "media_type", "mimeType")
    return (Part("file", path, mime_type=mime),) if path else None


def _read_opencode_tool(item: dict[str, Any]) -> Parts | None:
    state = pick_dict(item, "state")
    name = pick_text(item, "tool")
    if state is None or not name:
        return None
    call_id = pick_text(item, "callID")
    call = Part("tool_call", write_value(state.get("input", "")), name, call_id)
    if state.get("status") not in ("completed", "error"):
        return (call,)
    is_error = state["status"] == "error"
    inner = read_parts(state.get("error" if is_error else "output"))
    attached = read_parts(state.get("attachments"))
    return (call, *join_result((*inner, *attached), name, call_id, is_error))


def _read_gemini(item: dict[str, Any]) -> Parts | None:
    if call := pick_dict(item, "functionCall", "function_call"):
        return read_call(call)
    if answer := pick_dict(item, "functionResponse", "function_response"):
        body = answer.get("response")
        inner = body if isinstance(body, dict) else {}
        is_error = "error" in inner and "output" not in inner
        content = inner.get("error" if is_error else "output", body)
        found = join_result(read_parts(content), pick_text(answer, "name"), pick_text(answer, "id"), is_error)
        return (*found, *read_parts(answer.get("parts")))
    if pick_dict(item, "inlineData", "inline_data"):
        found_image = _read_image(item)
        return found_image and tuple(
            part if part.mime_type.startswith("image/") else replace(part, kind="file") for part in found_image
        )
    if file := pick_dict(item, "fileData"):
        return (Part("file", pick_text(file, "fileUri"), mime_type=pick_text(file, "mimeType")),)
    return _read_text(item) if "text" in item else None


_READERS: dict[str, Callable[[dict[str, Any]], Parts | None]] = {
    **dict.fromkeys(("text", "input_text", "output_text", "summary_text", "reasoning_text", "refusal"), _read_text),
    **dict.fromkeys(("thinking", "reasoning"), _read_thinking),
    **dict.fromkeys(("tool_call", "toolCall", "tool-call", "function_call"), read_call),
    **dict.fromkeys(("toolResult", "tool-result", "function_call_output"), read_result),
    **dict.fromkeys(("image", "image_url", "input_image"), _read_image),
    **dict.fromkeys(("file", "document", "input_file"), _read_file),
    "tool": _read_opencode_tool,
}


def _find_reader(item: dict[str, Any]) -> Callable[[dict[str, Any]], Parts | None]:
    kind = item.get("type")
    if not isinstance(kind, str):
        return _read_gemini
    if kind.endswith("tool_use"):  # tool_use, server_tool_use, mcp_tool_use
        return read_call
    if kind.endswith("tool_result"):  # tool_result, web_search_tool_result
        return read_result
    return _READERS.get(kind, lambda item: None)
