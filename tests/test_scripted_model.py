"""The model by script says what the prompt tells it to, in each dialect that agents speak."""

from typing import Any

import pytest

from stack.agents.dialects import ANTHROPIC, CHAT, GEMINI, RESPONSES, Dialect
from stack.agents.model import find_dialect
from stack.agents.script import plan_answer, write_script

SCRIPT = write_script("two steps", ("first", {"a": 1}), ("second", {"b": 2}), ("!slow", 3))
RESULT = {"functionResponse": {"name": "first"}}
ASKED: list[tuple[Dialect, Any, Any]] = [
    (
        ANTHROPIC,
        {"messages": [{"role": "user", "content": SCRIPT}]},
        {"role": "user", "content": [{"type": "tool_result"}]},
    ),
    (RESPONSES, {"input": [{"role": "user", "content": SCRIPT}]}, {"type": "function_call_output", "output": "x"}),
    (CHAT, {"messages": [{"role": "user", "content": SCRIPT}]}, {"role": "tool", "content": "x"}),
    (GEMINI, {"contents": [{"role": "user", "parts": [{"text": SCRIPT}]}]}, {"role": "user", "parts": [RESULT]}),
]


@pytest.mark.parametrize(("dialect", "body", "result"), ASKED)
def test_the_script_is_followed_step_by_step(dialect: Dialect, body: Any, result: Any) -> None:
    (turns,) = body.values()
    answers = []
    for _ in range(3):
        answers.append(plan_answer(dialect.read(body), has_tools=True))
        turns.append(result)
    assert [answer.call for answer in answers] == [("first", {"a": 1}), ("second", {"b": 2}), None]
    assert (answers[2].text, answers[2].slow_seconds) == ("the answer to two steps", 3)
    for answer in answers:
        told = str([*dialect.stream({}, answer)])
        assert (answer.call[0] if answer.call else answer.text) in told
    assert plan_answer(dialect.read(body), has_tools=False).call is None


def test_a_path_tells_the_dialect() -> None:
    paths = ("/v1/messages", "/v1/responses", "/v1/chat/completions", "/v1beta/models/m:streamGenerateContent")
    assert [find_dialect(path) for path in paths] == [ANTHROPIC, RESPONSES, CHAT, GEMINI]
    assert find_dialect("/api/telemetry") is None
