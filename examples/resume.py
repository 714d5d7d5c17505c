"""A session goes on in a new process, on another machine if need be: the archive gives back what was said.

Run it twice. The second run continues the first, and sends its own two messages only:

    python examples/resume.py my-session 'What time is it?'
"""

import json
import sys
from typing import Any

from history_sink import HistorySink


def recall(sink: HistorySink, session: str) -> list[Any]:
    """The messages of the log that was written last; none where the session is new. Raises `Unavailable`."""
    if sink.status(session).latest is None:
        return []
    log = b"".join(sink.read(session, branch="latest"))
    return [json.loads(line) for line in log.splitlines()]


def run(session: str, question: str) -> None:
    with HistorySink.from_env() as sink:
        messages = recall(sink, session)
        print(f"{len(messages)} messages came back")
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": "Half past nine."})  # your model's place
        receipt = sink.save(session, messages)
        print(f"{receipt.messages} messages were sent")
        print(f"flush: {sink.flush(session).state}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    run(*sys.argv[1:])
