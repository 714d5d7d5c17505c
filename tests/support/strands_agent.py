"""The recipe for Strands with the real library, which has an environment of its own, and not that of the checks."""

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from strands.models import Model  # type: ignore[import-not-found]  # see above

from history_sink.testing import MemoryArchive, MemorySink


class Parrot(Model):  # type: ignore[misc]  # the same
    """Says how many messages it was given."""

    def update_config(self, **model_config: Any) -> None: ...

    def get_config(self) -> Any:
        return {}

    def structured_output(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    async def stream(self, messages: Any, *_: Any, **__: Any) -> AsyncIterator[Any]:
        yield {"messageStart": {"role": "assistant"}}
        yield {"contentBlockStart": {"start": {}}}
        yield {"contentBlockDelta": {"delta": {"text": f"I was given {len(messages)} messages"}}}
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "end_turn"}}


names: dict[str, Any] = {}
exec(Path(sys.argv[1]).read_text(), names)
archive = MemoryArchive()
for number in (1, 3):
    agent = names["open_agent"]("talk", MemorySink(archive), model=Parrot(), callback_handler=None)
    assert str(agent("Hello")).strip() == f"I was given {number} messages"
print(json.dumps([message["role"] for message in archive.messages("talk")]))
