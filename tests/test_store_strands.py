"""The recipe for Strands in docs/stores.md: with what its documentation says, and with the library itself."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from history_sink.testing import MemoryArchive, MemorySink

ROOT = Path(__file__).parents[1]
(RECIPE,) = [
    block
    for block in re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "stores.md").read_text(), re.M | re.S)
    if "from strands import" in block
]


class Agent:
    """As much of Strands' as the recipe uses: a list of messages, and callbacks when one is added."""

    def __init__(self, messages: list[Any]) -> None:
        self.messages = messages
        self._callbacks: list[Callable[[Any], object]] = []

    def add_hook(self, callback: Callable[[Any], object], event_type: type) -> None:
        self._callbacks.append(callback)

    def add(self, role: str, text: str) -> None:
        self.messages.append({"role": role, "content": [{"text": text}]})
        for callback in self._callbacks:
            callback(SimpleNamespace(agent=self))


def test_an_agents_messages_are_archived_and_another_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    strands, hooks = ModuleType("strands"), ModuleType("strands.hooks")
    strands.Agent, hooks.MessageAddedEvent = Agent, object  # type: ignore[attr-defined]  # that is what is made here
    monkeypatch.setitem(sys.modules, "strands", strands)
    monkeypatch.setitem(sys.modules, "strands.hooks", hooks)
    names: dict[str, Any] = {}
    exec(RECIPE, names)
    archive = MemoryArchive()
    for text in ("one", "two"):
        agent = names["open_agent"]("talk", MemorySink(archive))
        agent.add("user", text)
        agent.add("assistant", text.upper())
    said = [each["content"][0]["text"] for each in archive.messages("talk")]
    assert said == ["one", "ONE", "two", "TWO"]


@pytest.mark.system  # the registry has it
@pytest.mark.timeout(300)
def test_the_library_itself_takes_the_recipe(tmp_path: Path) -> None:
    folder, recipe = tmp_path / "strands", tmp_path / "recipe.py"
    recipe.write_text(RECIPE)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=60)
    python = str(folder / "bin" / "python")
    packages = ["strands-agents>=1.62,<2", str(ROOT)]
    subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True, timeout=110, cwd=tmp_path)
    script = str(ROOT / "tests" / "support" / "strands_agent.py")
    ended = subprocess.run([python, script, str(recipe)], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == ["user", "assistant"] * 2
