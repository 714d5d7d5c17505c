"""Several agents in one event loop share one sink. No call of the sink holds the loop up.

python examples/asyncio_agents.py first second third
"""

import asyncio
import sys
from typing import Any

from history_sink import HistorySink

TURNS = 3


async def run_agent(sink: HistorySink, session: str) -> None:
    messages: list[Any] = []
    for turn in range(TURNS):
        messages.append({"role": "user", "content": f"question {turn} of {session}"})
        await asyncio.sleep(0.01)  # your model's place
        messages.append({"role": "assistant", "content": f"answer {turn}"})
        await sink.asave(session, messages)  # the saves of one session go out in this order
    result = await sink.aflush(session)
    print(f"{session}: {result.state}")


async def run(sessions: list[str]) -> None:
    async with HistorySink.from_env() as sink:
        await asyncio.gather(*(run_agent(sink, session) for session in sessions))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    asyncio.run(run(sys.argv[1:]))
