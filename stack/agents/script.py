"""A prompt that says what a model answers: a text, and the tools that are called before it."""

import base64
import json
import re
from dataclasses import dataclass
from typing import Any

_MARK = "SCRIPT:"
_CALL = re.compile(r"<<(!?[\w.-]+) ([A-Za-z0-9+/=]+)>>")


def write_script(text: str, *calls: tuple[str, Any]) -> str:
    """A prompt. A call is a tool's name and its arguments; that of ``!slow`` is how many seconds an answer takes."""
    encoded = (f"<<{name} {base64.b64encode(json.dumps(value).encode()).decode()}>>" for name, value in calls)
    return " ".join([f"{_MARK} {text}", *encoded])


@dataclass(frozen=True, slots=True)
class Turn:
    """One piece of a conversation, as the dialects tell it: ``user``, ``tool`` (a result) or ``other``."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says next: a call of a tool, or a text."""

    text: str
    call: tuple[str, Any] | None = None
    slow_seconds: float = 0.0


def plan_answer(turns: list[Turn], *, has_tools: bool) -> Answer:
    """The next step of the script in the last prompt: as many results as follow it, so many calls are done."""
    last = max((number for number, turn in enumerate(turns) if turn.kind == "user" and _MARK in turn.text), default=-1)
    text = turns[last].text.rpartition(_MARK)[2] if last >= 0 else ""
    done = sum(turn.kind == "tool" for turn in turns[last + 1 :])
    calls = [(name, json.loads(base64.b64decode(value))) for name, value in _CALL.findall(text)]
    slow = sum(float(value) for name, value in calls if name == "!slow")
    tools = [call for call in calls if not call[0].startswith("!")]
    said = f"the answer to {_CALL.sub('', text).strip()[:60]}"
    if has_tools and done < len(tools):
        return Answer(said, tools[done])
    return Answer(said, slow_seconds=slow if has_tools else 0.0)
