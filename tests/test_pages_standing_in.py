"""What stands in a context for a message: one of the same shape, with less in it."""

import json
from typing import Any

from history_sink.testing import MemorySink
from history_sink_agents.pages import Archive, Pages


def outlined(message: dict[str, Any], text: str | None = None) -> Any:
    """What stands in for it at `structured`."""
    pages = Pages([message])
    pages.degrade(0, "structured", text)
    return pages.assemble(100_000).messages[0]


def test_a_call_stays_whole_and_its_page_is_where_it_was_put() -> None:
    payload = {"type": "function_call", "name": "grep", "arguments": '{"for": "TODO"}', "call_id": "c1"}
    call = {"type": "response_item", "payload": payload}
    assert outlined(call) == call
    with MemorySink() as sink:
        sink.save("s", [call])
        pages = Pages([call], archive=Archive(sink, "s"))
        pages.degrade(0, "structured")
        pages.assemble(100_000)
        pages.fetch(0)
        pages.update([call])
        assert pages.pages[0].level == "full"


def test_of_two_results_both_keep_their_ids_and_one_has_the_text() -> None:
    results = [{"type": "tool_result", "tool_use_id": each, "content": "found " * 500} for each in ("c1", "c2")]
    assert outlined({"role": "user", "content": results}, "two lists") == {
        "role": "user",
        "content": [{**results[0], "content": "two lists"}, {**results[1], "content": ""}],
    }


def test_a_part_has_a_type_where_the_others_have_one() -> None:
    long = "x" * 1000
    assert outlined({"role": "model", "parts": [{"text": long}]}, "in short")["parts"] == [{"text": "in short"}]
    for kind in ("text", "input_text"):
        content = [{"type": kind, "text": long}]
        assert outlined({"role": "user", "content": content}, "in short")["content"] == [
            {"type": kind, "text": "in short"}
        ]


def test_an_outline_has_nothing_of_a_picture() -> None:
    picture = {"type": "image", "url": "data:image/png;base64,iVBORw0KGgo" + "A" * 5000}
    assert "base64" not in json.dumps(outlined({"role": "user", "content": [picture]}))


def test_a_document_of_opencodes_is_still_nobodys_question() -> None:
    document = {
        "info": {"id": "ses"},
        "messages": [{"info": {"role": "user"}, "parts": [{"type": "text", "text": "x" * 5000}]}],
    }
    assert outlined(document)["role"] == "system"
