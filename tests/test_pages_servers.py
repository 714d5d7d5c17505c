"""Pages on the real stack: a message becomes a pointer when the store has it, and comes back from there."""

from collections.abc import Mapping
from typing import Any

from history_sink import HistorySink
from history_sink_agents.pages import Archive, Pages
from stack.stack import producer_environment
from stack.worker import Worker

HISTORY: list[Any] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Søg efter 半."},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {"name": "t", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "c", "content": "found " * 5000},
]


def test_a_page_goes_to_the_store_and_comes_back(environment: Mapping[str, str], worker: Worker) -> None:
    del worker  # it answers
    with HistorySink.from_env(producer_environment(environment)) as sink:
        pages = Pages(HISTORY, archive=Archive(sink, "paged"))
        missed = pages.degrade(3, "pointer")
        assert missed is not None
        assert missed.kind == "flush_miss"
        sink.save("paged", HISTORY)
        assert sink.flush("paged")
        assert pages.degrade(3, "pointer") is None
        kept, sidecar = pages.assemble(2000).messages, pages.encode()
    with HistorySink.from_env(producer_environment(environment)) as fresh:
        again = Pages(kept, sidecar, Archive(fresh, "paged"))
        assert [page.level for page in again.pages] == ["full", "full", "full", "pointer"]
        line, fault = again.fetch(3)
        assert (fault.kind, fault.size_bytes) == ("refetch", len(line or b""))
        assert again.assemble(100_000).messages == HISTORY
        assert again.degrade(1, "pointer") is None, "found by reading the log"
        assert Pages(HISTORY, sidecar, Archive(fresh, "never")).degrade(1, "pointer") is not None
