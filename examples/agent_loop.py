"""An agent loop: after each turn it hands its whole list of messages over.

It reads what the user says from stdin, one turn a line:

    echo 'What time is it?' | python examples/agent_loop.py my-session
"""

import sys
from typing import Any

from history_sink import HistorySink


def ask_model(messages: list[Any]) -> dict[str, Any]:
    """Your model's place."""
    return {"role": "assistant", "content": f"You said: {messages[-1]['content']}"}


def run(session: str) -> None:
    messages: list[Any] = []
    with HistorySink.from_env() as sink:
        for line in sys.stdin:
            messages.append({"role": "user", "content": line.strip()})
            messages.append(ask_model(messages))
            receipt = sink.save(session, messages)  # only what is new goes out, and save never raises
            print(f"{receipt.state}: {receipt.messages} messages, {receipt.bytes} bytes")
        result = sink.flush(session)  # waits until the store has all of it
        print("the store has all of it" if result else f"not in the store: {result.reason}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    run(sys.argv[1])
