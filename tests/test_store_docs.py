"""docs/stores.md: what is to be pasted runs, and each call is told of with its parameters."""

import asyncio
import inspect
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic_ai
import pytest
from pydantic_ai.models.test import TestModel

import history_sink
from agents import Agent, set_tracing_disabled
from history_sink.testing import MemorySink
from history_sink_agents.stores import claude, openai_agents, pydantic_conversations
from test_store_openai_agents import Parrot

TEXT = (Path(__file__).parents[1] / "docs" / "stores.md").read_text()
CLASSES = [claude.SessionStore, openai_agents.Session, pydantic_conversations.ConversationStore]


def run_block(text: str) -> dict[str, Any]:
    """The names that a block of the page has made."""
    blocks = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if text in block]
    names: dict[str, Any] = {}
    exec(block, names)
    return names


@pytest.fixture(autouse=True)
def in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_sink, "HistorySink", MemorySink)
    set_tracing_disabled(True)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__module__)
def test_each_call_is_told_of_with_its_parameters(kind: Any) -> None:
    written = ", ".join(
        name if parameter.default is parameter.empty else f"{name}={parameter.default!r}".replace("'", '"')
        for name, parameter in inspect.signature(kind).parameters.items()
    )
    told = TEXT.replace("*, ", "")
    assert f"`{kind.__name__}({written})`" in told
    for name, function in inspect.getmembers(kind, inspect.iscoroutinefunction):
        if name[0] != "_" and function.__module__ == kind.__module__:
            parameters = [each for each in inspect.signature(function).parameters if each != "self"]
            assert f"`{name}({', '.join(parameters)})`" in told


def test_the_lines_for_the_claude_agent_sdk_make_options() -> None:
    assert isinstance(run_block("ClaudeAgentOptions")["options"].session_store, claude.SessionStore)


@pytest.mark.parametrize(
    ("module", "sdk", "extra"),
    [
        ("claude", "claude_agent_sdk", "claude"),
        ("openai_agents", "agents.items", "openai-agents"),
        ("pydantic_conversations", "pydantic_ai", "pydantic-ai"),
    ],
)
def test_without_its_sdk_a_store_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, module: str, sdk: str, extra: str
) -> None:
    full = f"history_sink_agents.stores.{module}"
    modules: Mapping[str, Any] = dict(sys.modules)
    for name in modules:
        if name.startswith("history_sink_agents.stores"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, sdk, None)
    with pytest.raises(
        ModuleNotFoundError, match=re.escape(f"{full} needs the extra: pip install 'history-sink[{extra}]'")
    ):
        __import__(full)


def test_the_lines_for_the_openai_agents_sdk_run_an_agent() -> None:
    answer = run_block("Runner.run")["answer"]
    assert asyncio.run(answer(Agent("parrot", model=Parrot()), "Hello")) == "I was given 1 items"


def test_the_lines_for_pydantic_ai_run_an_agent() -> None:
    answer = run_block("pydantic_ai import Agent")["answer"]
    assert asyncio.run(answer(pydantic_ai.Agent(TestModel(custom_output_text="Hello again")), "Hello")) == "Hello again"
