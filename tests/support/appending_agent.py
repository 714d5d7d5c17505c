"""An agent's process: appends numbered entries to a Claude session, and prints each number when the store has it."""

import asyncio
import sys
from typing import Any

from history_sink import HistorySink
from history_sink_agents.stores.claude import SessionStore


async def main(project: str, session: str, count: int) -> None:
    store = SessionStore(HistorySink.from_env(), namespace="live", wait_seconds=60.0)
    key: Any = {"project_key": project, "session_id": session}
    for number in range(count):
        await store.append(key, [{"type": "user", "uuid": f"agent-{number}", "n": number}])  # type: ignore[typeddict-unknown-key]  # entries have any
        print(number, flush=True)


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
