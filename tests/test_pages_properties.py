"""Pages under random histories and budgets: nothing is dropped unsaid or goes below its minimum, and pins survive."""

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from history_sink import Malformed
from history_sink.testing import MemorySink
from history_sink_agents.pages import KINDS, LEVELS, Archive, Context, Pages, measure_bytes
from history_sink_agents.render import render

SIZES = st.sampled_from([0, 10, 200, 2000])
NUMBERS = st.integers(0, 1000)
"""Of messages, counted round and round."""


def say(role: str, text: str, size: int) -> dict[str, Any]:
    return {"role": role, "content": text + "." * size}


@st.composite
def turns(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A message, or calls with their results. A few texts only, so that messages are often equal."""
    kind = draw(st.sampled_from(["system", "user", "assistant", "tool"]))
    if kind != "tool":
        return [say(kind, draw(st.sampled_from("abc")), draw(SIZES))]
    ids = [f"c{draw(st.integers(0, 10**9))}" for _ in range(draw(st.integers(1, 2)))]
    calls = [{"type": "tool_call", "id": each, "name": "t", "arguments": f'{{"a":"{each}"}}'} for each in ids]
    results = [{"type": "tool_result", "tool_call_id": each, "content": "r" * draw(SIZES)} for each in ids]
    asked, answered = ([[each] for each in both] if draw(st.booleans()) else [both] for both in (calls, results))
    return [
        *({"role": "assistant", "content": each} for each in asked),
        *({"role": "tool", "content": each} for each in answered),
    ]


def has_messages(act: Any) -> Any:
    """A rule that needs some."""
    return precondition(lambda self: self.messages)(act)


class Histories(RuleBasedStateMachine):
    """Beside the pages, the same history with the pins that it should have."""

    def __init__(self) -> None:
        super().__init__()
        self.sink = MemorySink()
        self.messages: list[dict[str, Any]] = []
        self.pins: list[bool] = []
        self.undone: list[tuple[dict[str, Any], bool]] = []
        self.pages = self.open()

    def open(self, sidecar: object = None) -> Pages:
        return Pages(self.messages, sidecar, Archive(self.sink, "s"))

    def teardown(self) -> None:
        self.sink.close()

    @initialize(more=st.lists(turns(), min_size=1, max_size=5))
    def begin(self, more: list[list[dict[str, Any]]]) -> None:
        self.append([each for turn in more for each in turn])

    @rule(more=turns())
    def append(self, more: list[dict[str, Any]]) -> None:
        self.messages += more
        self.pins += [False] * len(more)
        self.undone.clear()
        self.pages.append(*more)

    @rule(at=NUMBERS, more=turns())
    def put_in(self, at: int, more: list[dict[str, Any]]) -> None:
        at %= len(self.messages) + 1
        self.messages[at:at] = more
        self.pins[at:at] = [False] * len(more)
        self.undone.clear()
        self.pages.update(self.messages)

    @rule(count=st.integers(1, 3))
    def undo(self, count: int) -> None:
        count = min(count, len(self.messages))
        self.undone = list(zip(self.messages, self.pins, strict=True))[len(self.messages) - count :]
        del self.messages[len(self.messages) - count :], self.pins[len(self.pins) - count :]
        self.pages.update(self.messages)

    @precondition(lambda self: self.undone)
    @rule()
    def redo(self) -> None:
        self.messages += [message for message, _ in self.undone]
        self.pins += [is_pinned for _, is_pinned in self.undone]
        self.undone = []
        self.pages.update(self.messages)

    @has_messages
    @rule(at=NUMBERS, text=st.sampled_from("xyz"))
    def edit(self, at: int, text: str) -> None:
        at %= len(self.messages)
        if isinstance(self.messages[at]["content"], str):
            self.messages[at] = {**self.messages[at], "content": f"{text}{at}"}
            self.undone.clear()
            self.pages.update(self.messages)

    @rule()
    def reload(self) -> None:
        self.pages = self.open(json.dumps(self.pages.encode()))

    @rule()
    def reload_what_was_assembled(self) -> None:
        context = self.pages.assemble(10**9)
        kept = Pages(context.messages, json.dumps(self.pages.encode()), Archive(self.sink, "s"))
        assert [page.key for page in kept.pages] == [page.key for page in self.pages.pages]
        assert [page.is_pinned for page in kept.pages] == [page.is_pinned for page in self.pages.pages]
        for number in range(len(kept.pages)):
            assert check(kept.assemble(number * 100), kept).size <= number * 100

    @rule(count=NUMBERS)
    def fork(self, count: int) -> None:
        count = max(0, len(self.messages) - count % 3)
        self.pages = self.pages.fork(count)
        self.undone = list(zip(self.messages, self.pins, strict=True))[count:]
        del self.messages[count:], self.pins[count:]

    @has_messages
    @rule(at=NUMBERS)
    def pin(self, at: int) -> None:
        at %= len(self.messages)
        self.pages.pin(at)
        self.pins[at] = True

    @has_messages
    @rule(at=NUMBERS, kind=st.sampled_from(KINDS))
    def set_kind(self, at: int, kind: Any) -> None:
        at %= len(self.messages)
        before = self.pages.pages[at]
        try:
            self.pages.set_kind(at, kind)
        except Malformed:  # as of a pin that came when its page was a pointer already
            assert before.level != "full"
            assert self.pages.pages[at] == before
        else:
            assert self.pages.pages[at].level in (*self.pages.pages[at].path, "compressed")

    @has_messages
    @rule(at=NUMBERS, level=st.sampled_from(LEVELS), is_saved=st.booleans())
    def degrade(self, at: int, level: Any, is_saved: bool) -> None:
        at %= len(self.messages)
        if is_saved:
            self.sink.save("s", self.messages)
        before = self.pages.encode()
        try:
            fault = self.pages.degrade(at, level, "in short" if level == "compressed" else None)
        except Malformed:
            assert self.pages.encode() == before
            return
        page = self.pages.pages[at]
        assert level in page.path
        if fault is None:
            assert page.level == level
        else:
            assert (fault.kind, self.pages.encode()) == ("flush_miss", before)
        if level == "pointer" and fault is None:
            assert page.handle is not None
            answer = self.sink.resolve(page.handle)
            assert isinstance(answer, bytes)
            assert json.loads(answer) == self.messages[at]

    @has_messages
    @rule(at=NUMBERS)
    def fetch(self, at: int) -> None:
        at %= len(self.messages)
        line, fault = self.pages.fetch(at)
        assert (line is None) == (fault.kind != "refetch")
        if line is not None:
            assert json.loads(line) == self.messages[at]

    @rule(budget=st.integers(0, 500))
    def assemble(self, budget: int) -> None:
        for times in (1, 2, 4, 8):
            check(self.pages.assemble(budget * times), self.pages)

    @invariant()
    def each_message_has_its_page_and_no_pin_is_lost(self) -> None:
        assert self.pages.messages == self.messages
        assert [page.key for page in self.pages.pages] == [page.key for page in Pages(self.messages).pages]
        wanted = {json.dumps(each) for each, pinned in zip(self.messages, self.pins, strict=True) if pinned}
        kept = {json.dumps(each) for each, page in zip(self.messages, self.pages.pages, strict=True) if page.is_pinned}
        assert wanted <= kept

    @invariant()
    def with_room_for_all_all_is_there(self) -> None:
        context = check(self.pages.assemble(10**9), self.pages)
        assert (context.omitted, context.faults) == ((), ())
        for placed, message, page in zip(context.placed, self.messages, self.pages.pages, strict=True):
            assert placed.level != "full" or placed.message == message
            assert page.level != "full" or placed.level == "full"


def check(context: Context, pages: Pages) -> Context:
    """What holds of each context, whatever the budget is."""
    assert context.size <= context.budget
    assert context.size == sum(map(measure_bytes, context.messages))
    placed, omitted = [each.number for each in context.placed], [each.number for each in context.omitted]
    assert sorted([*placed, *omitted]) == list(range(len(pages.pages))), "each message is there, or said not to be"
    assert placed == sorted(placed)
    for each in context.placed:
        assert each.level in pages.pages[each.number].path, "nothing is below its minimum"
    missed = [number for number in omitted if pages.pages[number].is_invariant]
    assert [fault.number for fault in context.faults] == missed
    for fault in context.faults:
        is_bootstrap = pages.pages[fault.number].kind == "bootstrap"
        assert fault.kind == ("post_compaction_bootstrap" if is_bootstrap else "pinned_invariant_miss")
    lines = [json.dumps(message, separators=(",", ":")).encode() for message in pages.messages]
    for turn in render(lines):
        assert all((link in placed) == (turn.number in placed) for link in turn.links), "pairs are whole"
    return context


Histories.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None, database=None)
TestHistories = Histories.TestCase
