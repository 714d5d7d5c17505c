"""`python -m bench.sizes DIRECTORY`: how often each kind of message is, and how large, in real transcripts."""

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from bench.transcripts import SIZES, kind_of, read_transcript
from history_sink.protocol.lines import encode_line

_STEPS = 20


def describe_sizes(directory: Path) -> dict[str, Any]:
    """For each kind its share of all messages, and 21 quantiles of its lines' sizes in bytes."""
    sizes: dict[str, list[int]] = defaultdict(list)
    for path in sorted(directory.glob("*.jsonl")):
        for message in read_transcript(path).messages:
            sizes[kind_of(message)].append(len(encode_line(message).data))
    total = sum(map(len, sizes.values()))
    return {
        kind: {"share": round(len(found) / total, 5), "quantiles": find_quantiles(found)}
        for kind, found in sorted(sizes.items())
    }


def find_quantiles(numbers: list[int]) -> list[int]:
    """The smallest, the largest, and those in between at equal steps."""
    ordered = sorted(numbers)
    return [ordered[round(step * (len(ordered) - 1) / _STEPS)] for step in range(_STEPS + 1)]


if __name__ == "__main__":
    SIZES.write_text(json.dumps(describe_sizes(Path(sys.argv[1])), indent=1) + "\n")
