"""Pages: kinds and levels, what a context gets, the eight faults, and pins that survive what is done to a history."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from history_sink import Fault, Malformed
from history_sink.testing import MemorySink
from history_sink_agents.pages import (
    KINDS,
    LEVELS,
    Archive,
    Context,
    Page,
    PageFault,
    Pages,
    Sidecar,
    canonical_arguments,
    degradation_path,
    measure_bytes,
    min_fidelity,
)

SYSTEM = {"role": "system", "content": "Be brief."}
RULE = {"role": "user", "content": "Never push to main."}
CALL: dict[str, Any] = {
    "role": "assistant",
    "content": [{"type": "tool_call", "id": "c1", "name": "grep", "arguments": '{"a": 1}'}],
}
RESULT: dict[str, Any] = {
    "role": "tool",
    "content": [{"type": "tool_result", "tool_call_id": "c1", "content": "found " * 500}],
}
SAID = {"role": "assistant", "content": "It is there."}
HISTORY: list[Any] = [SYSTEM, RULE, CALL, RESULT, SAID]


@pytest.fixture
def sink() -> Iterator[MemorySink]:
    with MemorySink() as sink:
        sink.save("s", HISTORY)
        assert sink.flush("s")
        yield sink


@pytest.fixture
def pages(sink: MemorySink) -> Pages:
    return Pages(HISTORY, archive=Archive(sink, "s"))


def levels(context: Context) -> dict[int, str]:
    return {each.number: each.level for each in context.placed}


def reload(pages: Pages, messages: list[Any] | None = None, archive: Archive | None = None) -> Pages:
    """As another process would."""
    return Pages(pages.messages if messages is None else messages, json.dumps(pages.encode()), archive)


def pinned(pages: Pages) -> list[Any]:
    return [message for message, page in zip(pages.messages, pages.pages, strict=True) if page.is_pinned]


def test_kinds_levels_and_paths_are_those_of_the_family() -> None:
    assert KINDS == ("bootstrap", "constraint", "plan", "preference", "evidence", "conversation")
    assert LEVELS == ("full", "compressed", "structured", "pointer")
    assert {kind: degradation_path(kind) for kind in KINDS} == {
        "bootstrap": ("full", "structured"),
        "constraint": ("full", "structured"),
        "plan": ("full", "structured", "pointer"),
        **dict.fromkeys(("preference", "evidence", "conversation"), LEVELS),
    }
    assert [min_fidelity(kind) for kind in KINDS] == ["structured", "structured", *["pointer"] * 4]


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (SYSTEM, "bootstrap"),
        ({"role": "developer", "content": "x"}, "bootstrap"),
        (RULE, "conversation"),
        (CALL, "conversation"),
        (RESULT, "evidence"),
        ({"role": "tool", "tool_call_id": "c", "content": "x"}, "evidence"),
        ({"role": "tool", "content": [{"type": "text", "text": "x"}]}, "evidence"),
        ({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "x"}]}, "evidence"),
        ({"type": "user", "sessionId": "s", "message": {"role": "user", "content": "x"}}, "conversation"),
        ({"type": "file-history-snapshot", "sessionId": "s"}, "conversation"),
        ({"type": "response_item", "payload": {"type": "function_call_output", "output": "x"}}, "evidence"),
        (b"\xff damaged", "conversation"),
        ('{"role":"system","content":"as a line"}', "bootstrap"),
    ],
)
def test_a_message_has_the_kind_that_its_role_and_parts_say(message: Any, kind: str) -> None:
    (page,) = Pages([message]).pages
    assert (page.kind, page.level, page.is_pinned) == (kind, "full", False)


def test_a_message_and_its_line_in_the_archive_are_one_page(sink: MemorySink) -> None:
    given = Pages([*HISTORY, {"role": "user", "content": "żółw", "n": 1.5, "a": None}])
    sink.save("s", given.messages)
    lines = b"".join(sink.read("s")).splitlines(keepends=True)
    assert [page.key for page in Pages(lines).pages] == [page.key for page in given.pages]
    shuffled = {"content": RULE["content"], "role": "user"}
    assert Pages([shuffled]).pages == Pages([RULE]).pages


@pytest.mark.parametrize("wrong", [5, None, ["x"], {"a": object()}, {1: {2}}, b"two\nlines", b"two\n\n"])
def test_what_is_no_message_is_refused(wrong: Any) -> None:
    with pytest.raises(Malformed, match=r"message is an object|no newline"):
        Pages([wrong])
    pages = Pages(HISTORY)
    with pytest.raises(Malformed):
        pages.append(SAID, wrong)
    assert pages.messages == HISTORY


# Degradation


@pytest.mark.parametrize(
    ("number", "level", "text", "said"),
    [
        (0, "pointer", None, "a bootstrap goes no lower than structured"),
        (0, "compressed", "x", "a bootstrap is degraded to structured, and not to compressed"),
        (1, "pointer", None, "a constraint goes no lower than structured"),
        (2, "compressed", "x", "a plan is degraded to structured or pointer, and not to compressed"),
        (3, "full", None, "not to full"),
        (3, "compressed", None, "compressed takes a text"),
        (3, "compressed", "", "compressed takes a text"),
        (3, "pointer", "x", "pointer takes none"),
        (3, "tiny", None, "a level is one of full, compressed, structured, pointer"),
        (9, "pointer", None, "there is no message 9: there are 5"),
        (-1, "pointer", None, "there is no message -1"),
        (True, "pointer", None, "there is no message True"),
    ],
)
def test_what_a_page_may_not_become_is_refused_and_changes_nothing(
    pages: Pages, number: int, level: Any, text: str | None, said: str
) -> None:
    pages.pin(1)
    pages.set_kind(2, "plan")
    before = pages.encode()
    with pytest.raises(Malformed, match=said):
        pages.degrade(number, level, text)
    assert pages.encode() == before


def test_a_page_goes_down_its_path_and_is_fetched_back(pages: Pages) -> None:
    assert pages.degrade(3, "compressed", "a lot was found") is None
    assert b"a lot was found" in json.dumps(pages.assemble(10_000).messages[3]).encode()
    fetched = reload(pages, archive=pages._archive)
    fetched.fetch(3)
    assert fetched.pages[3].text is None
    assert pages.degrade(3, "pointer") is None
    assert pages.pages[3].text is None
    pages.fetch(3)
    assert pages.degrade(3, "structured") is None
    shown = json.dumps(pages.assemble(10_000).messages[3])
    assert '\\"characters\\":3000' in shown
    assert "c1" in shown
    with pytest.raises(Malformed, match="is at structured already: fetch it first"):
        pages.degrade(3, "compressed", "x")
    assert pages.degrade(3, "pointer") is None
    page = pages.pages[3]
    assert page.handle is not None
    assert page.text is None
    context = pages.assemble(10_000)
    assert levels(context) == {0: "full", 1: "full", 2: "full", 3: "pointer", 4: "full"}
    assert page.handle.key in json.dumps(context.messages[3])
    assert pages.fetch(3).line == json.dumps(RESULT, separators=(",", ":")).encode() + b"\n"
    assert pages.assemble(10_000).messages == HISTORY


def test_what_stood_in_for_lack_of_room_is_known_by_its_level_when_it_comes_back(pages: Pages) -> None:
    kept = pages.assemble(700)
    assert levels(kept)[3] == "structured"
    assert pages.pages[3].level == "full"
    again = reload(pages, kept.messages)
    assert [page.level for page in again.pages] == ["full", "full", "full", "structured", "full"]


def test_whose_message_is_not_here_must_be_fetched_before_it_is_outlined(pages: Pages, sink: MemorySink) -> None:
    pages.degrade(3, "compressed", "a lot was found")
    kept = pages.assemble(10_000).messages
    again = reload(pages, kept, Archive(sink, "s"))
    with pytest.raises(Malformed, match="is not here: fetch it first"):
        again.degrade(3, "structured")
    assert again.degrade(3, "pointer") is None
    assert again.fetch(3).fault.kind == "refetch"
    assert again.messages[3] == RESULT
    assert again.degrade(3, "structured") is None


# The eight faults


def test_flush_miss_a_page_that_the_store_may_lack_does_not_become_a_pointer(pages: Pages, sink: MemorySink) -> None:
    late = {"role": "user", "content": "not saved yet"}
    pages.append(late)
    assert_miss(pages.degrade(5, "pointer"), 5, "reach message 5|no match")
    with sink.archive.workers_away():
        sink.save("s", [*HISTORY, late])
        assert_miss(pages.degrade(5, "pointer"), 5, "no worker answered")
    assert sink.flush("s")
    assert pages.degrade(5, "pointer") is None
    with sink.archive.broker_away():
        assert_miss(pages.degrade(4, "pointer"), 4, "the broker is away")
    assert_miss(Pages(HISTORY).degrade(3, "pointer"), 3, "no archive was given")
    assert_miss(Pages([*HISTORY[:3], RULE], archive=Archive(sink, "s")).degrade(3, "pointer"), 3, "has another message")
    with MemorySink(sink.archive) as other:
        assert_miss(Pages(HISTORY, archive=Archive(other, "never")).degrade(3, "pointer"), 3, "no session never")
        assert Pages(HISTORY, archive=Archive(other, "s")).degrade(3, "pointer") is None


def test_flush_miss_a_blank_line_is_not_taken_for_nothing(sink: MemorySink) -> None:
    pages = Pages([*HISTORY, b""], archive=Archive(sink, "s"))
    assert_miss(pages.degrade(5, "pointer"), 5, "reach message 5|no match")
    sink.save("s", [*HISTORY, b""])
    assert pages.degrade(5, "pointer") is None


def test_a_page_of_a_branch_is_proven_there(sink: MemorySink) -> None:
    other = [*HISTORY[:3], {"role": "tool", "content": "nothing"}]
    receipt = sink.save("s", other)
    assert sink.flush("s")
    with MemorySink(sink.archive) as fresh:
        for branch, history in ((receipt.branch, other), (None, HISTORY)):
            pages = Pages(history, archive=Archive(fresh, "s", branch))
            assert pages.degrade(3, "pointer") is None
            handle = pages.pages[3].handle
            assert handle is not None
            assert (str(receipt.branch) in handle.key) == (branch is not None)


def assert_miss(fault: PageFault | None, number: int, detail: str) -> None:
    assert fault is not None
    assert (fault.kind, fault.number, fault.encode()["kind"]) == ("flush_miss", number, "flush_miss")
    assert re.search(detail, fault.detail), fault.detail


def test_post_compaction_bootstrap_a_context_without_the_system_message(pages: Pages) -> None:
    context = pages.assemble(20)
    (fault,) = context.faults
    assert (fault.kind, fault.number) == ("post_compaction_bootstrap", 0)
    assert fault.detail == f"no room: at full it takes {measure_bytes(SYSTEM)}"
    assert pages.assemble(measure_bytes(SYSTEM)).messages == [SYSTEM]
    summary = {"role": "user", "content": "Summary of what was."}
    (fault,) = pages.check_context([summary, SAID])
    assert (fault.kind, fault.number) == ("post_compaction_bootstrap", 0)
    assert pages.check_context([SYSTEM, summary]) == []


def test_pinned_invariant_miss_a_context_without_a_pinned_message(pages: Pages) -> None:
    pages.pin(1)
    pages.set_kind(4, "constraint")
    context = pages.assemble(measure_bytes(SYSTEM) + measure_bytes(RULE))
    assert context.messages == [SYSTEM, RULE]
    assert [(fault.kind, fault.number) for fault in context.faults] == [("pinned_invariant_miss", 4)]
    assert [fault.number for fault in pages.check_context([SYSTEM, SAID])] == [1]
    pages.unpin(1)
    assert pages.check_context([SYSTEM, SAID]) == []


def test_pinned_invariant_miss_a_page_below_its_minimum(pages: Pages, sink: MemorySink) -> None:
    pages.degrade(3, "pointer")
    fault = pages.pin(3)
    assert fault is not None
    assert (fault.kind, fault.number) == ("pinned_invariant_miss", 3)
    kept = pages.assemble(10_000)
    assert levels(kept)[3] == "structured", "its message is here"
    pages.unpin(3)
    again = reload(pages, pages.assemble(10_000).messages, Archive(sink, "s"))
    again.pin(3)
    (fault,) = again.assemble(10_000).faults
    assert (fault.kind, fault.number, fault.handle) == ("pinned_invariant_miss", 3, pages.pages[3].handle)
    assert again.fetch(3).line is not None
    assert again.assemble(10_000).faults == ()
    with pytest.raises(Malformed, match="at pointer, and a constraint goes no lower than structured"):
        pages.set_kind(3, "constraint")


def test_a_context_of_others_must_have_each_pin_and_none_below_its_minimum(pages: Pages) -> None:
    pages.append(RULE)
    pages.pin(1)
    pages.pin(5)
    assert [fault.number for fault in pages.check_context([SYSTEM, RULE])] == [5]
    assert pages.check_context([SYSTEM, RULE, RULE]) == []
    for level, missed in (("structured", []), ("pointer", [3])):
        pages.degrade(3, level)  # type: ignore[arg-type]  # it is one
        shown = pages.assemble(10_000).messages
        pages.pin(3)
        assert [fault.number for fault in pages.check_context(shown)] == missed, level
        pages.unpin(3)


def test_duplicate_tool_a_call_whose_result_was_evicted_runs_again(pages: Pages) -> None:
    again = {"role": "assistant", "tool_calls": [{"id": "c2", "function": {"name": "grep", "arguments": '{"a":1.0}'}}]}
    other = {"role": "assistant", "tool_calls": [{"id": "c3", "function": {"name": "grep", "arguments": '{"a":2}'}}]}
    assert pages.append(again) == []
    assert pages.find_duplicate("grep", {"a": 1}) is None
    pages.degrade(3, "pointer")
    fault = pages.find_duplicate("grep", ' {"a" : 1} ')
    assert fault is not None
    assert (fault.kind, fault.number, fault.handle) == ("duplicate_tool", 3, pages.pages[3].handle)
    assert pages.find_duplicate("rg", {"a": 1}) is None
    assert [(each.kind, each.number) for each in pages.append(other, {**again, "n": 1})] == [("duplicate_tool", 7)]
    assert pages.update(pages.messages) == [], "told once"
    assert pages.update([SYSTEM, {**again, "n": 3}, *pages.messages[1:]]) == [], "it was not made before that"
    pages.update([*HISTORY, again])
    pages.fetch(3)
    assert pages.append({**again, "n": 2}) == []


def test_duplicate_tool_of_two_calls_only_that_whose_result_is_at_pointer(sink: MemorySink) -> None:
    ids = {"a": '{"a": 1}', "b": '{"b": 2}'}
    calls = [{**CALL["content"][0], "id": name, "arguments": arguments} for name, arguments in ids.items()]
    results = [{"role": "tool", "content": [{**RESULT["content"][0], "tool_call_id": name}]} for name in ids]
    history = [{"role": "assistant", "content": calls}, *results]
    sink.save("two", history)
    pages = Pages(history, archive=Archive(sink, "two"))
    pages.degrade(1, "pointer")
    assert pages.find_duplicate("grep", ids["a"]) is not None
    assert pages.find_duplicate("grep", ids["b"]) is None


def test_duplicate_tool_where_one_message_has_a_call_and_its_result(sink: MemorySink) -> None:
    state = {"status": "completed", "input": {"a": 1}, "output": "found " * 500}
    tool = {"type": "tool", "tool": "grep", "callID": "c1", "state": state}
    message = {"info": {"id": "m", "role": "assistant"}, "parts": [tool]}
    sink.save("both", [message])
    pages = Pages([message], archive=Archive(sink, "both"))
    assert pages.degrade(0, "pointer") is None
    fault = pages.find_duplicate("grep", {"a": 1})
    assert fault is not None
    assert fault.number == 0


def test_refetch_is_counted_with_its_bytes(pages: Pages, sink: MemorySink) -> None:
    pages.degrade(3, "pointer")
    line, fault = pages.fetch(3)
    assert line is not None
    assert (fault.kind, fault.number, fault.size_bytes) == ("refetch", 3, len(line))
    pages.degrade(3, "pointer")
    pages.fetch(3)
    again = reload(pages, archive=Archive(sink, "s"))
    assert (again.refetches, again.refetched_bytes) == (2, 2 * len(line))


def test_no_match_denied_and_backend_error_come_from_resolving(pages: Pages, sink: MemorySink) -> None:
    pages.degrade(3, "pointer")
    for fault in (Fault("denied", "not yours"), Fault("backend_error", "the store is away")):
        with sink.archive.answering(fault):
            assert pages.fetch(3) == (None, PageFault(fault, 3, handle=pages.pages[3].handle))
    with sink.archive.store_away():
        assert pages.fetch(3).fault.kind == "backend_error"
    sink.archive.delete("s")
    assert pages.fetch(3).fault.kind == "no_match"
    assert pages.refetches == 0
    assert pages.pages[3].level == "pointer"
    assert reload(pages).fetch(3).fault.fault == Fault("backend_error", "no archive was given")


def test_bytes_that_are_another_message_are_not_taken(pages: Pages, sink: MemorySink) -> None:
    pages.degrade(3, "pointer")
    pages.degrade(4, "pointer")
    sidecar = pages.encode()
    sidecar["pages"][3]["handle"] = sidecar["pages"][4]["handle"]
    fetched = Pages(HISTORY, sidecar, Archive(sink, "s")).fetch(3)
    assert fetched.line is None
    assert fetched.fault.kind == "backend_error"
    assert "not the message that was evicted" in str(fetched.fault.fault.reason)


# Assembly


def test_calls_and_results_come_together_or_not_at_all(pages: Pages) -> None:
    pair = pages.assemble(10**6)
    assert [each.number for each in pair.placed] == [0, 1, 2, 3, 4]
    for budget in range(0, 700, 7):
        there = levels(pages.assemble(budget))
        assert (2 in there) == (3 in there), budget
    pages.pin(3)
    least = pages.assemble(600)
    assert levels(least)[3] == "structured"
    assert least.messages[[each.number for each in least.placed].index(2)] == CALL


def test_a_result_that_was_fetched_back_is_still_its_calls(pages: Pages, sink: MemorySink) -> None:
    pages.degrade(3, "pointer")
    again = reload(pages, pages.assemble(10_000).messages, Archive(sink, "s"))
    assert again.fetch(3).line is not None
    for budget in range(0, 700, 7):
        there = levels(again.assemble(budget))
        assert (2 in there) == (3 in there), budget


def test_a_summary_is_not_taken_for_an_outline(pages: Pages) -> None:
    pages.degrade(3, "compressed", "long " * 100)
    least = pages.assemble(700)
    assert levels(least)[3] == "structured"
    assert "long" not in json.dumps(least.messages)


def test_invariants_count_first_then_the_newest(pages: Pages) -> None:
    pages.pin(1)
    room = sum(map(measure_bytes, (SYSTEM, RULE, SAID)))
    assert pages.assemble(room).messages == [SYSTEM, RULE, SAID]
    assert pages.assemble(room - 1).messages == [SYSTEM, RULE]
    context = pages.assemble(room, measure=lambda message: 1)
    assert (len(context.messages), context.size, context.budget) == (5, 5, room)


def test_what_is_newer_comes_first_and_the_bootstrap_before_older_pins() -> None:
    said = [{"role": "user", "content": text} for text in "abcd"]
    assert Pages(said).assemble(2 * measure_bytes(said[0])).messages == said[2:]
    pages = Pages([RULE, SYSTEM])
    pages.pin(0)
    context = pages.assemble(measure_bytes(RULE))
    assert context.messages == [SYSTEM]
    assert [(fault.kind, fault.number) for fault in context.faults] == [("pinned_invariant_miss", 0)]


def test_an_invariants_call_comes_with_it_before_what_is_newer(pages: Pages) -> None:
    pages.pin(3)
    needed = sum(each.size for each in pages.assemble(700).placed if each.number in (0, 2, 3))
    pages.append({"role": "user", "content": "x" * 200})
    context = pages.assemble(needed)
    assert (context.faults, [each.number for each in context.placed]) == ((), [0, 2, 3])


def test_of_two_results_of_a_call_the_newer_one_gets_the_room() -> None:
    call = {"role": "assistant", "content": [{**CALL["content"][0], "id": name} for name in "ab"]}
    results = [{"role": "tool", "content": [{**RESULT["content"][0], "tool_call_id": name}]} for name in "ab"]
    pages = Pages([call, *results])
    assert levels(pages.assemble(sum(map(measure_bytes, pages.messages)) - 1)) == {
        0: "full",
        1: "structured",
        2: "full",
    }


def test_what_is_left_out_is_said(pages: Pages) -> None:
    context = pages.assemble(measure_bytes(SYSTEM) + measure_bytes(SAID))
    assert [(each.number, each.kind) for each in context.omitted] == [
        (1, "conversation"),
        (2, "conversation"),
        (3, "evidence"),
    ]
    assert context.omitted[2].reason.endswith("its calls or results come with it")
    assert context.faults == ()
    assert Pages().assemble(0).messages == []
    for wrong in (-1, 1.5, None, True):
        with pytest.raises(Malformed, match="budget is an integer from 0 on"):
            pages.assemble(wrong)  # type: ignore[arg-type]  # what a caller may get wrong


@pytest.mark.parametrize(
    ("call", "result"),
    [
        (
            {"role": "assistant", "content": [{"type": "tool_use", "id": "x", "name": "t", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x", "content": "y" * 999}]},
        ),
        (
            {"role": "assistant", "content": None, "tool_calls": [{"id": "x", "function": {"name": "t"}}]},
            {"role": "tool", "tool_call_id": "x", "content": "y" * 999},
        ),
        (
            {"type": "assistant", "sessionId": "s", "message": {
                "role": "assistant", "content": [{"type": "tool_use", "id": "x", "name": "t", "input": {}}]}},
            {"type": "user", "sessionId": "s", "toolUseResult": "y" * 999, "message": {
                "role": "user", "content": [{"type": "tool_result", "tool_use_id": "x", "content": "y" * 999}]}},
        ),
        (
            {"type": "response_item", "payload": {"type": "function_call", "call_id": "x", "name": "t"}},
            {"type": "response_item", "payload": {"type": "function_call_output", "call_id": "x", "output": "y" * 999}},
        ),
        (
            {"role": "model", "parts": [{"functionCall": {"name": "x", "args": {"a": 1}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "x", "response": {"output": "y" * 999}}}]},
        ),
    ],
    ids=["anthropic", "openai", "claude-code", "codex", "gemini"],
)  # fmt: skip
def test_what_stands_in_for_a_result_keeps_its_shape_and_its_calls_id(call: Any, result: Any) -> None:
    pages = Pages([call, result])
    assert pages.pages[1].kind == "evidence"
    pages.degrade(1, "compressed", "many y")
    shown = pages.assemble(10_000).messages
    assert shown[0] == call
    text = json.dumps(shown[1])
    assert '"x"' in text
    assert "many y" in text
    assert "yyy" not in text
    kept = reload(pages, shown)
    assert [page.level for page in kept.pages] == ["full", "compressed"]
    assert (0 in levels(kept.assemble(300))) == (1 in levels(kept.assemble(300)))


def test_calls_without_ids_have_their_results_in_order(sink: MemorySink) -> None:
    calls = [{"role": "model", "parts": [{"functionCall": {"name": "t", "args": {"a": n}}}]} for n in range(3)]
    results = [{"role": "user", "parts": [{"functionResponse": {"name": "t", "response": {"n": n}}}]} for n in range(3)]
    history = [calls[0], calls[1], results[0], results[1], calls[2], results[2]]
    sink.save("gemini", history)
    pages = Pages(history[:3], archive=Archive(sink, "gemini"))
    pages.append(*history[3:])
    assert pages.degrade(3, "pointer") is None
    fault = pages.find_duplicate("t", {"a": 1})
    assert fault is not None
    assert fault.number == 3
    assert pages.find_duplicate("t", {"a": 2}) is None
    for budget in range(0, 900, 20):
        there = levels(pages.assemble(budget))
        assert [number in there for number in (0, 1, 4)] == [number in there for number in (2, 3, 5)]


# What is done to a history


def test_pins_and_levels_survive_a_reload(pages: Pages) -> None:
    pages.pin(1)
    pages.set_kind(4, "preference")
    pages.degrade(3, "pointer")
    again = reload(pages)
    assert again.pages == pages.pages
    assert again.encode() == pages.encode()
    assert json.loads(json.dumps(pages.encode()))["version"] == 1


def test_pins_stay_with_their_messages_when_others_come_go_and_change(pages: Pages) -> None:
    pages.pin(1)
    pages.pin(4)
    said: list[Any] = [
        [*HISTORY, {"role": "user", "content": "more"}],
        [SYSTEM, {"role": "user", "content": "put in"}, RULE, SAID],
        [{"role": "system", "content": "Another prompt."}, RULE, SAID],
        [SAID, RULE],
    ]
    for messages in said:
        pages.update(messages)
        assert sorted(map(str, pinned(pages))) == sorted(map(str, [RULE, SAID]))
        pages = reload(pages, messages)
        assert sorted(map(str, pinned(pages))) == sorted(map(str, [RULE, SAID]))


def test_of_equal_messages_the_pinned_one_stays_the_pinned_one() -> None:
    yes = {"role": "user", "content": "yes"}
    pages = Pages([yes, SYSTEM, yes, SAID])
    pages.pin(2)
    for messages, numbers in (
        ([yes, SYSTEM, yes, SAID, yes], [2]),
        ([RULE, yes, SYSTEM, yes, SAID, yes], [3]),
        ([RULE, SYSTEM, yes, SAID, yes], [2]),
        ([RULE, SYSTEM, yes], [2]),
    ):
        pages.update(messages)
        assert [number for number, page in enumerate(pages.pages) if page.is_pinned] == numbers
    twice = Pages([yes, yes, SAID])
    twice.pin(1)
    twice.update([yes, SAID])
    assert pinned(twice) == [yes], "none can tell which of them went"
    thrice = Pages([yes, yes, yes, SAID])
    thrice.pin(0)
    thrice.pin(2)
    thrice.update([yes, yes, SAID])
    assert pinned(thrice) == [yes], "one is still there"
    undone = Pages([yes, yes])
    undone.pin(1)
    for messages in ([yes], [yes, SAID]):
        undone.update(messages)
        assert pinned(undone) == [], "the second one went"


def test_an_edited_message_keeps_its_pin_and_kind_and_nothing_else(pages: Pages) -> None:
    pages.pin(1)
    pages.set_kind(4, "plan")
    pages.degrade(3, "pointer")
    rule, said = {**RULE, "content": "Never push."}, {**SAID, "content": "There."}
    result = {"role": "tool", "content": [{**RESULT["content"][0], "content": "other"}]}
    pages.update([SYSTEM, rule, CALL, result, said])
    assert pinned(pages) == [rule]
    assert [page.kind for page in pages.pages] == ["bootstrap", "conversation", "conversation", "evidence", "plan"]
    assert (pages.pages[3].level, pages.pages[3].handle) == ("full", None)
    pages.update([{"role": "user", "content": "Be long."}, *pages.messages[1:]])
    assert pages.pages[0].kind == "conversation", "nobody has given it its kind"
    both: list[Any] = [{"role": "user", "content": text} for text in ("Never", "push.")]
    pages.update([pages.messages[0], *both, *pages.messages[2:]])
    assert pinned(pages) == [], "two stand in the place of one: neither is that one"


def test_a_message_that_is_edited_into_what_it_once_was_keeps_its_pin() -> None:
    first, second = {"role": "user", "content": "one"}, {"role": "user", "content": "two"}
    pages = Pages([first])
    pages.degrade(0, "structured")  # so that its page is remembered
    pages.update([second])
    pages.pin(0)
    pages.update([first])
    assert (pages.pages[0].is_pinned, pages.pages[0].level) == (True, "structured")


def test_an_undo_lets_go_and_a_redo_brings_back(pages: Pages) -> None:
    pages.pin(1)
    pages.degrade(3, "pointer")
    handle = pages.pages[3].handle
    pages.update(HISTORY[:1])
    assert pinned(pages) == []
    pages = reload(pages, HISTORY[:1])
    pages.append(*HISTORY[1:])
    assert pinned(pages) == [RULE]
    assert (pages.pages[3].level, pages.pages[3].handle) == ("pointer", handle)


def test_of_two_equal_messages_that_were_undone_the_last_ones_page_comes_back() -> None:
    pages = Pages([SYSTEM, RULE, RULE])
    pages.set_kind(1, "plan")
    pages.pin(2)
    pages.update([SYSTEM])
    pages.update([SYSTEM, RULE])
    assert (pages.pages[1].is_pinned, pages.pages[1].kind) == (True, "conversation")


def test_of_pages_of_which_nothing_is_known_nothing_is_kept() -> None:
    pages = Pages(HISTORY)
    pages.pin(1)
    pages.set_kind(4, "plan")
    pages.update(HISTORY[:1])
    assert [page["kind"] for page in pages.encode()["retired"]] == ["conversation", "plan"]


def test_a_message_that_looks_like_what_stood_in_for_another_is_itself() -> None:
    long, short = {"role": "user", "content": "x" * 100}, {"role": "user", "content": "x"}
    pages = Pages([long, short])
    pages.degrade(0, "compressed", "x")
    assert pages.assemble(10_000).messages == [short, short]
    again = reload(pages, [long, short])
    assert [page.key for page in again.pages] == [page.key for page in pages.pages]
    assert reload(again, [short]).pages[0].level == "full"


def test_where_a_message_is_in_the_archive_is_known_after_an_undo_too(pages: Pages) -> None:
    pages.degrade(3, "pointer")
    pages.fetch(3)
    handle = pages.pages[3].handle
    pages.update(HISTORY[:1])
    pages.update(HISTORY)
    assert (pages.pages[3].level, pages.pages[3].handle) == ("full", handle)


def test_a_fork_has_its_own_pages(pages: Pages) -> None:
    pages.pin(1)
    fork = pages.fork(3)
    assert pinned(fork) == [RULE]
    fork.unpin(1)
    fork.append(SAID)
    assert pinned(pages) == [RULE]
    assert len(pages.pages) == 5
    for count in (-1, 6, True):
        with pytest.raises(Malformed, match="messages: there are 5"):
            pages.fork(count)


def test_of_many_equal_messages_the_first_is_the_first_again() -> None:
    yes = {"role": "user", "content": "yes"}
    history = [{"role": "user", "content": f"{number % 3}"} for number in range(1200)]
    pages = Pages([SYSTEM, yes, *history, yes, SAID])
    pages.pin(1)
    pages.update([RULE, SAID, yes, *history, yes, RULE])  # too many to be compared pair by pair
    assert [number for number, page in enumerate(pages.pages) if page.is_pinned] == [2]


def test_a_history_of_ten_thousand_messages_is_taken_in_a_moment() -> None:
    history = [{"role": "user", "content": f"message {number % 7000}"} for number in range(10_000)]
    pages = Pages(history)
    pages.pin(9_000)
    edited = [*history[:50], SYSTEM, *history[60:8_000], *history[8_001:]]
    pages.update(edited)
    assert pinned(pages) == [history[9_000]]
    alike = Pages([RULE] * 3000)
    alike.pin(2000)
    alike.update([SYSTEM, *[RULE] * 2500, SYSTEM])
    assert pinned(alike)


# The sidecar


@pytest.mark.parametrize(
    ("sidecar", "said"),
    [
        ("{", "a sidecar is a JSON object"),
        (5, "a sidecar is an object, not int"),
        ({"version": 2, "pages": []}, "a sidecar has version 1, and not 2"),
        ({"pages": []}, "a sidecar has version 1, and not None"),
        ({"version": 1, "pages": {}}, "a sidecar's pages is a list"),
        ({"version": 1, "pages": [5]}, "pages, 0: a page is an object"),
        ({"version": 1, "retired": [{"key": "x"}]}, "retired, 0: a page's key is 32 hex digits"),
        ({"version": 1, "refetches": -1}, "a sidecar's refetches and refetched_bytes are numbers"),
    ],
)
def test_a_sidecar_that_cannot_be_is_refused_by_what_is_wrong(sidecar: Any, said: str) -> None:
    with pytest.raises(Malformed, match=said):
        Pages(HISTORY, sidecar)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("kind", "x", "a page's kind is one of bootstrap"),
        ("level", "x", "a page's level is one of full"),
        ("level", "pointer", "a page at pointer has a handle"),
        ("pinned", 1, "a page's pinned is true or false"),
        ("text", 1, "its text a text"),
        ("handle", {"bucket": 1}, "a handle's bucket is a string"),
        ("shown", {"x": "full"}, "a page's shown is an object of levels by keys"),
        ("shown", ["x"], "a page's shown is an object of levels by keys"),
    ],
)
def test_a_page_that_cannot_be_is_refused_by_what_is_wrong(pages: Pages, field: str, value: Any, said: str) -> None:
    sidecar = pages.encode()
    sidecar["pages"][2][field] = value
    with pytest.raises(Malformed, match=f"pages, 2: .*{said}"):
        Sidecar.decode(sidecar)


def test_fields_of_a_later_version_are_passed_over(pages: Pages) -> None:
    sidecar = pages.encode()
    sidecar["more"] = sidecar["pages"][0]["more"] = 1
    assert Pages(HISTORY, sidecar).pages == pages.pages


def test_a_page_that_a_sidecar_has_below_its_minimum_is_shown_at_it() -> None:
    key = Pages([SYSTEM]).pages[0].key
    handle = {"bucket": "b", "key": "k", "byte_range": [0, 5]}
    page = {"key": key, "kind": "bootstrap", "level": "pointer", "pinned": False, "handle": handle}
    pages = Pages([SYSTEM], {"version": 1, "pages": [page]})
    assert levels(pages.assemble(10_000)) == {0: "structured"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a":1,"b":[1.0]}', {"b": [1], "a": 1}),
        ({"a": 1e3}, '{"a": 1000}'),
        (" ls ", "ls"),
        (None, "null"),
        ({}, "{}"),
    ],
)
def test_equal_arguments_are_equal_however_they_are_written(one: object, other: object) -> None:
    assert canonical_arguments(one) == canonical_arguments(other)
    assert canonical_arguments(one) != canonical_arguments({"other": 1})


@pytest.mark.parametrize("depth", [100, 600, 5000])
def test_a_call_of_any_depth_is_compared(sink: MemorySink, depth: int) -> None:
    deep = f'{{"a": {"[" * depth}{"]" * depth}}}'
    call: dict[str, Any] = {"role": "assistant", "content": [{**CALL["content"][0], "arguments": deep}]}
    sink.save("deep", [call, RESULT])
    pages = Pages([call, RESULT], archive=Archive(sink, "deep"))
    pages.degrade(1, "pointer")
    again = {"role": "assistant", "content": [{**call["content"][0], "id": "c2"}]}
    assert [fault.kind for fault in pages.append(again)] == ["duplicate_tool"]
    assert pages.find_duplicate("grep", deep) is not None


def test_arguments_that_json_cannot_carry_are_refused() -> None:
    deep: object = None
    for _ in range(600):
        deep = [deep]
    for wrong in (deep, {"a": {1, 2}}):
        with pytest.raises(Malformed, match="JSON can carry"):
            Pages().find_duplicate("t", wrong)


def test_a_message_takes_the_bytes_of_its_line() -> None:
    assert measure_bytes({"role": "user", "content": "ż"}) == len('{"role":"user","content":"ż"}\n'.encode())
    assert measure_bytes("a line\n") == measure_bytes(b"a line") == 7


def test_no_repr_shows_a_message(pages: Pages) -> None:
    pages.degrade(3, "compressed", "secret summary")
    context = pages.assemble(10_000)
    shown = repr((context, pages.fetch(3).fault, pages.degrade(3, "pointer")))
    assert "Never push" not in shown
    assert "secret" not in repr(Page("0" * 32, "plan", text="secret")) + shown
