"""`python -m bench.producer_memory FILE TIMES`: what a sink adds to the memory of an agent that holds a transcript.

The list is FILE's messages, TIMES over. Prints megabytes: resident before the first save, and at most after it and
100 saves of one message more.
"""

import json
import os
import sys
from pathlib import Path

from bench.memory import now_megabytes, peak_megabytes
from history_sink import HistorySink


def main(file: Path, times: int) -> None:
    lines = file.read_bytes().splitlines()
    messages = [json.loads(line) for _ in range(times) for line in lines]
    with HistorySink.from_env() as sink:
        sink.save("warm", messages[:1])  # what Celery takes is no matter of a session's length
        before = now_megabytes(os.getpid())
        sink.save("s", messages)
        for _ in range(100):
            messages.append(json.loads(lines[0]))
            assert sink.save("s", messages).messages == 1
    print(before, peak_megabytes(os.getpid()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
