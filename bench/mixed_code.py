"""What redaction takes for a secret in source code of any kind: `python -m bench.mixed_code FOLDER…`, rules alone."""

import json
import os
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from history_sink_agents.redaction import Redaction

ENDINGS = frozenset(
    (*(".py", ".go", ".js", ".ts", ".c", ".h", ".rs", ".sh", ".tf"), *(".md", ".rst", ".txt", ".yaml", ".yml"), ".json")
)
MOST_FILE_CHARACTERS = 300_000
MOST_BYTES = 2_000_000
"""Of each kind in each folder."""


def main(folders: list[str]) -> None:
    """Print findings in a megabyte, by kind of file, and in all."""
    redaction = Redaction(environment={}, state_folder=Path("/nonexistent"))
    sizes, found, rules = Counter[str](), Counter[str](), Counter[str]()
    for folder in folders:
        for ending, paths in sorted(_list(folder).items()):
            left = MOST_BYTES
            for line in _read(paths):
                counts = getattr(redaction(line), "counts", {})
                rules.update(counts)
                sizes[ending] += len(line)
                found[ending] += sum(counts.values())
                left -= len(line)
                if left < 0:
                    break
    for ending in sorted(sizes):
        print(f"{ending:6} {sizes[ending] / 1e6:6.1f} MB {found[ending]:5} {found[ending] / sizes[ending] * 1e6:6.2f}")
    size, count = sum(sizes.values()) / 1e6, sum(found.values())
    print(f"{redaction.rules}: {size:.1f} MB, {count} findings, {count / max(size, 1e-9):.2f} a megabyte")
    print(dict(rules.most_common()))


def _list(folder: str) -> dict[str, list[Path]]:
    paths: dict[str, list[Path]] = {}
    for where, _, names in os.walk(folder):
        for name in names:
            if (path := Path(where, name)).suffix in ENDINGS:
                paths.setdefault(path.suffix, []).append(path)
    for each in paths.values():
        each.sort()
        random.Random(1).shuffle(each)
    return paths


def _read(paths: list[Path]) -> Iterator[bytes]:
    """As an agent's tool shows files, a message each."""
    for path in paths:
        try:
            text = path.read_text(errors="replace")
        except OSError:
            continue
        if len(text) <= MOST_FILE_CHARACTERS:
            shown = "\n".join(f"{number:6}\t{line}" for number, line in enumerate(text.splitlines(), 1))
            yield json.dumps({"content": [{"type": "tool_result", "content": shown}]}, ensure_ascii=False).encode()


if __name__ == "__main__":
    main(sys.argv[1:])
